"""The model, search and tracking parts of an experiment."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from runner.experiment.durations import WORDS, Duration, duration_s
from runner.experiment.example_settings import Text
from runner.experiment.masking import has_secret
from runner.experiment.recipe import SETTINGS

BUNDLED_WEIGHTS = ("bundled:glyphs",)
# A stalled network disk or hub comes back in less; whoever wants it sooner says so.
AUTO_SILENCE_S = 1800.0
WEIGHT_FILES = (".safetensors", ".pth", ".pt")
# How a path to a folder must start, so that it cannot be taken for anything else.
FOLDER_STARTS = ("./", "../", "/", "~")
_DISTRIBUTION = re.compile(r"package:[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_DEVICE = re.compile(r"cpu|mps|cuda(:(0|[1-9][0-9]{0,3}))?")


def is_weights_path(weights: str) -> bool:
    """Whether a `model.weights` value is a file or folder and not one of the other forms."""
    is_file = weights.lower().endswith(WEIGHT_FILES) and not weights.startswith("package:")
    return is_file or weights.startswith(FOLDER_STARTS)


def _weights(value: str) -> str:
    known = ("hub", "none", *BUNDLED_WEIGHTS)
    if value in known or _DISTRIBUTION.fullmatch(value) or is_weights_path(value):
        return value
    raise ValueError(
        f"must be {', '.join(known)}, package:<distribution>, or a path that ends in "
        f"{', '.join(WEIGHT_FILES)}, or a folder that starts with {', '.join(FOLDER_STARTS)}"
    )


def _plain(value: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as err:
        raise ValueError("must hold finite numbers, text, lists and mappings only") from err
    return value


def _space_form(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError("must be the name of a search space, or a mapping of keys of `train`")
    return value


def _device(value: str) -> str:
    if not _DEVICE.fullmatch(value):
        raise ValueError("must be cpu, mps, cuda or cuda:<number>")
    return value


def _open_address(value: str) -> str:
    if has_secret(value):
        raise ValueError(
            "must be an address without password or token, which would be kept with every trial; "
            "set the whole address in $MLFLOW_TRACKING_URI, or what logs in there in "
            "$MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD, or $MLFLOW_TRACKING_TOKEN"
        )
    return value


def _listed_once(value: tuple[str, ...]) -> tuple[str, ...]:
    if doubled := [device for n, device in enumerate(value) if device in value[:n]]:
        raise ValueError(f"lists {doubled[0]} twice; `slots` says how many trials share it")
    return value


Weights = Annotated[
    str,
    AfterValidator(_weights),
    Field(
        json_schema_extra={
            "anyOf": [
                {"enum": ["hub", "none", *BUNDLED_WEIGHTS]},
                {"pattern": f"^{_DISTRIBUTION.pattern}$"},
                {"pattern": r"^(\./|\.\./|/|~)"},
                {"pattern": r"\.(safetensors|SAFETENSORS|pth|PTH|pt|PT)$"},
            ]
        }
    ),
]
Device = Annotated[
    str,
    AfterValidator(_device),
    Field(json_schema_extra={"pattern": f"^({_DEVICE.pattern})$"}),
]
Devices = Annotated[
    tuple[Device, ...],
    Field(min_length=1, strict=False, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_listed_once),
]


class ModelSettings(BaseModel):
    """Which model, and which weights it starts from."""

    model_config = SETTINGS

    name: Text = Field(
        description="Images: name of a timm classifier, with or without its weights' tag, e.g. "
        "resnet50.a1_in1k. Texts: name of an encoder on the Hugging Face hub, e.g. "
        "google-bert/bert-base-uncased; with weights from a package or folder, what reports call "
        "it; with weights none, also an architecture, e.g. bert."
    )
    weights: Weights = Field(
        "hub",
        description="`hub`: the model's weights from the Hugging Face hub; `none`: train from "
        "scratch; `bundled:glyphs`: weights that come with the runner; "
        "`package:<distribution>`: an installed Python package that ships them; a "
        ".safetensors, .pth or .pt file; or, for texts, a folder in the hub's layout that starts "
        "with ./, ../, / or ~. Paths are relative to the experiment file.",
    )
    tokenizer: Text | None = Field(
        None,
        description="Texts: where the tokenizer comes from, if not from where the weights do: a "
        "name on the hub, package:<distribution>, or a folder as for `weights`.",
    )
    arguments: Annotated[dict[str, Any], AfterValidator(_plain)] = Field(
        default_factory=dict,
        description="Further arguments of timm.create_model, e.g. {channels: [32, 64, 128, 256]}; "
        "for texts with weights none, values of the configuration, e.g. {hidden_size: 64}.",
    )


class SearchSettings(BaseModel):
    """What is searched, how, and for how long."""

    model_config = SETTINGS

    space: Annotated[dict[str, Any], BeforeValidator(_space_form)] = Field(
        default_factory=dict,
        description="What varies between trials: a name in search_spaces/, or a mapping from "
        "`train` keys to ranges (see The search space).",
    )
    trials: int = Field(
        20,
        ge=1,
        le=1_000_000,
        description="How many trials the study has, over all commands; with pbt how many are "
        "trained side by side, each of which is as many trials as it has segments.",
    )
    time: Duration | None = Field(
        None,
        description=f"Time limit of the study, over all commands: {WORDS}; null: none.",
    )
    trial_time: Duration | None = Field(
        None,
        description="Hard limit of one attempt at a trial, written like `time`; one that goes on "
        "after an interruption, or is run again, has it anew; null: none.",
    )
    silence: Duration | Literal["auto"] | None = Field(
        "auto",
        description="A worker that shows no sign of life for so long has hung: it is ended, and "
        "its trial counts as lost. Signs of life are reports, batches of the built-in training, "
        "calls of `should_stop` and what a command prints; `auto`: 30m, and whatever uses the "
        "processor is one too; null: never.",
    )
    metric: Text | None = Field(
        None,
        description="Validation metric to optimise, any that the task reports (see The tasks); "
        "null: the task's first.",
    )
    direction: Literal["minimize", "maximize"] | None = Field(
        None, description="Which way the metric is better; null: known, except with task: custom."
    )
    sampler: Literal["tpe", "random", "grid", "gp", "cmaes", "qmc", "pbt"] = Field(
        "tpe",
        description="How the next settings are chosen; `pbt`: population-based training, which "
        "changes them while the model trains. `gp` is for few and long trials: after a hundred it "
        "takes seconds to propose one.",
    )
    segment: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="pbt: epochs that each of the population trains before they are compared; "
        "null: a tenth of all epochs.",
    )
    pruner: Literal["asha", "median", "hyperband", "none"] = Field(
        "asha",
        description="How weak trials are stopped early; with pbt none are, as they are replaced.",
    )
    grace: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        description="Training examples (an epoch's, times epochs) that a trial has seen before "
        "it may be stopped early; null: those of a ninth of the longest trial's epochs, and of "
        "two at the least.",
    )
    wave: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = Field(
        "auto",
        description="How many trials are asked for at once; `auto`: one, or more where several "
        "trials can be trained as one computation.",
    )
    first: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = Field(
        (),
        description="Known-good settings to try first, each a mapping of parameters of the "
        "space; what one leaves out is sampled.",
    )
    slots: Annotated[int, Field(ge=1, le=4096)] | Literal["auto"] = Field(
        "auto",
        description="Trials at a time; `auto`: one per device, or as CPU cores allow, and on GPUs "
        "as many as `pack` allows. More than the `devices` that are named share them, whether "
        "or not they fit.",
    )
    pack: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        "auto",
        description="Most trials at a time on one GPU, each of which begins only where the memory "
        "that trials like it were measured to need is free; `auto`: 4; 1: one trial a GPU. "
        "With task: custom always one, as nobody knows which trials are alike.",
    )
    devices: Literal["auto"] | Devices = Field(
        "auto",
        description="Devices to use, e.g. [cuda:0, cuda:1]; `auto`: all free accelerators, "
        "otherwise the CPU.",
    )
    gpus_per_trial: int = Field(
        1,
        ge=1,
        le=64,
        description="GPUs of one trial, all of one machine, which share out every batch; with any "
        "backend. With task: custom the trial's own code sees them.",
    )
    max_steps: int | None = Field(
        None,
        ge=1,
        le=1_000_000_000,
        description="task: custom: the last step that a trial reports, for early stopping; null: "
        "`epochs` of the space or of `params`, if there, else unknown.",
    )
    retries: int = Field(
        1,
        ge=0,
        le=100,
        description="How often a trial that crashed (its code raised, its worker died or hung) is "
        "run again under its number, from its checkpoint if it has one, over all commands.",
    )
    max_failures: int = Field(
        5,
        ge=1,
        description="Trials in a row that ended badly (failed, user_error, diverged, "
        "out_of_memory, timed_out, or lost for good) after which the search stops; every command "
        "counts anew.",
    )

    @property
    def time_s(self) -> float | None:
        """Time limit of the study in seconds; None: none."""
        return None if self.time is None else duration_s(self.time)

    @property
    def trial_time_s(self) -> float | None:
        """Hard limit of one attempt at a trial in seconds; None: none."""
        return None if self.trial_time is None else duration_s(self.trial_time)

    @property
    def silence_s(self) -> float | None:
        """How long a worker may show no sign of life, in seconds; None: for ever."""
        if self.silence == "auto":
            return AUTO_SILENCE_S
        return None if self.silence is None else duration_s(self.silence)


class ReuseSettings(BaseModel):
    """What trials share, so that nothing is computed twice."""

    model_config = SETTINGS

    features: Literal["auto", "off"] = Field(
        "auto",
        description="`auto`: what frozen layers give is computed once for all trials, where that "
        "changes nothing; `off`: every trial computes everything.",
    )
    gib: float = Field(
        8.0,
        gt=0,
        le=1_000_000,
        description="Largest size of all such features on this machine's disk, in GiB; the least "
        "recently used go first.",
    )
    data_gib: Annotated[float, Field(ge=0, le=1_000_000)] | Literal["auto"] = Field(
        "auto",
        description="Largest size of all decoded images and tokens on this machine's disk, in "
        "GiB; the least recently used go first. Images that do not fit are decoded again in every "
        "epoch; `auto`: a fifth of the disk, and never its last 4 GiB.",
    )
    fuse: int = Field(
        64,
        ge=1,
        le=4096,
        description="How many trials that train the head alone are trained as one computation; "
        "1: each by itself.",
    )


class TrackingSettings(BaseModel):
    """Where MLflow keeps the runs, and how much of them."""

    model_config = SETTINGS

    uri: Annotated[Text, AfterValidator(_open_address)] | None = Field(
        None,
        description="MLflow tracking URI, without a password; null: MLFLOW_TRACKING_URI if set "
        "(which may have one), otherwise the local store under mlruns/.",
    )
    experiment: Text | None = Field(
        None, description="Name of the MLflow experiment; null: this experiment's name."
    )
    keep_weights: int = Field(
        5, ge=0, description="How many of the best trials keep their weights."
    )
    pictures: int = Field(
        3, ge=0, description="How many of the best trials get pictures (curves, confusion matrix)."
    )
