"""Texts: tokens from the token store, and transformers' encoders."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runner import data, models
from runner.experiment import Experiment, LabelKind, Modality, Recipe, TextDataSettings
from runner.trial.allowance import allowance_of
from runner.trial.findings import finding_of
from runner.trial.job import Finding
from runner.trial.modality import Batch, Moment
from runner.trial.possible import possible_values
from runner.trial.precision import Numerics


@dataclass(frozen=True)
class TextInputs:
    """One part of the split as tokens.

    Attributes:
        store: The tokens.
        pad_id: Id of the padding token.
        limit: Most tokens the model can take; None if it takes any number.
    """

    store: data.TokenStore
    pad_id: int
    limit: int | None

    def __len__(self) -> int:
        return len(self.store)

    @property
    def lengths(self) -> np.ndarray | None:
        """Tokens of each text as the model can take them, int32 [N]."""
        lengths: np.ndarray = self.store.lengths
        if self.limit is not None:
            lengths = np.minimum(lengths, self.limit)
        return lengths

    @property
    def pads_left(self) -> bool:
        """See `Inputs.pads_left`: as the tokenizer does."""
        return self.store.pads_left

    @property
    def kept(self) -> str:
        """See `Inputs.kept`."""
        return self.store.kept

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens."""
        return self.store.nbytes

    def train_batch(
        self, chosen: Tensor, recipe: Recipe, *, moment: Moment, rows: Tensor | None = None
    ) -> Batch:
        """Padded tokens; texts are not changed at random."""
        made = chosen if rows is None else chosen[rows]
        return self.eval_batch(made, recipe, device=moment.device)

    def eval_batch(self, chosen: Tensor, recipe: Recipe, *, device: torch.device) -> Batch:
        """Padded tokens, int64 [B, L], cut to the recipe's length or the model's."""
        arrays = self.store.batch(
            chosen.numpy(), pad_id=self.pad_id, max_length=recipe.max_length or self.limit
        )
        return {
            name: torch.from_numpy(array).to(device, non_blocking=True)
            for name, array in arrays.items()
        }

    def beside(self, chosen: Tensor, recipe: Recipe, *, device: torch.device) -> Batch:
        """The whole batch of tokens, which has the masks; see `Inputs.beside`."""
        return self.eval_batch(chosen, recipe, device=device)

    def release(self) -> None:
        """Tokens stay on no device; see `Inputs.release`."""


