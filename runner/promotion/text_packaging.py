"""A transformers encoder as one that plain MLflow serves, and plain transformers loads.

Among its artifacts is a folder in transformers' own layout: configuration (with the names of the
labels), weights and tokenizer. Beside it model.json has what transformers has no place for.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runner.experiment import LabelKind
from runner.models import save_adapter
from runner.promotion.adapter_base import BaseWeights, require_rebuilt
from runner.promotion.answers import Answers, answer_signature
from runner.promotion.packaging import ServedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_CODE = tuple(
    Path(__file__).with_name(name)
    for name in ("served_answers.py", "served_network.py", "served_text_model.py")
)
_IMPORTS = ("torch", "transformers", "numpy", "pandas")
# What transformers itself calls the kinds; models that tag words have none.
_PROBLEM_TYPES: Mapping[LabelKind, str] = MappingProxyType(
    {
        LabelKind.CLASS: "single_label_classification",
        LabelKind.CLASSES: "multi_label_classification",
        LabelKind.NUMBER: "regression",
    }
)


@dataclass(frozen=True)
class TextModel:
    """Everything a model of texts needs to answer.

    Attributes:
        network: The trained model, with its head.
        tokenizer: What it was trained with.
        answers: What its outputs mean.
        max_length: Tokens a text is cut to, special ones included; None where it is not cut.
        cleaning: `lower`, `unicode` and `whitespace`, as texts were cleaned for training.
        has_pair: Whether an example is a pair of texts.
        base: Where its frozen weights come from, to package adapters and head alone; None to
            package all its weights.
    """

    network: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerFast"
    answers: Answers
    max_length: int | None
    cleaning: Mapping[str, Any]
    has_pair: bool = False
    base: BaseWeights | None = None

    def description(self) -> dict[str, Any]:
        """What the served model reads as model.json."""
        return {
            **self.answers.description(),
            "max_length": self.max_length,
            "cleaning": dict(self.cleaning),
            "has_pair": self.has_pair,
            "base": None if self.base is None else self.base.description(),
        }


def serve_texts(model: TextModel) -> ServedModel:
    """A model of texts that plain MLflow can serve.

    Raises:
        PromotionRefused: If it is an adapter that would not give the trained model again.
    """
    from mlflow.types import ColSpec, DataType
    from mlflow.types.schema import Array

    from runner.promotion.served_network import load_network
    from runner.promotion.served_text_model import DEFAULT_BATCH_SIZE

    if model.base is not None:
        with TemporaryDirectory() as folder:
            write_transformers_folder(Path(folder), model)
            rebuilt = load_network(Path(folder), model.description())
        require_rebuilt(model.network, rebuilt, base=model.base)
    is_tags = model.answers.kind is LabelKind.TAGS
    columns = [ColSpec(DataType.string, "text", required=not is_tags)]
    if is_tags:
        columns.append(ColSpec(Array(DataType.string), "tokens", required=False))
    if model.has_pair:
        columns.append(ColSpec(DataType.string, "pair"))

    def write(folder: Path) -> dict[str, Path]:
        """The transformers folder, and the description beside it."""
        files, description = folder / "transformers", folder / "model.json"
        write_transformers_folder(files, model)
        description.write_text(json.dumps(model.description(), indent=2), "utf-8")
        return {"transformers": files, "model": description}

    return ServedModel(
        code=_CODE,
        write=write,
        signature=answer_signature(
            model.answers,
            columns,
            batch_size=DEFAULT_BATCH_SIZE,
        ),
        example=_example(model.has_pair),
        imports=_IMPORTS if model.base is None else (*_IMPORTS, *model.base.imports()),
    )


def write_transformers_folder(folder: Path, model: TextModel) -> None:
    """Writes what `from_pretrained` and `pipeline` of plain transformers load.

    Args:
        folder: Made if it is not there.
        model: Its weights are written as they are: of a number, the folder's answer is in standard
            deviations, as the name of its one output says. With a base, the adapter is written in
            peft's layout, beside the configuration and the tokenizer.
    """
    if model.base is None:
        with _without_progress_bar():
            model.network.save_pretrained(folder)
    else:
        model.network.config.save_pretrained(folder)
        save_adapter(model.network, folder, base_name=model.base.name)
    model.tokenizer.save_pretrained(folder)
    names = _output_names(model.answers)
    labels: dict[str, Any] = {
        "id2label": {str(index): name for index, name in enumerate(names)},
        "label2id": {name: index for index, name in enumerate(names)},
    }
    if model.answers.kind in _PROBLEM_TYPES:
        labels["problem_type"] = _PROBLEM_TYPES[model.answers.kind]
    _change(folder / "config.json", labels)
    # By this class the tokenizer is read as it was written; by others it is put together anew.
    tokenizer: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": list(model.tokenizer.model_input_names),
        "padding_side": model.tokenizer.padding_side,
        "truncation_side": model.tokenizer.truncation_side,
    }
    if model.max_length is not None:
        tokenizer["model_max_length"] = model.max_length
    _change(folder / "tokenizer_config.json", tokenizer)


@contextmanager
def _without_progress_bar() -> Iterator[None]:
    """transformers draws one for each file of weights it writes."""
    from transformers.utils import logging

    bars: Any = logging
    was_shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            bars.enable_progress_bar()


def _output_names(answers: Answers) -> tuple[str, ...]:
    if answers.kind is not LabelKind.NUMBER:
        return answers.classes
    return (f"standard deviations of {answers.std:.6g} from {answers.mean:.6g}",)


def _change(file: Path, values: Mapping[str, Any]) -> None:
    known = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**known, **values}, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _example(has_pair: bool) -> Any:
    """One text: MLflow keeps it, and the request that serving expects, with the model."""
    import pandas as pd

    text = {"text": ["What is written here is only an example."]}
    return pd.DataFrame({**text, "pair": ["And this is its pair."]} if has_pair else text)
