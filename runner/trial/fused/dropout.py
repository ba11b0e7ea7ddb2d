"""Dropout before the heads, each trial from the random stream that it has alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from runner.trial.seeding import derive_seed


class DropoutStreams:
    """One stream of random numbers a trial, all played through the device's own generator.

    Dropout kernels take no generator. So the device's is set to where the trial left it, used and
    noted again; the masks are then those of the trial alone on any device.

    Side effects: the device's own generator is left anywhere.
    """

    def __init__(self, rates: Sequence[float], device: torch.device) -> None:
        self._rates = list(rates)
        self._device = device
        self._states: list[Tensor] = []

    @property
    def is_needed(self) -> bool:
        """Whether any trial drops anything."""
        return any(self._rates)

    def begin_epoch(self, seeds: Sequence[int], epochs: Sequence[int]) -> None:
        """Start each stream where the plain loop starts it.

        Args:
            seeds: Of the trials.
            epochs: Which they begin, counted from 0.
        """
        self._states = []
        if not self.is_needed:
            return
        for seed, epoch in zip(seeds, epochs, strict=True):
            torch.manual_seed(derive_seed(seed, "epoch", epoch))
            self._states.append(self._state())

    def apply(self, features: Tensor, sizes: Sequence[int]) -> None:
        """Drop features in place.

        Args:
            features: Shape [K, B, D].
            sizes: How many of the B examples each trial has.
        """
        for index, (rate, size) in enumerate(zip(self._rates, sizes, strict=True)):
            if rate == 0:
                continue
            self._set_state(self._states[index])
            batch = features[index, :size]
            batch.copy_(functional.dropout(batch, rate))
            self._states[index] = self._state()

    def _state(self) -> Tensor:
        module, where = self._generator()
        state: Tensor = module.get_rng_state(*where)
        return state

    def _set_state(self, state: Tensor) -> None:
        module, where = self._generator()
        module.set_rng_state(state, *where)

    def _generator(self) -> tuple[Any, tuple[torch.device, ...]]:
        """Where torch keeps the device's generator, and how it is named there."""
        if self._device.type == "cpu":
            return torch, ()
        module = torch.get_device_module(self._device)
        # Of Apple's there is only one.
        return module, () if self._device.type == "mps" else (self._device,)
