"""The second pass over an experiment: what only the libraries and the data can show."""

from collections.abc import Iterator
from typing import Any

from runner import data, models
from runner.errors import DataError, RunnerError, WeightsUnavailable
from runner.experiment import Experiment, IntParameter
from runner.trial.bench import Bench
from runner.trial.job import Facts, Finding
from runner.trial.seeding import derive_seed


def inspect_experiment(bench: Bench) -> Facts:
    """Check the model, its weights, the data and the space against one another.

    Side effects: what it loads stays loaded for the trials that follow, and the pixels of the
    training and validation parts are in the cache. The test part's pixels are not touched.
    """
    findings = list(_model_findings(bench))
    if findings:
        return Facts(findings=tuple(findings))
    try:
        details = _data_details(bench)
        groups = _layer_groups(bench)
    except data.DataSettingError as error:
        return Facts(findings=(Finding(error.key, error.rule, error.seen, error.allowed),))
    except DataError as error:
        return Facts(findings=(Finding("data", str(error)),))
    except WeightsUnavailable as error:
        return Facts(findings=(Finding("model.weights", str(error)),))
    except RunnerError as error:
        return Facts(findings=(Finding("model", str(error)),))
    findings = [*_depth_findings(bench, groups), *_metric_findings(bench)]
    fingerprints = {
        "data": data.data_fingerprint(bench.source),
        "split": bench.split.fingerprint,
        "weights": bench.weights.fingerprint if bench.weights is not None else "none",
    }
    return Facts(
        findings=tuple(findings),
        max_freeze_depth=groups.count,
        fingerprints=fingerprints,
        manifest=data.manifest_of(bench.source),
        details=details,
    )


def _model_findings(bench: Bench) -> Iterator[Finding]:
    model = bench.experiment.model
    for problem in models.check_model(
        model.name,
        model.weights,
        model.arguments,
        base=bench.base,
        image_size=bench.experiment.data.image_size,
        regularisers=_regularisers(bench.experiment),
    ):
        seen = None if problem.seen is None else str(problem.seen)
        yield Finding(problem.key, problem.rule, seen, tuple(problem.allowed))


def _regularisers(experiment: Experiment) -> list[str]:
    """Which of dropout and drop path some trial may use."""
    return [
        name
        for name in ("dropout", "drop_path")
        if getattr(experiment.train, name) or name in experiment.space.parameters
    ]


def _data_details(bench: Bench) -> dict[str, Any]:
    train, validation = bench.train, bench.validation
    return {
        "source": bench.source.name,
        "classes": list(bench.source.classes),
        "train": len(train),
        "validation": len(validation),
        "test": len(bench.split.test),
        "unreadable": list(bench.source.unreadable),
        "split_notes": list(bench.split.notes),
        "image_size": bench.transform.size,
        "weights": bench.weights.description if bench.weights is not None else "none",
    }


def _layer_groups(bench: Bench) -> models.LayerGroups:
    recipe = bench.experiment.train
    return models.layer_groups(
        bench.build_model(recipe, derive_seed(bench.experiment.seed, "inspection"))
    )


def _depth_findings(bench: Bench, groups: models.LayerGroups) -> Iterator[Finding]:
    parameter = bench.experiment.space.parameters.get("freeze_depth")
    asked: list[tuple[str, Any]] = [("train.freeze_depth", bench.experiment.train.freeze_depth)]
    for name in ("low", "high", "value"):
        if hasattr(parameter, name):
            asked.append(("search.space.freeze_depth", getattr(parameter, name)))
    asked += [("search.space.freeze_depth", depth) for depth in getattr(parameter, "choices", ())]
    if groups.unordered is not None and isinstance(parameter, IntParameter):
        # A range: every depth between its ends may be asked for.
        asked.append(("search.space.freeze_depth", 1))
    for key, depth in dict.fromkeys(asked):
        if problem := groups.depth_problem(depth):
            yield Finding(key, problem, seen=str(depth))


def _metric_findings(bench: Bench) -> Iterator[Finding]:
    asked, known = bench.experiment.search.metric, bench.task.metrics
    if asked not in known:
        rule = f"no such metric for {bench.experiment.task}; there are {', '.join(known)}"
        yield Finding("search.metric", rule, seen=asked, allowed=known)
