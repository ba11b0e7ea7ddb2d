"""What a worker loads once and keeps between jobs: data, pretrained weights, the task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from runner import data, models, reuse
from runner.experiment import Experiment, Recipe, Store
from runner.experiment import Modality as ModalityName
from runner.heartbeat import pulse
from runner.tasks import PADDING, Predictions, Task, gather, make_task
from runner.trial.checkpoint import load_weights_file
from runner.trial.images import ImageModality
from runner.trial.job import WEIGHTS, TrialSpec
from runner.trial.memory import Residency
from runner.trial.modality import WORD_POSITIONS, Batch, Inputs, Modality
from runner.trial.seeding import derive_seed
from runner.trial.texts import TextModality


@dataclass(frozen=True)
class Part:
    """One part of the split, ready to train or to score on.

    Attributes:
        inputs: The prepared examples.
        targets: As the task encodes them, the first dimension counting examples.
        ids: The examples' ids.
        digest: Of the examples' contents, in their order.
    """

    inputs: Inputs
    targets: Tensor
    ids: tuple[str, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Built:
    """A fresh model, and what of it trains.

    Attributes:
        model: On the CPU, in training mode.
        groups: Its layer groups.
        depth: How many of them are frozen at the start.
        is_adapted: Whether adapters train in place of its weights.
        is_partial: Whether all but a small part of it stays as the pretrained weights have it,
            so that a trial keeps that part alone: adapters and head, or the head.
    """

    model: nn.Module
    groups: models.LayerGroups
    depth: int
    is_adapted: bool
    is_partial: bool

    def kept(self, model: nn.Module) -> Mapping[str, Tensor]:
        """What a trial keeps of its model, or of the average of it; not copies."""
        return models.trainable_state(model) if self.is_partial else model.state_dict()


@dataclass
class Bench:
    """An experiment's loaded parts. Everything is loaded on first use and never changed.

    Attributes:
        experiment: What was asked.
        store: Where caches lie.
        threads: With how many threads data are prepared.
        residency: What of them stays on the device that trains.
    """

    experiment: Experiment
    store: Store
    threads: int = 1
    residency: Residency = field(default_factory=Residency)
    _groups: models.LayerGroups | None = field(default=None, init=False, repr=False)

    @property
    def base(self) -> Path:
        """The folder that relative paths of the experiment start from."""
        file = self.experiment.source_file
        return file.parent if file is not None else Path.cwd()

    @cached_property
    def modality(self) -> Modality:
        """The examples, and the models that take them."""
        given = self.experiment, self.base, self.store.cache, self.threads
        if self.experiment.form.modality is ModalityName.TEXT:
            return TextModality(*given)
        return ImageModality(*given, self.residency)

    @property
    def source(self) -> data.Labelled:
        """The examples."""
        return self.modality.source

    @cached_property
    def split(self) -> data.Split:
        """Which example is for training, validation, test."""
        split = self.experiment.data.split
        return data.make_split(
            self.source,
            train=split.train,
            validation=split.validation,
            test=split.test,
            seed=split.seed,
        )

    @cached_property
    def task(self) -> Task:
        """What is learnt from the source's labels."""
        return make_task(self.experiment.form, self.source, self.split.train)

    @property
    def weights(self) -> models.Weights | None:
        """The pretrained weights, or None for random initialisation."""
        return self.modality.weights

    @cached_property
    def train(self) -> Part:
        """The training part."""
        return self._part(self.split.train)

    @cached_property
    def validation(self) -> Part:
        """The validation part."""
        return self._part(self.split.validation)

    @property
    def kept(self) -> str:
        """Where the examples that trials use are kept, for people."""
        train, validation = self.train.inputs.kept, self.validation.inputs.kept
        return train if train == validation else f"training: {train}; validation: {validation}"

    @cached_property
    def features(self) -> reuse.FeatureStore:
        """Outputs of frozen layers, shared by the workers of this machine."""
        limit_bytes = int(self.experiment.reuse.gib * 2**30)
        return reuse.FeatureStore(self.store.cache, limit_bytes=limit_bytes)

    def release(self) -> None:
        """Keep nothing on a device that others use too; what is loaded stays in this memory."""
        if not self.residency.is_shared:
            return
        for part in (self.__dict__.get(name) for name in ("train", "validation")):
            if part is not None:
                part.inputs.release()
        self.residency.release()

    def test(self) -> Part:
        """The test part: for promotion alone, never loaded while searching."""
        return self._part(self.split.test)

    def build(self, recipe: Recipe, trial_seed: int) -> Built:
        """A fresh model with pretrained weights, a new head, and adapters where asked for.

        The same recipe and trial seed give the same values, also of what pretrained weights lack.
        """
        seed = derive_seed(trial_seed, "head")
        model = self.modality.build_model(recipe, outputs=self.task.outputs, seed=seed)
        # Names only, and every trial's model has the same: finding them takes a tenth of a second.
        self._groups = groups = self._groups or models.layer_groups(model)
        depth = groups.depth(recipe.freeze_depth)
        if recipe.adapter == "none":
            is_head_alone = depth == groups.count and not recipe.unfreeze_every
            is_partial = is_head_alone and self.weights is not None
            return Built(model, groups, depth, is_adapted=False, is_partial=is_partial)
        adapted, groups = models.apply_lora(
            model,
            groups,
            # Groups that thaw later need their adapters from the start.
            depth=0 if recipe.unfreeze_every else depth,
            rank=recipe.lora_rank,
            alpha=recipe.lora_alpha,
            dropout=recipe.lora_dropout,
            targets=recipe.lora_targets,
            seed=seed,
        )
        return Built(adapted, groups, depth, is_adapted=True, is_partial=True)

    def build_kept(
        self, recipe: Recipe, trial_seed: int, state: Mapping[str, Tensor], *, merged: bool = True
    ) -> nn.Module:
        """A trial's model as its kept weights have it, in evaluation mode.

        Args:
            recipe: The trial's.
            trial_seed: The trial's: what adapters sit beside is made again from it.
            state: The kept weights: all, or those of adapters and head, or of the head.
            merged: Whether adapters become part of the weights.
        """
        built = self.build(recipe, trial_seed)
        is_whole = state.keys() == built.model.state_dict().keys()
        if is_whole or not built.is_partial:
            built.model.load_state_dict(dict(state))
        else:
            models.load_trainable(built.model, state)
        is_merged = built.is_adapted and merged
        model = models.merged_model(built.model) if is_merged else built.model
        return model.eval()

    def save_kept(
        self, recipe: Recipe, spec: TrialSpec, target: Path, *, is_half: bool = False
    ) -> None:
        """Write a complete trial's whole model as safetensors, adapters merged.

        Args:
            recipe: The trial's.
            spec: The trial, whose folder has what it kept.
            target: The file.
            is_half: In 16-bit floats; whole numbers stay as they are.
        Raises:
            DiskRefused: If the disk refuses; the weights stay in the trial's folder.
        """
        state = load_weights_file(Path(spec.folder) / WEIGHTS)
        whole = self.build_kept(recipe, spec.seed, state).state_dict()
        if is_half:
            whole = {n: t.half() if t.is_floating_point() else t for n, t in whole.items()}
        models.write_state(target, whole)

    def _part(self, indices: tuple[int, ...]) -> Part:
        examples = [self.source.examples[index] for index in indices]
        targets = self.task.encode([example.label for example in examples])
        ids = tuple(example.id for example in examples)
        digest = sha256("\n".join(example.digest for example in examples).encode()).hexdigest()
        return Part(self.modality.inputs(indices), targets, ids, digest)


