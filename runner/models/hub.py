"""Weights and descriptions from the Hugging Face hub; an answer in seconds where it is away."""

import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import huggingface_hub
import timm
import torch
from timm.models import load_model_config_from_hf

from runner.errors import WeightsUnavailable
from runner.experiment import first_line
from runner.models.catalogue import (
    HUB_PREFIX,
    canonical_name,
    has_published_weights,
    is_on_hub_only,
    pretrained_tags,
    registry_config,
)
from runner.models.weight_files import only_tensors

# The hub answers in well under a second; name resolution alone can hang for 20 s without a bound.
PROBE_TIMEOUT_S = 5.0
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
_INSTEAD = (
    "Set model.weights to a .safetensors, .pth or .pt file, to package:<installed package>, "
    "or to none for random weights"
)


def hub_state(name: str) -> dict[str, torch.Tensor]:
    """Every tensor of a model's published weights, under timm's names.

    The files are kept in the Hugging Face cache, so a second call needs no network.

    Raises:
        WeightsUnavailable: If there are none, or they can neither be reached nor found cached.
    """
    model_name = canonical_name(name)
    _require_published(model_name)
    _require_reachable(model_name)
    try:
        with only_tensors():
            model = timm.create_model(model_name, pretrained=True)
    except Exception as err:
        # Four libraries read what a stranger wrote.
        why = f"the download failed: {first_line(err)}"
        # timm says the same in words of its own, and how to run it all the same.
        if isinstance(err, UnpicklingError) or isinstance(err.__cause__, UnpicklingError):
            why = "refused: a pickle that would run code when it is loaded"
        raise WeightsUnavailable(f"weights of {name}: {why}. {_INSTEAD}.") from err
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


@lru_cache(maxsize=32)
def hub_config(name: str) -> dict[str, Any]:
    """The description of a model that only the hub knows.

    Raises:
        WeightsUnavailable: If the hub cannot be reached, or has no timm model of that name.
    """
    model_name = canonical_name(name)
    _require_reachable(model_name)
    try:
        config, architecture, arguments = load_model_config_from_hf(
            model_name.removeprefix(HUB_PREFIX)
        )
        return {**config, "architecture": architecture, "model_args": dict(arguments or {})}
    except Exception as err:
        # A stranger's config.json may hold anything.
        raise WeightsUnavailable(
            f"model.name {name}: the hub has no timm model there: {first_line(err)}"
        ) from err


def _require_published(name: str) -> None:
    if not has_published_weights(name):
        tags = ", ".join(pretrained_tags(name)) or "none"
        raise WeightsUnavailable(
            f"weights of {name}: none are published under this name; "
            f"tags with weights: {tags}. {_INSTEAD}."
        )


def _require_reachable(name: str) -> None:
    address, cached = _location(name)
    if cached or huggingface_hub.is_offline_mode():
        return
    reason = why_unreachable(address)
    if reason is not None:
        host = urllib.parse.urlsplit(address).netloc
        raise WeightsUnavailable(
            f"weights of {name}: {host} cannot be reached ({reason}), and they are not in "
            f"{huggingface_hub.constants.HF_HUB_CACHE}. {_INSTEAD}."
        )


def _location(name: str) -> tuple[str, bool]:
    """Where a model's weights come from, and whether they are on this machine already."""
    if is_on_hub_only(name):
        config: dict[str, Any] = {"hf_hub_id": name.removeprefix(HUB_PREFIX)}
    else:
        config = registry_config(name)
    if not config.get("hf_hub_id"):
        url = str(config.get("url"))
        return url, Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2]).is_file()
    repository, _, revision = str(config["hf_hub_id"]).partition("@")
    file_name = config.get("hf_hub_filename")
    names = (file_name,) if file_name else _WEIGHT_FILES
    found = (_cached(repository, each, revision or None) for each in names)
    return huggingface_hub.constants.ENDPOINT, any(found)


def _cached(repository: str, file_name: str, revision: str | None) -> bool:
    path = huggingface_hub.try_to_load_from_cache(repository, file_name, revision=revision)
    return isinstance(path, str)


def why_unreachable(address: str) -> str | None:
    """Why nothing answers at an address within the time limit, or None if something does."""
    answers: list[str | None] = []
    probe = threading.Thread(target=lambda: answers.append(_probe(address)), daemon=True)
    probe.start()
    probe.join(PROBE_TIMEOUT_S + 1)
    return answers[0] if answers else f"no answer in {PROBE_TIMEOUT_S:.0f} s"


def _probe(address: str) -> str | None:
    request = urllib.request.Request(address, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=PROBE_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return None  # any answer at all shows the way there is open
    except (OSError, ValueError) as err:
        reason = getattr(err, "reason", err)
        return None if isinstance(reason, ssl.SSLError) else str(reason)
    return None
