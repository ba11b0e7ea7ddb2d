"""Where a text model's configuration, weights and tokenizer lie on this machine."""

from dataclasses import dataclass
from pathlib import Path

from runner.errors import WeightsUnavailable
from runner.models.text.places import (
    CONFIGURATION,
    MODEL,
    TOKENIZER,
    VOCABULARIES,
    has_tokenizer,
    is_place,
    place,
    weight_files,
)
from runner.models.weights import HUB, NONE


@dataclass(frozen=True)
class TextFiles:
    """What a text model is made from, all on this machine.

    Attributes:
        name: What reports call the model; transformers' `model_type` where there is no folder.
        folder: Has its config.json; None: a configuration of the experiment's own.
        weights: Files of its tensors, to be read together; empty for random ones.
        tokenizer: Folder of its tokenizer.
        description: Where the weights come from, for people.
    """

    name: str
    folder: Path | None
    weights: tuple[Path, ...]
    tokenizer: Path
    description: str


def text_files(
    name: str, weights: str, *, base: Path, tokenizer: str | None = None, download: bool = True
) -> TextFiles:
    """Finds a text model's files; from the hub it downloads what the cache lacks.

    Args:
        name: A name on the hub, where the weights or the configuration come from there;
            transformers' `model_type` or a folder with a config.json, where weights are `none`;
            free otherwise.
        weights: `hub`, `none`, `package:<distribution>`, or a folder in the hub's layout.
        base: Folder that relative paths start from.
        tokenizer: A name on the hub, `package:<distribution>` or a folder; None: with the model.
        download: Whether the hub may be asked for what the cache lacks.
    Raises:
        WeightsUnavailable: If they cannot be had here; the message says what to do instead.
    """
    folder = model_folder(name, weights, base=base, download=download)
    return TextFiles(
        name=name,
        folder=folder,
        weights=weight_files(folder) if folder is not None and weights != NONE else (),
        tokenizer=tokenizer_folder(tokenizer, folder, base=base, download=download),
        description=f"hub:{name}" if weights == HUB else weights,
    )


def model_folder(name: str, weights: str, *, base: Path, download: bool) -> Path | None:
    """The folder with a model's config.json, and with its weights unless they are `none`.

    Returns:
        None where the name is a `model_type`: weights are `none` and it is no place.
    Raises:
        WeightsUnavailable: If there is no such folder.
    """
    if weights != NONE:
        return place(name if weights == HUB else weights, MODEL, base=base, download=download)
    return place(name, CONFIGURATION, base=base, download=download) if is_place(name) else None


def tokenizer_folder(
    tokenizer: str | None, folder: Path | None, *, base: Path, download: bool
) -> Path:
    """The folder of a tokenizer: the one asked for, else the model's own.

    Raises:
        WeightsUnavailable: If there is none.
    """
    if tokenizer is not None:
        return place(tokenizer, TOKENIZER, base=base, download=download)
    if folder is None:
        raise WeightsUnavailable(
            "a configuration of its own has no tokenizer; name one: a folder (./...), "
            "package:<installed package> or a name on the hub"
        )
    if not has_tokenizer(folder):
        raise WeightsUnavailable(
            f"{folder} has no tokenizer (looked for {', '.join(VOCABULARIES)}); name one with "
            "model.tokenizer"
        )
    return folder