@dataclass
class TextModality:
    """The texts of an experiment, and its transformers encoder."""

    experiment: Experiment
    base: Path
    cache: Path
    threads: int = 1

    @cached_property
    def source(self) -> data.TextSource:
        """The texts and their labels."""
        opened = data.open_source(
            self.experiment.data,
            labels=self.kind,
            modality=Modality.TEXT,
            base=self.base,
            cache=self.cache,
        )
        assert isinstance(opened, data.TextSource)
        return opened

    @property
    def kind(self) -> LabelKind:
        """How the texts are labelled."""
        labels = self.experiment.form.labels
        assert labels is not None  # text tasks have labels
        return labels

    @cached_property
    def files(self) -> "models.TextFiles":
        """Where configuration, weights and tokenizer lie."""
        asked = self.experiment.model
        return models.text_files(
            asked.name, asked.weights, base=self.base, tokenizer=asked.tokenizer
        )

    @cached_property
    def tokenizer(self) -> Any:
        """The model's fast tokenizer."""
        return models.load_tokenizer(self.files, kind=self.kind)

    @cached_property
    def weights(self) -> models.Weights | None:
        """The pretrained weights, or None for random initialisation."""
        return models.load_text_weights(self.files)

    @cached_property
    def limit(self) -> int | None:
        """Most tokens the model can take; None if it takes any number."""
        return models.text_limit(
            self.files, self.experiment.model.arguments, tokenizer=self.tokenizer
        )

    def problems(self) -> Iterator[Finding]:
        """See `Modality.problems`. What lies on the hub is judged once it is here."""
        asked = self.experiment.model
        lengths = [n for n in possible_values(self.experiment, "max_length") if n is not None]
        for problem in models.check_text_model(
            asked.name,
            asked.weights,
            asked.arguments,
            tokenizer=asked.tokenizer,
            task_form=self.experiment.form,
            base=self.base,
            max_length=max(lengths, default=None),
            regularisers=["dropout"] if any(possible_values(self.experiment, "dropout")) else [],
        ):
            yield finding_of(problem)

    def prepared_problems(self) -> Iterator[Finding]:
        """The same checks again where something may have come from the hub since."""
        asked = self.experiment.model
        is_all_here = asked.weights not in ("hub", "none") and asked.tokenizer is None
        return iter(()) if is_all_here else self.problems()

    def inputs(self, positions: Sequence[int]) -> TextInputs:
        """See `Modality.inputs`."""
        settings = self.experiment.data
        assert isinstance(settings, TextDataSettings)  # the first pass has checked it
        asked = settings.cleaning
        store = data.tokenize_texts(
            self.source,
            tuple(positions),
            tokenizer=self.tokenizer,
            tokenizer_key=models.tokenizer_key(self.tokenizer),
            cleaning=data.Cleaning(asked.lower, asked.unicode, asked.whitespace),
            cache=self.cache,
            allowance=allowance_of(self.experiment),
        )
        self._counted.append(store)
        return TextInputs(store, int(self.tokenizer.pad_token_id), self.limit)

    @cached_property
    def _counted(self) -> list[data.TokenStore]:
        """The stores made so far: training and validation while searching."""
        return []

    def build_model(self, recipe: Recipe, *, outputs: int, seed: int) -> nn.Module:
        """See `Modality.build_model`."""
        return models.build_text_model(
            self.files,
            kind=self.kind,
            outputs=outputs,
            weights=self.weights,
            arguments=self.experiment.model.arguments,
            dropout=recipe.dropout,
            seed=seed,
        )

    def forward(self, model: nn.Module, batch: Batch, numerics: Numerics) -> Tensor:
        """Outputs [B, C], or of each word [B, W, C]."""
        return models.text_logits(model, batch)

    def facts(self) -> Mapping[str, Any]:
        """Most tokens the model takes, and how many the longest text has."""
        longest = max((int(s.lengths.max(initial=0)) for s in self._counted), default=0)
        return {"max_length": self.limit, "longest_text": longest}

    def fingerprints(self) -> Mapping[str, str]:
        """The tokenizer's and the configuration's."""
        found = {"tokenizer": models.tokenizer_key(self.tokenizer)}
        if self.files.folder is not None:
            content = (self.files.folder / "config.json").read_bytes()
            found["configuration"] = hashlib.sha256(content).hexdigest()
        return found

    def preparation(self, recipe: Recipe) -> Mapping[str, Any]:
        """Tokenizer, cleaning and the length of texts; see `Modality.preparation`."""
        settings = self.experiment.data
        assert isinstance(settings, TextDataSettings)  # the first pass has checked it
        return {
            **self.fingerprints(),
            "cleaning": settings.cleaning.model_dump(),
            "max_length": recipe.max_length or self.limit,
            "arguments": self.experiment.model.arguments,
            "transformers": version("transformers"),
            "tokens": data.tokens_version(),
        }

    def notes(self) -> Iterator[str]:
        """Which texts are left out, and how many are cut."""
        if left_out := self.source.unreadable:
            listed = ", ".join(left_out[:10])
            yield f"{len(left_out)} empty texts are left out: {listed}"
        asked = [n for n in possible_values(self.experiment, "max_length") if n is not None]
        for limit in sorted({*asked, *([] if self.limit is None else [self.limit])}):
            cut = sum(store.longer_than(limit) for store in self._counted)
            total = sum(len(store) for store in self._counted)
            if cut:
                yield f"{cut} of {total} texts are longer than {limit} tokens and are cut there"
