"""A text model served by plain MLflow: this file, a transformers folder and a description.

MLflow keeps a copy beside the model ("models from code"), joined with the parts it imports of this
project, and runs it wherever the model is loaded; so it may import only what the model's own
requirements name. How a text is cleaned and cut is therefore written here a second time; tests
hold it against the training code.

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

import inspect
import json
import re
import unicodedata
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
from transformers import PreTrainedTokenizerFast

from runner.promotion.served_answers import answer_table
from runner.promotion.served_network import load_network

DEFAULT_BATCH_SIZE = 32
# IOB1, IOB2, IOBES and BILOU in one: B, S and U begin an entity; E, L, S and U end one.
_TAG = re.compile(r"([BIMESLU])-(.+)", re.DOTALL)


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
        _split(_text(text, "text", row)) if _is_missing(words) else _words(words, row)
        for row, (text, words) in enumerate(zip(texts, lists, strict=True))
    ]


def _split(text: str) -> list[str]:
    """Words as training has them: other white space may be part of a word."""
    return re.split(r"[ \t\r\n]+", text.strip(" \t\r\n"))


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
    """The entities as the evaluation counts them, in whatever scheme the tags are.

    An I-x where none of type x goes on begins one; a tag without a prefix is one of one word.
    """
    found: list[dict[str, Any]] = []
    going_on: str | None = None
    for position, tag in enumerate(tags):
        if tag == "O":
            going_on = None
            continue
        match = _TAG.fullmatch(tag)
        prefix, kind = match.groups() if match is not None else ("S", tag)
        if prefix in "BSU" or kind != going_on:
            found.append({"text": "", "type": kind, "start": position, "end": position})
        found[-1]["end"] = position + 1
        going_on = None if prefix in "ESLU" else kind
    return [{**each, "text": " ".join(words[each["start"] : each["end"]])} for each in found]


mlflow.models.set_model(TextModel())
