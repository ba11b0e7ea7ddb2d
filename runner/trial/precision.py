"""Number formats and memory layouts that suit a device."""

from dataclasses import dataclass

import torch
from torch import nn

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Numerics:
    """How a trial computes.

    Attributes:
        device: Where.
        dtype: The autocast type; float32 means no autocast.
        memory_format: Layout of images and convolution weights.
    """

    device: torch.device
    dtype: torch.dtype
    memory_format: torch.memory_format

    def place(self, model: nn.Module) -> nn.Module:
        """The model on the device, in the layout."""
        # torch's own annotations know the two arguments only one at a time.
        return model.to(self.device).to(memory_format=self.memory_format)

    def autocast(self) -> torch.autocast:
        """A context in which eligible operations run in `dtype`."""
        return torch.autocast(
            self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        )

    def grad_scaler(self) -> torch.amp.GradScaler:
        """A loss scaler; it scales only where float16 needs it."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def choose_numerics(
    model: nn.Module, device: str, *, precision: str, channels_last: bool | str
) -> Numerics:
    """The numerics of a trial from its recipe, `auto` resolved for the device.

    `auto` precision is bfloat16 on a GPU that has it, float16 on other CUDA GPUs, and float32
    elsewhere. `auto` layout is channels_last for convolutional nets: 1.4 to 2 times faster on
    CPUs and tensor cores, no gain for transformers (docs/benchmarks.md).
    """
    place = torch.device(device)
    dtype = _auto_dtype(place) if precision == "auto" else _DTYPES[precision]
    is_last = _is_convolutional(model) if channels_last == "auto" else bool(channels_last)
    layout = torch.channels_last if is_last else torch.contiguous_format
    return Numerics(place, dtype, layout)


def _auto_dtype(device: torch.device) -> torch.dtype:
    if device.type != "cuda":
        return torch.float32
    # Emulated on older GPUs it is slower than float32.
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_bfloat16 else torch.float16


def _is_convolutional(model: nn.Module) -> bool:
    # A vision transformer has one convolution, its patch embedding.
    return sum(isinstance(module, nn.Conv2d) for module in model.modules()) > 4
