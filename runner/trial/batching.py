"""The batches of an epoch, or the portion of each that one of several devices has."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import MixUp

from runner.experiment import Recipe
from runner.trial.bench import Part, targets_of
from runner.trial.epoch_order import epoch_batches
from runner.trial.images import PIXELS
from runner.trial.modality import Batch, Moment, rows_of
from runner.trial.parallel.ranks import Ranks


@dataclass(frozen=True)
class Portion:
    """What one rank has of a batch; all of it, if there is no other.

    Attributes:
        batch: Inputs of its examples.
        targets: As the task encodes them; of mixed images as probabilities.
        count: Examples of the whole batch.
    """

    batch: Batch
    targets: Tensor
    count: int


@dataclass(frozen=True)
class Batches:
    """Makes the training batches of a trial.

    Attributes:
        part: What to train on.
        recipe: The trial's.
        classes: How many there are, for mixup.
        ranks: Among whom batches are shared out.
    """

    part: Part
    recipe: Recipe
    classes: int
    ranks: Ranks

    def of_epoch(self, moment: Moment) -> Iterator[Portion]:
        """This rank's portions of the epoch's batches. They are the same however many ranks."""
        for chosen in epoch_batches(
            len(self.part),
            self.recipe.batch_size,
            generator=moment.generator,
            lengths=self.part.inputs.lengths,
            labels=self.part.targets if self.recipe.sampling == "balanced" else None,
        ):
            yield self._portion(chosen, moment)

    def _portion(self, chosen: Tensor, moment: Moment) -> Portion:
        count = len(chosen)
        if self.ranks.size == 1:
            batch, targets = self._mixed(*self._made(chosen, None, moment), moment)
            return Portion(batch, targets, count)
        mine = torch.arange(count)[self.ranks.share(count)]
        # Each image is mixed with the one before it, which another rank may have.
        lead = [mine[:1] - 1] if self.recipe.mixup > 0 else []
        # A rank without an example makes one all the same, and takes nothing of it.
        rows = torch.cat([*lead, mine]) % count if len(mine) else torch.zeros(1, dtype=torch.int64)
        batch, targets = self._mixed(*self._made(chosen, rows, moment), moment)
        first = len(rows) - len(mine)
        return Portion(rows_of(batch, first, len(rows)), targets[first:], count)

    def _made(self, chosen: Tensor, rows: Tensor | None, moment: Moment) -> tuple[Batch, Tensor]:
        batch = self.part.inputs.train_batch(chosen, self.recipe, moment=moment, rows=rows)
        made = chosen if rows is None else chosen[rows]
        return batch, targets_of(self.part.targets[made].to(moment.device), batch)

    def _mixed(self, batch: Batch, targets: Tensor, moment: Moment) -> tuple[Batch, Tensor]:
        if self.recipe.mixup == 0:
            return batch, targets
        mixup = MixUp(alpha=self.recipe.mixup, num_classes=self.classes)
        # torchvision draws the ratio from the CPU's own generator, which dropout uses too and
        # which differs from rank to rank; the ratio must not.
        before = torch.get_rng_state()
        seed = int(torch.randint(2**62, (1,), generator=moment.generator))
        torch.default_generator.manual_seed(seed)
        try:
            pixels, mixed = mixup(batch[PIXELS], targets)
        finally:
            torch.set_rng_state(before)
        return {**batch, PIXELS: pixels}, mixed
