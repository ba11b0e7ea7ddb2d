"""The `ray` part of an experiment: what one trial takes of a Ray cluster."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from runner.errors import nearest_spelling
from runner.experiment.example_settings import Text
from runner.experiment.masking import has_secret
from runner.experiment.recipe import SETTINGS

Amount = Annotated[float, Field(gt=0, le=1_000_000)]

ENVIRONMENT_KEYS = (
    "working_dir",
    "excludes",
    "py_modules",
    "pip",
    "uv",
    "conda",
    "env_vars",
    "config",
)
"""Of Ray's runtime environment. What else Ray has (py_executable, worker_process_setup_hook,
container, ...) starts programs of its own; Ray itself overlooks a misspelt key."""

# HF_TOKEN, AWS_SECRET_ACCESS_KEY, PGPASSWORD; not TOKENIZERS_PARALLELISM, nor RAY_AUTH_TOKEN_PATH.
_SECRET_WORD = re.compile(r".*(PASSWORD|PASSWD|SECRET|TOKEN|APIKEY)|KEY|PASS|PWD")
_PLACE_WORDS = ("PATH", "FILE", "DIR")


def _ours(value: dict[str, Any]) -> dict[str, Any]:
    if reserved := [name for name in ("CPU", "GPU") if name in value]:
        raise ValueError(f"must not name {reserved[0]}: that is what cpus and gpus are for")
    return value


def _known_environment(value: dict[str, Any]) -> dict[str, Any]:
    for key in value:
        if key not in ENVIRONMENT_KEYS:
            near = nearest_spelling(key, ENVIRONMENT_KEYS)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"has no {key!r}; allowed: {', '.join(ENVIRONMENT_KEYS)}{hint}")
    variables = value.get("env_vars")
    names = [str(name) for name in variables] if isinstance(variables, Mapping) else []
    secret = next(filter(_is_secret_name, names), None)
    if secret is not None or any(_holds_secret(text) for text in _texts(value)):
        what = "a password" if secret is None else secret
        raise ValueError(
            f"must not hold {what}, which would be kept with every trial; set it where Ray is "
            "started on the cluster's machines, and its workers have it"
        )
    return value


def _is_secret_name(name: str) -> bool:
    words = name.upper().split("_")
    is_place = words[-1] in _PLACE_WORDS
    return not is_place and any(_SECRET_WORD.fullmatch(word) for word in words)


def _holds_secret(text: str) -> bool:
    return any(has_secret(word) for word in text.split())


def _texts(value: object) -> Iterator[str]:
    """Every text in a value of lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


class RaySettings(BaseModel):
    """What one trial takes of a Ray cluster, and what is shipped there."""

    model_config = SETTINGS

    address: Text | None = Field(
        None,
        description="Address of a Ray cluster, host:port, or `auto` on one of its machines; null: "
        "RAY_ADDRESS if set, else Ray is started on this machine alone.",
    )
    cpus: Amount | None = Field(
        None,
        description="Cores of one trial, which are also its threads; null: on this machine alone "
        "as with `--backend local`; on a cluster one, or where there are GPUs what falls to a "
        "GPU, at most 8.",
    )
    gpus: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of a GPU that one trial takes; it counts places, Ray does not watch "
        "memory; 0: none; null: `search.gpus_per_trial` where there are any.",
    )
    resources: Annotated[dict[str, Amount], AfterValidator(_ours)] = Field(
        default_factory=dict,
        description="Further resources of one trial, by the names that the cluster gives them, "
        "e.g. {big_memory: 1}.",
    )
    accelerator: Text | None = Field(
        None, description="Type of accelerator that a trial needs, as Ray calls it, e.g. H100."
    )
    files: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        (),
        description="task: custom: files and folders that its code reads, to be sent with it "
        "to machines that do not see them; relative to the experiment file, in the code's folder.",
    )
    runtime_env: Annotated[dict[str, Any], AfterValidator(_known_environment)] = Field(
        default_factory=dict,
        description="Ray's runtime environment, as Ray documents it: "
        f"{', '.join(ENVIRONMENT_KEYS)}; paths are relative to the experiment file. No secrets: "
        "it is kept with every trial.",
    )
