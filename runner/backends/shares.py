"""Several leases on one device: how many, and of what memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from runner.trial import Share

# Of a GPU's free memory, what is not counted on: allocators cut it into pieces that do not fit.
MARGIN = 0.05


@dataclass(frozen=True)
class Device:
    """A device of this machine.

    Attributes:
        name: As users write it: "cuda:0", "mps", "cpu:1".
        identity: What the lock is on; the same whichever process looks.
        visible: Value of CUDA_VISIBLE_DEVICES that shows a worker this GPU alone, else "".
        used_share: Share of its memory that is in use, in [0, 1]; 0 where unknown.
        free_gib: Its memory that nobody uses, GiB; None where unknown, or where it has none of
            its own.
    """

    name: str
    identity: str
    visible: str = ""
    used_share: float = 0.0
    free_gib: float | None = None


@dataclass(frozen=True)
class Slot:
    """A place for one job at a time.

    Attributes:
        devices: Where it is: one, or several that a trial is trained on together.
        share: What it shares with others; None: the devices are its own.
    """

    devices: tuple[Device, ...]
    share: Share | None = None

    @property
    def device(self) -> Device:
        """The first, which is the only one that is ever shared."""
        return self.devices[0]


def slots_as_told(devices: Sequence[Device], count: int) -> list[Slot]:
    """So many slots that take turns on the devices; the user has said that they fit."""
    taken = [devices[number % len(devices)] for number in range(count)]
    return _shared(taken, is_measured=False)


def slots_as_measured(devices: Sequence[Device], *, pack: int, most: int | None) -> list[Slot]:
    """Slots on devices, several on those GPUs whose memory is known.

    The first of every device come before the second of any, so that devices fill evenly.

    Args:
        devices: What is held.
        pack: Most slots of a GPU.
        most: Most of all; None for any number.
    """
    taken = list(devices)
    for _ in range(1, pack):
        taken += [device for device in devices if device.free_gib is not None]
    return _shared(taken[:most], is_measured=True)


def slots_of_several(devices: Sequence[Device], each: int) -> list[Slot]:
    """Slots of `each` devices, in their order; what is left over makes none."""
    count = len(devices) // each
    return [Slot(tuple(devices[n * each : (n + 1) * each])) for n in range(count)]


def _shared(taken: Sequence[Device], *, is_measured: bool) -> list[Slot]:
    counts = Counter(device.identity for device in taken)
    return [Slot((device,), _share(device, counts, is_measured)) for device in taken]


def _share(device: Device, counts: Counter[str], is_measured: bool) -> Share | None:
    count = counts[device.identity]
    # Without memory of its own there is nothing to run out of that its neighbours would leave.
    if count == 1 or not device.visible:
        return None
    room_gib = None
    if is_measured and device.free_gib is not None:
        room_gib = round((1 - MARGIN) * device.free_gib, 3)
    return Share(device.identity, count, room_gib)
