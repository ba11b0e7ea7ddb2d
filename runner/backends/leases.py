"""Finding devices and holding leases on them, so that two searches do not share one unasked.

A lease is a lock that the kernel releases with its process (flock on a file in the machine's
temporary folder), so that nothing stale is left behind by a kill or a reboot.
"""

import fcntl
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from runner.backends.shares import Device, Slot, slots_as_measured, slots_as_told, slots_of_several
from runner.errors import NoSuchDevice
from runner.machine import usable_cores
from runner.trial import Lease

logger = logging.getLogger(__name__)

# Above this share of a GPU's memory in use by others, it is not taken unasked.
BUSY_GPU_SHARE = 0.25
# More CPU slots than this gain nothing: each holds its own copy of the libraries and weights.
MAX_CPU_SLOTS = 4
# A driver that hangs must not hang the search before it has begun.
NVIDIA_SMI_S = 30.0


def cuda_devices() -> list[Device]:
    """This machine's CUDA devices as nvidia-smi lists them, without importing torch.

    Respects CUDA_VISIBLE_DEVICES: a device not in it is not listed, and the names count the
    visible ones from 0.
    """
    rows = _visible_of(_nvidia_smi(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    return [
        Device(f"cuda:{number}", uuid, uuid, *_memory(used, total))
        for number, (_, uuid, used, total) in enumerate(rows)
    ]


def device_like(name: str) -> str:
    """A device that was used once, perhaps on another machine, or what this one has in its place.

    Whether somebody uses it now is not looked at.

    Args:
        name: As `Lease.devices` has it.
    """
    if not name.startswith("cuda"):
        return name
    here = [device.name for device in cuda_devices()]
    return name if name in here else (here or ["cpu"])[0]


def _nvidia_smi() -> list[list[str]]:
    """Index, UUID, memory used and memory there (MiB) of every GPU, as text."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["--query-gpu=index,uuid,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(
            ["nvidia-smi", *query], capture_output=True, text=True, timeout=NVIDIA_SMI_S
        )
    except subprocess.TimeoutExpired:
        logger.warning("no GPU is used: nvidia-smi did not answer within %g s", NVIDIA_SMI_S)
        return []
    if answer.returncode != 0:
        # Without its driver it complains on standard output.
        said = answer.stderr.strip() or answer.stdout.strip()
        logger.warning("no GPU is used: %s", said)
        return []
    return [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]


def _visible_of(rows: list[list[str]], visible: str | None) -> list[list[str]]:
    """The rows that CUDA_VISIBLE_DEVICES shows: indices, UUIDs that may be abbreviated, MIG parts.

    As in CUDA itself, nothing after an entry that names no device is visible.
    """
    if visible is None:
        return rows
    shown = []
    for name in visible.split(","):
        wanted = name.strip()
        if wanted.startswith("MIG-"):
            # A part of a GPU, which nvidia-smi does not list here.
            shown.append(["", wanted, "", ""])
            continue
        is_uuid = wanted.startswith("GPU-")
        found = [r for r in rows if (r[1].startswith(wanted) if is_uuid else r[0] == wanted)]
        if not found:
            if wanted not in ("", "-1"):
                logger.warning("CUDA_VISIBLE_DEVICES: nvidia-smi does not list %s", wanted)
            break
        shown.append(found[0])
    return shown


def _memory(used: str, total: str) -> tuple[float, float | None]:
    """Share of a GPU's memory (MiB) that is in use, and what of it is free, GiB."""
    try:
        return float(used) / float(total), (float(total) - float(used)) / 1024
    except ValueError:
        # GPUs that share the machine's memory report none of their own: "[N/A]".
        return 0.0, None


def available_devices(slots: int | None = None) -> list[Device]:
    """The devices to search on by default: GPUs, else Apple's, else CPU slots.

    Args:
        slots: How many CPU slots to make; None for one a core, at most four.
    """
    if found := cuda_devices():
        return found
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return [Device("mps", "mps")]
    return _cpu_slots(slots or min(usable_cores(), MAX_CPU_SLOTS))


def named_devices(names: Sequence[str]) -> list[Device]:
    """The devices a user named.

    Raises:
        NoSuchDevice: If one is not there; the message lists those that are.
    """
    known = {device.name: device for device in (*cuda_devices(), Device("mps", "mps"))}
    if platform.system() != "Darwin":
        del known["mps"]
    devices = []
    for number, name in enumerate(names):
        if name == "cpu" or name.startswith("cpu:"):
            devices.append(Device(f"cpu:{number}", f"cpu-slot-{number}"))
        elif (full := "cuda:0" if name == "cuda" else name) in known:
            devices.append(known[full])
        else:
            there = ", ".join([*known, "cpu"])
            raise NoSuchDevice(
                f"search.devices: no device {name!r} on this machine; there are {there}"
            )
    return devices


def _cpu_slots(count: int) -> list[Device]:
    return [Device(f"cpu:{number}", f"cpu-slot-{number}") for number in range(count)]


@dataclass
class Leases:
    """Leases on devices, held until closed or until this process dies."""

    leases: tuple[Lease, ...]
    notes: tuple[str, ...] = ()
    _locks: list[IO[str]] = field(default_factory=list)

    def close(self) -> None:
        """Give every device back."""
        while self._locks:
            self._locks.pop().close()


def take_leases(
    devices: Sequence[Device],
    *,
    slots: int | None,
    is_explicit: bool,
    pack: int = 1,
    gpus_per_trial: int = 1,
) -> Leases:
    """Lease devices that no other search holds.

    Args:
        devices: Which to try, in order.
        slots: How many trials to run at once at most; None for as many as there is room for.
        is_explicit: Whether the user named the devices; then a GPU that other programs use is
            taken all the same, and more slots than devices share them, whatever `pack`.
        pack: Most leases of a GPU, on which trials then run beside one another where what they
            were measured to need fits.
        gpus_per_trial: GPUs of each lease; of several none is shared.
    Raises:
        NoSuchDevice: If all GPUs are leased by other searches or in use, or too few are left for
            one trial. A CPU slot is always given: when all are leased, one is shared, with one
            thread, and a note says so.
    """
    if gpus_per_trial > 1:
        devices = [device for device in devices if device.visible]
        slots = slots or len(devices) // gpus_per_trial
    wanted = (slots or len(devices)) * gpus_per_trial
    held, notes = _lock(devices, wanted, is_explicit=is_explicit)
    if gpus_per_trial > 1:
        return _leases_of_several(held, notes, gpus_per_trial)
    if not held and (cpu := next((d for d in devices if d.name.startswith("cpu")), None)):
        notes.append("every CPU slot is leased by other searches: sharing one, with one thread")
        return Leases(tuple(_lease_all([Slot((cpu,))], cores=1)), tuple(notes))
    if not held:
        raise NoSuchDevice(
            f"no device is free: {'; '.join(notes)}. Wait, or name devices with "
            "--set search.devices=[cpu]"
        )
    taken = [device for device, _ in held]
    if is_explicit and wanted > len(devices):
        count = wanted * len(taken) // len(devices)
        notes.append(f"{count} slots share {_named(taken)}")
        places = slots_as_told(taken, count)
    else:
        places = slots_as_measured(taken, pack=pack, most=slots)
        notes += _packing_notes(places)
    leases = tuple(_lease_all(places, cores=usable_cores()))
    return Leases(leases, tuple(notes), [lock for _, lock in held])


def lease_again(device: str, *, threads: int, gpus: int = 1) -> Leases:
    """A lease like the one a trial had, to train it again: the same kind of device and threads.

    Args:
        device: The first of the trial's, as `Lease.devices` has it.
        threads: The trial's.
        gpus: How many it had.
    Raises:
        NoSuchDevice: If it had a GPU, and none is free here.
    """
    if not device.startswith("cuda"):
        return Leases((Lease(0, (device,), threads),), ())
    found = cuda_devices()
    if not found:
        raise NoSuchDevice(
            "the trial was trained on a GPU, and this machine has none: go where one is"
        )
    held = take_leases(found, slots=1, is_explicit=False, gpus_per_trial=gpus)
    return replace(held, leases=(replace(held.leases[0], threads=threads),))


def _lock(
    devices: Sequence[Device], wanted: int, *, is_explicit: bool
) -> tuple[list[tuple[Device, IO[str]]], list[str]]:
    """So many devices at most, locked, and why others were passed over."""
    held: list[tuple[Device, IO[str]]] = []
    notes: list[str] = []
    for device in devices:
        if len(held) == wanted:
            break
        if device.used_share > BUSY_GPU_SHARE and not is_explicit:
            notes.append(f"{device.name} is in use ({device.used_share:.0%} of its memory)")
        elif (lock := _try_lock(device)) is None:
            notes.append(f"{device.name} is leased by another search")
        else:
            held.append((device, lock))
    return held, notes


def _leases_of_several(
    held: Sequence[tuple[Device, IO[str]]], notes: Sequence[str], each: int
) -> Leases:
    """Leases of `each` of the held GPUs; what is left over is given back.

    Raises:
        NoSuchDevice: If there are too few for one.
    """
    places = slots_of_several([device for device, _ in held], each)
    used = len(places) * each
    for _, lock in held[used:]:
        lock.close()
    if not places:
        free = _named([device for device, _ in held]) or "none"
        raise NoSuchDevice(
            "; ".join([f"search.gpus_per_trial is {each}, and free here are {free}", *notes])
        )
    left = [device for device, _ in held[used:]]
    said = [*notes, *([f"{_named(left)} left over: a trial takes {each}"] if left else [])]
    leases = tuple(_lease_all(places, cores=usable_cores()))
    return Leases(leases, tuple(said), [lock for _, lock in held[:used]])


def _packing_notes(places: Sequence[Slot]) -> Iterator[str]:
    shared = {place.device.identity: place for place in places if place.share is not None}
    if shared:
        most = max(place.share.count for place in shared.values() if place.share is not None)
        named = _named([place.device for place in shared.values()])
        yield f"up to {most} trials at a time share {named}, where they are known to fit"


def _named(devices: Sequence[Device]) -> str:
    return ", ".join(device.name for device in devices)


def _lease_all(places: Sequence[Slot], *, cores: int) -> Iterator[Lease]:
    threads = max(1, cores // len(places))
    for slot, place in enumerate(places):
        device = place.device
        if device.visible:
            shown = {"CUDA_VISIBLE_DEVICES": ",".join(each.visible for each in place.devices)}
            names = tuple(f"cuda:{number}" for number in range(len(place.devices)))
            yield Lease(slot, names, threads, shown, place.share)
        else:
            # No GPU for a CPU slot, even where torch would find one.
            hidden = {} if device.name == "mps" else {"CUDA_VISIBLE_DEVICES": ""}
            yield Lease(slot, (device.name.split(":")[0],), threads, hidden)


def _try_lock(device: Device) -> IO[str] | None:
    lock = _lock_file(f"{device.identity}.lock").open()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _lock_file(name: str) -> Path:
    """A file that every user of this machine may open, and so lock."""
    folder = Path(tempfile.gettempdir()) / "runner-leases"
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        # As for the temporary folder itself: everyone may add, only owners may remove.
        folder.chmod(0o1777)
    path = folder / name
    if not path.exists():
        path.touch(mode=0o644)
        path.chmod(0o644)
    return path