def targets_of(targets: Tensor, batch: Batch) -> Tensor:
    """A training batch's targets, without the words that the length limit cut off."""
    if WORD_POSITIONS not in batch:
        return targets
    words = batch[WORD_POSITIONS]
    return targets[:, : words.shape[1]].masked_fill(words < 0, PADDING)


@torch.inference_mode()
def predict(
    bench: Bench,
    forward: Callable[[Batch], Tensor],
    part: Part,
    *,
    recipe: Recipe,
    batch_size: int,
    device: torch.device,
) -> Predictions:
    """The model's outputs over a whole part; texts of like length share a batch.

    Args:
        bench: Whose part and task it is.
        forward: Gives the outputs of a batch.
        part: What to predict.
        recipe: The trial's; says how long a text may be.
        batch_size: Examples of a forward pass.
        device: Where to compute.
    """
    lengths = part.inputs.lengths
    order = np.arange(len(part)) if lengths is None else np.argsort(-lengths, kind="stable")
    rows = []
    for start in range(0, len(part), batch_size):
        chosen = torch.from_numpy(order[start : start + batch_size].copy())
        pulse.beat()
        outputs = forward(part.inputs.eval_batch(chosen, recipe, device=device))
        rows.append(bench.task.rows(outputs.float().cpu(), _cut(part.targets[chosen], outputs)))
    return gather(rows, [part.ids[position] for position in order])


def _cut(targets: Tensor, outputs: Tensor) -> Tensor:
    """Targets as wide as the outputs: a batch of short sentences needs fewer words."""
    return targets[:, : outputs.shape[1]] if outputs.ndim == 3 else targets
