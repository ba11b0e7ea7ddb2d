"""Part of every served model: from a network's outputs to a table people can read.

Packaging joins it with the served model's own file, for MLflow keeps one; so it may import only
what the requirements of every served model name.
"""

from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

DEFAULT_THRESHOLD = 0.5
RESERVED_COLUMNS = ("label", "probability", "labels", "image", "text", "pair", "tokens")
RESERVED_BEGINNINGS = ("label_", "probability_")


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
