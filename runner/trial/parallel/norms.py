"""Batch norm on several devices: over the whole batch where that can be."""

from enum import StrEnum

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class BatchNorms(StrEnum):
    """Over which examples the batch norm of a model's thawed layers is computed, for people."""

    NONE = ""
    OF_THE_BATCH = "batch norm over the whole batch"
    OF_THE_SHARE = "batch norm over each device's share of the batch"


def synchronised(model: nn.Module, device: torch.device) -> BatchNorms:
    """Let batch norm see the examples of all ranks, as far as it sees any.

    torch's SyncBatchNorm does so on CUDA devices alone. Frozen layers are in evaluation mode and
    see none, on any device.

    Args:
        model: In training mode, frozen layers in evaluation mode; modules are put in place of
            others, parameters and buffers stay.
        device: Where it is.
    """
    is_live = any(isinstance(each, _BatchNorm) and each.training for each in model.modules())
    if not is_live:
        return BatchNorms.NONE
    if device.type != "cuda":
        return BatchNorms.OF_THE_SHARE
    convert_sync_batchnorm(model)
    return BatchNorms.OF_THE_BATCH
