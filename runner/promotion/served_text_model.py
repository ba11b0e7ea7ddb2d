"""A text model served by plain MLflow: this file, a transformers folder and a description.

MLflow keeps a copy of this file beside the model ("models from code") and runs it wherever the
model is loaded, so it may import only what the model's own requirements name. How a text is
cleaned and cut, and how an answer becomes a table, is therefore written here a second time; tests
hold it against the training code and against the served image model.

Input: a column `text`, and `pair` where the model was trained on pairs. A model that tags words
takes `text` (split at white space) or `tokens` (a list of words a row).
Output by kind: one class: `label`, `probability`, and the probability of each class in a column
named after it; several: `labels`, joined by ", ", and such a column for each; a number:
`prediction`; words: `tags`, a list with a tag for each word, and `entities`, JSON text of
[{"text", "type", "start", "end"}] where start and end count words, end not included.
Parameters: `batch_size` is how many texts go through the network at once; one class: `top_k` adds
`label_2`, `probability_2`, ... up to that rank; several: `threshold` is the probability from which
a label holds.
"""

import hashlib
import inspect
import json
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

DEFAULT_BATCH_SIZE = 32
DEFAULT_THRESHOLD = 0.5
RESERVED_COLUMNS = ("label", "probability", "labels", "image", "text", "pair", "tokens")
RESERVED_BEGINNINGS = ("label_", "probability_")


class TextModel(PythonModel):
    """A fine-tuned transformers encoder that takes texts."""

    def load_context(self, context: Any) -> None:
        """Builds the network and its tokenizer from the model's artifacts."""
        self.spec = json.loads(Path(context.artifacts["model"]).read_text("utf-8"))
        folder = Path(context.artifacts["transformers"])
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        network = load_network(folder, self.spec)
        self.takes = set(inspect.signature(network.forward).parameters)
        if getattr(network.config, "type_vocab_size", 2) < 2:
            self.takes.discard("token_type_ids")
        self.network = network.eval().to(self.device)

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The answer to each text, one row a text, in the order given.

        Raises:
            MlflowException: If a row holds no text, or an empty one; the message names the row.
        """
        settings = params or {}
        size = max(1, int(settings.get("batch_size", DEFAULT_BATCH_SIZE)))
        given = given_texts(model_input, self.spec)
        outputs = self._outputs([cleaned(text, self.spec["cleaning"]) for text in given], size)
        if self.spec["kind"] == "tags":
            return tag_table(outputs, given, self.spec["classes"], index=model_input.index)
        count = max(1, len(self.spec["classes"]))
        stacked = torch.stack(outputs) if outputs else torch.empty(0, count)
        return answer_table(stacked, self.spec, settings, index=model_input.index)

    def _outputs(self, texts: list[Any], batch_size: int) -> list[Tensor]:
        """Each text's outputs [C], or [W, C] of its words; texts of like length go together."""
        if not texts:
            return []
        encoded = self._encoded(texts)
        order = np.argsort([len(ids) for ids in encoded["input_ids"]], kind="stable")
        outputs: dict[int, Tensor] = {}
        for start in range(0, len(order), batch_size):
            rows = [int(row) for row in order[start : start + batch_size]]
            logits = self._logits({name: [encoded[name][row] for row in rows] for name in encoded})
            for row, own in zip(rows, logits, strict=True):
                if self.spec["kind"] == "tags":
                    words = self._padded(self._words(encoded, row), len(own), None)
                    own = by_word(own, words, count=len(texts[row]))
                outputs[row] = own
        return [outputs[row] for row in range(len(texts))]

    def _encoded(self, texts: list[Any]) -> Any:
        """Token numbers of every text, cut at the length the model was trained with."""
        is_pair = self.spec["has_pair"]
        columns = [list(part) for part in zip(*texts, strict=True)] if is_pair else [texts]
        return self.tokenizer(
            *columns,
            truncation=self.spec["max_length"] is not None,
            max_length=self.spec["max_length"],
            is_split_into_words=self.spec["kind"] == "tags",
        )

    def _words(self, encoded: Any, row: int) -> list[int | None]:
        """The word of each token; None where the word's first token was cut off on the left."""
        words: list[int | None] = encoded.word_ids(row)
        if self.tokenizer.truncation_side != "left":
            return words
        lost = {word for part in encoded[row].overflowing for word in part.word_ids}
        return [None if word in lost else word for word in words]

    def _logits(self, rows: dict[str, list[Any]]) -> Tensor:
        """Logits of one batch, float32 on the CPU: [B, C], of words [B, T, C]."""
        longest = max(len(ids) for ids in rows["input_ids"])
        fillings = {
            "input_ids": self.tokenizer.pad_token_id,
            "token_type_ids": self.tokenizer.pad_token_type_id,
            "attention_mask": 0,
        }
        batch = {
            name: torch.tensor([self._padded(own, longest, filling) for own in rows[name]])
            for name, filling in fillings.items()
            if name in rows and name in self.takes
        }
        with torch.inference_mode():
            placed = {name: tensor.to(self.device) for name, tensor in batch.items()}
            logits: Tensor = self.network(**placed).logits.float().cpu()
        return logits

    def _padded(self, values: list[Any], length: int, filling: Any) -> list[Any]:
        padding = [filling] * (length - len(values))
        return padding + values if self.tokenizer.padding_side == "left" else values + padding


