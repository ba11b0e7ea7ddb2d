"""The second pass over an experiment: what only the libraries and the data can show."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from runner import data, models
from runner.errors import DataError, DiskRefused, RunnerError, WeightsUnavailable
from runner.experiment import Experiment, IntParameter
from runner.trial.allowance import allowance_of
from runner.trial.bench import Bench
from runner.trial.compiling import compiler_problem
from runner.trial.findings import finding_of
from runner.trial.job import Facts, Finding, Lease
from runner.trial.making import FeatureMaker
from runner.trial.possible import possible_values
from runner.trial.precision import choose_numerics
from runner.trial.route import why_plain
from runner.trial.seeding import derive_seed


def inspect_experiment(bench: Bench, lease: Lease) -> Facts:
    """Check the model, its weights, the data and the space against one another.

    Side effects: what it loads stays loaded for the trials that follow, and the training and
    validation parts are prepared in the cache. The test part is not touched.
    """
    findings = list(bench.modality.problems())
    if findings:
        return Facts(findings=tuple(findings))
    try:
        details = _details(bench)
        findings = list(bench.modality.prepared_problems())
        model = _model(bench)
        groups = models.layer_groups(model)
    except data.DataSettingError as error:
        return Facts(findings=(Finding(error.key, error.rule, error.seen, error.allowed),))
    except DataError as error:
        return Facts(findings=(Finding("data", str(error)),))
    except WeightsUnavailable as error:
        return Facts(findings=(Finding("model.weights", str(error)),))
    except DiskRefused:
        raise
    except RunnerError as error:
        return Facts(findings=(Finding("model", str(error)),))
    findings += [
        *_depth_findings(bench, groups),
        *_adapter_findings(bench, model),
        *_compile_findings(bench, lease),
    ]
    fingerprints = {
        "data": data.data_fingerprint(bench.source),
        "split": bench.split.fingerprint,
        "weights": bench.weights.fingerprint if bench.weights is not None else "none",
        **bench.modality.fingerprints(),
    }
    return Facts(
        findings=tuple(findings),
        max_freeze_depth=groups.count,
        fingerprints=fingerprints,
        manifest=data.manifest_of(bench.source),
        train_examples=len(bench.train),
        details={
            **details,
            "layer_groups": groups.count,
            "weights_bytes": sum(each.nbytes for each in model.state_dict().values()),
            "lines": [
                *_lines(details, groups),
                _prepared(bench),
                *_sharing(bench, lease, findings),
            ],
        },
    )


def _details(bench: Bench) -> dict[str, Any]:
    """What people are told: counts, cards for the report, notes."""
    counts = [len(bench.train), len(bench.validation), len(bench.split.test)]
    model = bench.experiment.model
    weights = bench.weights.description if bench.weights is not None else "none"
    return {
        "source": bench.source.name,
        "classes": list(bench.source.classes),
        "train": counts[0],
        "validation": counts[1],
        "test": counts[2],
        **bench.modality.facts(),
        "weights": weights,
        "notes": [*bench.modality.notes(), *bench.split.notes],
        "summary": f"{_counted(bench, counts)}; {model.name} ({_weights(model.weights)} weights)",
        "cards": {
            "task": bench.experiment.task.replace("_", " "),
            "model": model.name,
            "weights": Path(model.weights).name,
            "data": bench.source.name,
            f"{bench.experiment.form.modality}s": " / ".join(map(str, counts)),
        },
    }


def _weights(asked: str) -> str:
    return "random" if asked == "none" else Path(asked).name


def _counted(bench: Bench, counts: list[int]) -> str:
    """How many examples of what, as the first line of a search says it."""
    classes = len(bench.source.classes)
    of_classes = f" of {classes} {_noun(bench.experiment)}" if classes else ""
    train, validation, test = counts
    return (
        f"{train} training, {validation} validation and {test} test "
        f"{bench.experiment.form.modality}s{of_classes}"
    )


def _noun(experiment: Experiment) -> str:
    return {"classes": "labels", "tags": "tags"}.get(str(experiment.form.labels), "classes")


def _lines(details: dict[str, Any], groups: models.LayerGroups) -> list[str]:
    """What `plan` says of data and model."""
    size = f", at {details['image_size']} px" if "image_size" in details else ""
    return [
        f"data: {details['source']}: {details['summary'].partition('; ')[0]}{size}",
        f"model: {details['cards']['model']} ({details['weights']}), {groups.count} layer groups",
    ]


def _prepared(bench: Bench) -> str:
    """Where the examples of trials are kept, and what they take there."""
    size = bench.train.inputs.nbytes + bench.validation.inputs.nbytes
    limit = allowance_of(bench.experiment).limit_bytes(bench.store.cache)
    return (
        f"examples: {data.size_words(size)} when prepared, {bench.kept}; those of all studies may "
        f"take {data.size_words(limit)} of this disk"
    )


def _sharing(bench: Bench, lease: Lease, findings: list[Finding]) -> Iterator[str]:
    """What trials share, and what it costs, as far as the base recipe decides it."""
    if findings:
        return
    depths = possible_values(bench.experiment, "freeze_depth")
    deepest = "max" if "max" in depths else max(depths)
    recipe = bench.experiment.train.model_copy(update={"freeze_depth": deepest})
    built = bench.build(recipe, derive_seed(bench.experiment.seed, "inspection"))
    why = why_plain(bench, recipe, built)
    if why is not None:
        yield f"shared work: no frozen layers, where trials are as `train` has them: {why}"
        return
    numerics = choose_numerics(
        built.model,
        lease.devices[0],
        precision=recipe.precision,
        channels_last=recipe.channels_last,
    )
    numerics.place(built.model)
    yield FeatureMaker(bench, recipe, built, numerics, lease.threads).summary()


def _model(bench: Bench) -> torch.nn.Module:
    recipe = bench.experiment.train
    seed = derive_seed(bench.experiment.seed, "inspection")
    return bench.modality.build_model(recipe, outputs=bench.task.outputs, seed=seed)


def _depth_findings(bench: Bench, groups: models.LayerGroups) -> Iterator[Finding]:
    experiment = bench.experiment
    parameter = experiment.space.parameters.get("freeze_depth")
    asked: list[tuple[str, Any]] = [("train.freeze_depth", experiment.train.freeze_depth)]
    if parameter is not None:
        key = "search.space.freeze_depth"
        asked += [(key, depth) for depth in possible_values(experiment, "freeze_depth")]
        if groups.unordered is not None and isinstance(parameter, IntParameter):
            # A range: every depth between its ends may be asked for.
            asked.append((key, 1))
    for key, depth in dict.fromkeys(asked):
        if problem := groups.depth_problem(depth):
            yield Finding(key, problem, seen=str(depth))


def _adapter_findings(bench: Bench, model: torch.nn.Module) -> Iterator[Finding]:
    """Whether the model has the layers that some trial wants adapters on."""
    experiment = bench.experiment
    if "lora" not in possible_values(experiment, "adapter"):
        return
    targets = possible_values(experiment, "lora_targets")
    is_searched = "lora_targets" in experiment.space.parameters
    for problem in models.adapter_problems(model, targets, name=experiment.model.name):
        found = finding_of(problem)
        yield replace(found, key="search.space.lora_targets") if is_searched else found


def _compile_findings(bench: Bench, lease: Lease) -> Iterator[Finding]:
    """Whether what trials are to be compiled by is there."""
    experiment = bench.experiment
    if "on" not in possible_values(experiment, "compile"):
        return
    if problem := compiler_problem(torch.device(lease.devices[0])):
        is_searched = "compile" in experiment.space.parameters
        key = "search.space.compile" if is_searched else "train.compile"
        yield Finding(key, f"on {problem}", seen="on")
