"""Folders of the Hugging Face hub: from the cache where they are in it, else downloaded once."""

import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError  # type: ignore[attr-defined]

from runner.errors import WeightsUnavailable
from runner.experiment import first_line
from runner.models.hub import why_unreachable

_INSTEAD = (
    "Set model.weights to a folder (./...) with config.json, model.safetensors and the "
    "tokenizer's files, to package:<installed package>, or to none for random weights"
)


class NotCached(WeightsUnavailable):
    """Only a download could tell, and none was allowed."""


def hub_folder(
    name: str,
    patterns: Sequence[str],
    *,
    is_complete: Callable[[Path], bool],
    download: bool,
) -> Path:
    """A repository's files that match the patterns, in the Hugging Face cache.

    What the cache has is used without asking the hub for news; a search does not change under
    its user.

    Args:
        name: `owner/repository`, or with `@revision`.
        patterns: Which files.
        is_complete: Whether a folder has what is needed.
        download: Whether the hub may be asked for what the cache lacks.
    Raises:
        NotCached: If it is not in the cache and must not be downloaded.
        WeightsUnavailable: If it cannot be downloaded; the message says what to do instead.
    """
    repository, _, revision = name.partition("@")
    cached = _cached(repository, revision or None, patterns)
    if cached is not None and is_complete(cached):
        return cached
    if not download:
        raise NotCached(f"{name} is not in {huggingface_hub.constants.HF_HUB_CACHE}")
    _require_reachable(name)
    try:
        folder = huggingface_hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=list(patterns)
        )
    except (OSError, RuntimeError, ValueError, HTTPError) as err:
        raise WeightsUnavailable(
            f"weights of {name}: the download failed: {first_line(err)}. {_INSTEAD}."
        ) from err
    return Path(folder)


def _cached(repository: str, revision: str | None, patterns: Sequence[str]) -> Path | None:
    try:
        folder = huggingface_hub.snapshot_download(
            repository, revision=revision, allow_patterns=list(patterns), local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    except (OSError, ValueError) as err:
        raise WeightsUnavailable(
            f"{repository}: not a name on the hub: {first_line(err)}"
        ) from err
    return Path(folder)


def _require_reachable(name: str) -> None:
    cache = huggingface_hub.constants.HF_HUB_CACHE
    if huggingface_hub.is_offline_mode():
        raise WeightsUnavailable(
            f"weights of {name}: they are not in {cache}, and HF_HUB_OFFLINE forbids asking the "
            f"hub. {_INSTEAD}."
        )
    address = huggingface_hub.constants.ENDPOINT
    reason = why_unreachable(address)
    if reason is not None:
        host = urllib.parse.urlsplit(address).netloc
        raise WeightsUnavailable(
            f"weights of {name}: {host} cannot be reached ({reason}), and they are not in "
            f"{cache}. {_INSTEAD}."
        )
