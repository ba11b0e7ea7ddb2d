"""The second pass over an experiment's text model: what only transformers can tell."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedTokenizerFast

from runner.errors import TrialFailed, WeightsUnavailable
from runner.experiment import LabelKind, TaskForm
from runner.models.checks import ModelProblem
from runner.models.text.build import expected_text_model
from runner.models.text.configuration import RESERVED, known_arguments, model_type_of
from runner.models.text.families import misfit, model_types
from runner.models.text.head import head_dropouts
from runner.models.text.limits import text_limit
from runner.models.text.locations import TextFiles, model_folder, tokenizer_folder
from runner.models.text.places import FOLDER_STARTS, is_place, weight_files
from runner.models.text.snapshot import NotCached
from runner.models.text.tokenizing import load_tokenizer
from runner.models.weights import HUB, NONE, PACKAGE_PREFIX

_NAME = "model.name"
_WEIGHTS = "model.weights"
_TOKENIZER = "model.tokenizer"
_ARGUMENTS = "model.arguments"


def check_text_model(
    name: str,
    weights: str,
    arguments: Mapping[str, Any],
    *,
    tokenizer: str | None,
    task_form: TaskForm,
    base: Path,
    max_length: int | None = None,
    regularisers: Collection[str] = (),
) -> list[ModelProblem]:
    """Every problem with a text model's settings; touches no network and reads no weights.

    What lies on the hub and is not in the cache is not judged: call it again once `text_files`
    has brought it here.

    Args:
        name: The `model.name` setting.
        weights: The `model.weights` setting.
        arguments: The `model.arguments` setting.
        tokenizer: The `model.tokenizer` setting.
        task_form: What is learnt.
        base: Folder that relative paths start from.
        max_length: Largest number of tokens that some trial may ask for; None: the model's own.
        regularisers: Which of `dropout` and `drop_path` some trial may use.
    """
    kind = task_form.labels or LabelKind.CLASS
    try:
        files, problem = _found(name, weights, tokenizer, base, kind)
    except NotCached:
        return []
    if files is None:
        return [problem] if problem is not None else []
    found = list(_architecture_problems(files, name, weights, kind))
    if found:
        return found
    found = list(_argument_problems(files, arguments))
    read, problem = _tokenizer(files, kind)
    if problem is not None or read is None:
        return [*found, problem] if problem is not None else found
    return [*found, *_built_problems(files, arguments, kind, read, max_length, regularisers)]


def _found(
    name: str, weights: str, tokenizer: str | None, base: Path, kind: LabelKind
) -> tuple[TextFiles | None, ModelProblem | None]:
    """The model's files, or what is wrong with where they are said to be."""
    known = (HUB, NONE)
    if weights not in known and not weights.startswith((PACKAGE_PREFIX, *FOLDER_STARTS)):
        choices = "hub, none, package:<name>, or a folder with config.json that starts with ./"
        rule = f"not one of the choices for texts: {choices}"
        return None, ModelProblem(_WEIGHTS, rule, weights, known)
    if weights == NONE and not is_place(name) and name not in CONFIG_MAPPING:
        rule = (
            "with weights none it is an architecture of transformers, a folder (./...) with a "
            "config.json, or owner/name on the hub"
        )
        return None, ModelProblem(_NAME, rule, name, model_types(kind))
    key, seen = (_NAME, name) if weights in known else (_WEIGHTS, weights)
    try:
        folder = model_folder(name, weights, base=base, download=False)
        key, seen = _TOKENIZER, tokenizer or "null"
        place = tokenizer_folder(tokenizer, folder, base=base, download=False)
    except NotCached:
        raise
    except WeightsUnavailable as err:
        return None, ModelProblem(key, str(err), seen)
    paths = weight_files(folder) if folder is not None and weights != NONE else ()
    return TextFiles(name, folder, paths, place, weights), None


def _architecture_problems(
    files: TextFiles, name: str, weights: str, kind: LabelKind
) -> Iterator[ModelProblem]:
    key, seen = (_NAME, name) if weights in (HUB, NONE) else (_WEIGHTS, weights)
    try:
        rule = misfit(model_type_of(files), kind)
    except WeightsUnavailable as err:
        rule = str(err)
    if rule is not None:
        yield ModelProblem(key, rule, seen)


def _argument_problems(files: TextFiles, arguments: Mapping[str, Any]) -> Iterator[ModelProblem]:
    allowed = known_arguments(files)
    for each, value in arguments.items():
        key = f"{_ARGUMENTS}.{each}"
        if each in RESERVED:
            yield ModelProblem(key, f"not to be set here: {RESERVED[each]}", value)
        elif each not in allowed:
            rule = f"the configuration of {model_type_of(files)} has no such value"
            yield ModelProblem(key, rule, each, allowed)


def _tokenizer(
    files: TextFiles, kind: LabelKind
) -> tuple[PreTrainedTokenizerFast | None, ModelProblem | None]:
    try:
        return load_tokenizer(files, kind=kind), None
    except WeightsUnavailable as err:
        return None, ModelProblem(_TOKENIZER, str(err))


def _built_problems(
    files: TextFiles,
    arguments: Mapping[str, Any],
    kind: LabelKind,
    tokenizer: PreTrainedTokenizerFast,
    max_length: int | None,
    regularisers: Collection[str],
) -> Iterator[ModelProblem]:
    """Problems found by building the model without values."""
    known = set(known_arguments(files)) - RESERVED.keys()
    usable = {key: value for key, value in arguments.items() if key in known}
    try:
        model = expected_text_model(files, kind=kind, outputs=2, arguments=usable)
        limit = text_limit(files, usable, tokenizer=tokenizer)
    except TrialFailed as err:
        yield ModelProblem(_ARGUMENTS, str(err).removeprefix(f"{_ARGUMENTS}: "), usable)
        return
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.weight.shape[0]
    if len(tokenizer) > rows:
        rule = f"it has {len(tokenizer)} tokens, the model knows {rows}: another model's tokenizer"
        yield ModelProblem(_TOKENIZER, rule, str(files.tokenizer))
    if max_length is not None and limit is not None and max_length > limit:
        rule = f"{files.name} takes texts of at most {limit} tokens"
        yield ModelProblem("train.max_length", rule, max_length)
    if "dropout" in regularisers and not head_dropouts(model):
        rule = f"{files.name} has no dropout before its classifier; only 0 is allowed"
        yield ModelProblem("train.dropout", rule)
    if "drop_path" in regularisers:
        yield ModelProblem("train.drop_path", "text models have no drop_path; only 0 is allowed")
