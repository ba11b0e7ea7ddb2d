"""Heads of several trials trained together on shared features, as one batched computation.

Each is its own trial: initialisation, order, rates, loss, optimiser, decisions and ending. Each
comes out as it would alone, to floating-point noise; what a trial is, `trial/training.py` says.
"""

from runner.trial.fused.contract import HeadEnding, HeadFeatures, HeadSetting, HeadTrial
from runner.trial.fused.fusing import fuse_heads, obstacle_to_fusing
from runner.trial.fused.job import train_heads

__all__ = [
    "HeadEnding",
    "HeadFeatures",
    "HeadSetting",
    "HeadTrial",
    "fuse_heads",
    "obstacle_to_fusing",
    "train_heads",
]