def load_network(folder: Path, spec: dict[str, Any]) -> Any:
    """The network in a transformers folder; or an adapter there, merged into its base."""
    of_words, of_texts = AutoModelForTokenClassification, AutoModelForSequenceClassification
    auto: Any = of_words if spec["kind"] == "tags" else of_texts
    plain = {"local_files_only": True, "dtype": torch.float32}
    with _quiet():
        if spec.get("base") is None:
            return auto.from_pretrained(folder, **plain)
        from peft import PeftModel

        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        base = auto.from_pretrained(base_folder(spec["base"]), config=config, **plain)
        return PeftModel.from_pretrained(base, folder).merge_and_unload()


def base_folder(base: dict[str, Any]) -> Path:
    """The folder of the weights under an adapter, known to be those it was trained on.

    Raises:
        MlflowException: If they are not here, or others.
    """
    kind, _, name = base["source"].partition(":")
    if kind == "hub":
        from huggingface_hub import snapshot_download

        wanted = [*base["files"], "config.json"]
        folder = Path(snapshot_download(name, revision=base["path"], allow_patterns=wanted))
    else:
        root = metadata.distribution(name).locate_file("") if kind == "package" else "/"
        folder = Path(str(root), base["path"])
    for file, digest in base["files"].items():
        path = folder / file
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no such file"
        if found != digest:
            raise MlflowException(
                f"{path} is not the file of {base['source']} that the adapter was trained on: "
                f"sha256 {digest}, seen: {found}"
            )
    return folder


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers draws a progress bar, lists what a base model lacks, and warns of its own."""
    logs: Any = transformers_logging
    was_shown, level = logs.is_progress_bar_enabled(), logs.get_verbosity()
    logs.disable_progress_bar()
    logs.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logs.set_verbosity(level)
        if was_shown:
            logs.enable_progress_bar()


def given_texts(frame: pd.DataFrame, spec: dict[str, Any]) -> list[Any]:
    """What the rows hold: a text, a pair of texts, or the list of a text's words.

    Raises:
        MlflowException: If a row holds no text, or an empty one.
    """
    if spec["kind"] == "tags":
        return _given_words(frame)
    columns = ("text", "pair") if spec["has_pair"] else ("text",)
    parts = [
        [_text(value, column, row) for row, value in enumerate(frame[column])]
        for column in columns
    ]
    return list(zip(*parts, strict=True)) if spec["has_pair"] else parts[0]


def _given_words(frame: pd.DataFrame) -> list[list[str]]:
    if not {"text", "tokens"} & set(frame.columns):
        raise MlflowException.invalid_parameter_value(
            "the model takes a column 'text' or a column 'tokens'; seen: "
            f"{', '.join(map(str, frame.columns)) or 'neither'}"
        )
    nothing = [None] * len(frame)
    texts, lists = (list(frame.get(column, nothing)) for column in ("text", "tokens"))
    return [
        _text(text, "text", row).split() if _is_missing(words) else _words(words, row)
        for row, (text, words) in enumerate(zip(texts, lists, strict=True))
    ]


def _words(value: Any, row: int) -> list[str]:
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise _refused(row, "tokens", f"holds a {type(value).__name__}, not a list of words")
    for word in value:
        if not isinstance(word, str):
            raise _refused(row, "tokens", f"holds a {type(word).__name__} among the words")
    if not "".join(value).strip():
        raise _refused(row, "tokens", "holds no words")
    return list(value)


def _text(value: Any, column: str, row: int) -> str:
    if _is_missing(value):
        raise _refused(row, column, "holds nothing")
    if not isinstance(value, str):
        raise _refused(row, column, f"holds a {type(value).__name__}, not text")
    if not value.strip():
        raise _refused(row, column, "holds an empty text")
    return value


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _refused(row: int, column: str, reason: str) -> MlflowException:
    where = f"row {row} (counted from 0): the column {column!r}"
    return MlflowException(f"{where} {reason}", error_code=INVALID_PARAMETER_VALUE)


def cleaned(text: Any, cleaning: dict[str, Any]) -> Any:
    """A text, a pair or words after the cleaning that the model was trained with."""
    if isinstance(text, str):
        return clean(text, **cleaning)
    return type(text)(clean(part, **cleaning) for part in text)


def clean(text: str, *, lower: bool, unicode: Any, whitespace: bool) -> str:
    """A text of whole characters; in one unicode form, in lower case, with single spaces if asked.

    Half characters (lone surrogates) are put together, or become U+FFFD: no tokenizer takes them.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if unicode is not None:
        text = unicodedata.normalize(unicode, text)
    if lower:
        text = text.lower() if unicode is None else unicodedata.normalize(unicode, text.lower())
    return " ".join(text.split()) if whitespace else text


