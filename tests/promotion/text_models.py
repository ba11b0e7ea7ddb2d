"""Trained-looking text models for the tests of promotion: tiny, and they tell texts apart."""

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import torch

from runner.experiment import LabelKind
from runner.promotion.answers import Answers
from runner.promotion.packaging import save_model
from runner.promotion.text_packaging import TextModel, serve_texts

CLASSES = ("dull", "fine", "label")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
ANSWERS = {
    LabelKind.CLASS: Answers(LabelKind.CLASS, CLASSES),
    LabelKind.CLASSES: Answers(LabelKind.CLASSES, CLASSES),
    LabelKind.NUMBER: Answers(LabelKind.NUMBER, (), mean=1950.0, std=12.5),
    LabelKind.TAGS: Answers(LabelKind.TAGS, TAGS),
}
AS_IT_IS = {"lower": False, "unicode": None, "whitespace": False}
TEXTS = [
    "What a wonderful film, I liked it very much!",
    "dull",
    "The red fox jumps over the lazy dog. " * 12,
    "London  and\tParis",
    "文",
    "a quick brown bear sleeps under the old tree",
]


def text_model(folder: Path, kind: LabelKind, **changes: Any) -> TextModel:
    """An encoder's folder with a random head, large random weights, cut at 32 tokens.

    Args:
        folder: An encoder in the hub's layout.
        kind: What it answers.
        changes: Of the model's attributes.
    """
    from transformers import (
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
        PreTrainedTokenizerFast,
    )

    is_tags = kind is LabelKind.TAGS
    auto = AutoModelForTokenClassification if is_tags else AutoModelForSequenceClassification
    outputs = max(1, len(ANSWERS[kind].classes))
    torch.manual_seed(7)
    network = auto.from_config(AutoConfig.from_pretrained(folder, num_labels=outputs))
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    plain: dict[str, Any] = {"max_length": 32, "cleaning": AS_IT_IS, **changes}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return TextModel(network.eval(), tokenizer, ANSWERS[kind], **plain)


def loaded(folder: Path, model: TextModel) -> Any:
    """A model after MLflow has written and loaded it."""
    save_model(folder / "model", serve_texts(model))
    return mlflow.pyfunc.load_model(str(folder / "model"))
