"""Part of a served text model: the network from its folder, or from an adapter and its base.

Packaging joins it with the served model's own file, for MLflow keeps one; so it may import only
what the model's own requirements name.
"""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from mlflow.exceptions import MlflowException
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.utils import logging as transformers_logging


def load_network(folder: Path, spec: dict[str, Any]) -> Any:
    """The network in a transformers folder; or an adapter there, merged into its base."""
    of_words, of_texts = AutoModelForTokenClassification, AutoModelForSequenceClassification
    auto: Any = of_words if spec["kind"] == "tags" else of_texts
    # Nothing that lies there is run, whatever its config.json says.
    data_only: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with _quiet():
        if spec.get("base") is None:
            return auto.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, **data_only
            )
        from peft import PeftModel

        config = AutoConfig.from_pretrained(folder, **data_only)
        # Its files are known by their digests; of an older model they may be pickles, of which
        # transformers reads tensors alone (weights_only).
        base = auto.from_pretrained(
            base_folder(spec["base"]), config=config, dtype=torch.float32, **data_only
        )
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