def by_word(logits: Tensor, words: list[int | None], *, count: int) -> Tensor:
    """Logits [W, C] of each word's first token; a word that was cut off is of class 0.

    Args:
        logits: Of every token, shape [T, C].
        words: The number of each token's word, None for special tokens and padding.
        count: Number of words W.
    """
    found = torch.zeros(count, logits.shape[1])
    found[:, 0] = 1.0
    for position in reversed(range(len(words))):
        word = words[position]
        if word is not None:
            found[word] = logits[position]
    return found


def tag_table(
    outputs: list[Tensor], texts: list[list[str]], classes: list[str], *, index: pd.Index
) -> pd.DataFrame:
    """The tag of each word, and the entities they make."""
    tags = [[classes[int(best)] for best in each.argmax(dim=1)] for each in outputs]
    found = [entities(words, own) for words, own in zip(texts, tags, strict=True)]
    shown = [json.dumps(each, ensure_ascii=False) for each in found]
    return pd.DataFrame({"tags": pd.Series(tags, dtype=object), "entities": shown}).set_axis(index)


def entities(words: list[str], tags: list[str]) -> list[dict[str, Any]]:
    """Runs of B-x and I-x tags; an I-x after something else begins one of its own."""
    found: list[dict[str, Any]] = []
    before = ""
    for position, tag in enumerate(tags):
        kind = tag[2:] if tag[:2] in ("B-", "I-") else ""
        if kind and (tag.startswith("B-") or kind != before):
            found.append({"text": "", "type": kind, "start": position, "end": position})
        if kind:
            found[-1]["end"] = position + 1
        before = kind
    return [{**each, "text": " ".join(words[each["start"] : each["end"]])} for each in found]


def answer_table(
    outputs: Tensor, spec: dict[str, Any], settings: dict[str, Any], *, index: pd.Index
) -> pd.DataFrame:
    """The network's outputs, float32 [B, C], in the words and units people know."""
    if spec["kind"] == "number":
        values = outputs[:, 0].double().numpy() * spec["std"] + spec["mean"]
        return pd.DataFrame({"prediction": values}, index=index)
    classes = spec["classes"]
    if spec["kind"] == "classes":
        threshold = float(settings.get("threshold", DEFAULT_THRESHOLD))
        return labels_table(outputs.sigmoid().double().numpy(), classes, threshold, index=index)
    top_k = min(int(settings.get("top_k", 1)), len(classes))
    return label_table(outputs.softmax(dim=1).double().numpy(), classes, top_k, index=index)


def label_table(
    probabilities: np.ndarray, classes: list[str], top_k: int, *, index: pd.Index
) -> pd.DataFrame:
    """The likeliest label of each row, and all probabilities; float64 [B, C] in."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rows = np.arange(len(probabilities))
    columns: dict[str, Any] = {}
    for rank in range(max(1, top_k)):
        ending = "" if rank == 0 else f"_{rank + 1}"
        best = order[:, rank]
        columns[f"label{ending}"] = [classes[position] for position in best]
        columns[f"probability{ending}"] = probabilities[rows, best]
    for position, name in enumerate(classes):
        columns[class_column(name)] = probabilities[:, position]
    return pd.DataFrame(columns, index=index)


def labels_table(
    probabilities: np.ndarray, classes: list[str], threshold: float, *, index: pd.Index
) -> pd.DataFrame:
    """Every label that is likely enough in each row, and all probabilities; float64 [B, C] in."""
    held = probabilities >= threshold
    joined = [", ".join(np.asarray(classes, dtype=object)[row]) for row in held]
    columns: dict[str, Any] = {"labels": pd.Series(joined, dtype=object, index=index)}
    for position, name in enumerate(classes):
        columns[class_column(name)] = probabilities[:, position]
    return pd.DataFrame(columns, index=index)


def class_column(name: str) -> str:
    """The column of a class: its name, unless that would hide another column."""
    is_taken = name in RESERVED_COLUMNS or name.startswith(RESERVED_BEGINNINGS)
    return f"class {name}" if is_taken else name


mlflow.models.set_model(TextModel())
