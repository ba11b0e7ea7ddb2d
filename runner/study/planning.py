"""Checking an experiment in full, and saying what a search of it would do, before it runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from runner.backends import cuda_devices
from runner.errors import ExperimentError, Problem
from runner.experiment import Experiment, Store, load_experiment
from runner.study.ground import Ground
from runner.study.packing import most_packed
from runner.study.wave_size import wave_rules
from runner.trial import Facts, Lease, objective_for

# An ask took 3.9 s at the hundredth trial (docs/scaling.md), and grows.
_MANY_FOR_GP = 100


def inspect_here(experiment: Experiment, store: Store) -> Facts:
    """The second pass, in this process.

    Raises:
        ExperimentError: If it finds problems; all of them, with file and line.
    """
    facts = objective_for(experiment, store).inspect(Lease(slot=0))
    if facts.findings:
        raise ExperimentError(
            experiment.problem(f.key, f.rule, seen=f.seen, allowed=f.allowed)
            for f in facts.findings
        )
    return facts


def validate(store: Store, name: str, overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Every problem of an experiment file: of its text first, then of its model and data."""
    try:
        inspect_here(load_experiment(name, overrides), store)
    except ExperimentError as error:
        return error.problems
    return ()


def plan(store: Store, name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What a search would do, as plain JSON values.

    Raises:
        ExperimentError: If the experiment is wrong; every problem of the first wrong pass.
    """
    experiment = load_experiment(name, overrides)
    facts = inspect_here(experiment, store)
    space = experiment.space
    if facts.max_freeze_depth is not None:
        space = space.bind(facts.max_freeze_depth)
    ground = Ground(experiment, space, facts, objective_for(experiment, store), lambda: 1)
    waves = wave_rules(ground)
    return {
        "experiment": experiment.resolved(),
        "details": dict(facts.details),
        "space": space.to_dict(),
        "settings_in_space": space.grid_size(),
        "max_freeze_depth": facts.max_freeze_depth,
        "trials": experiment.trials,
        "segments": [list(segment) for segment in experiment.segments],
        "first": [dict(point) for point in experiment.search.first],
        "epochs_at_most": ground.longest,
        "rungs": ground.rungs.of_a_trial(ground.longest),
        "wave": waves.size,
        "wave_without_results": waves.free_size,
        "packed": _packed_here(experiment),
    }


def plan_lines(made: Mapping[str, Any]) -> list[str]:
    """A plan for people."""
    import yaml

    asked = made["experiment"]["search"]
    size = made["settings_in_space"]
    counted = f", {size} different settings" if size is not None else ""
    after = ", ".join(map(str, made["rungs"]))
    longest = made["epochs_at_most"]
    each = f"; at most {longest} epochs each" if longest is not None else ""
    gpus = asked.get("gpus_per_trial", 1)
    each += f"; each on {gpus} GPUs" if gpus > 1 else ""
    return [
        yaml.safe_dump(made["experiment"], sort_keys=False, allow_unicode=True).rstrip(),
        "",
        *made["details"]["lines"],
        *(f"note: {note}" for note in made["details"].get("notes", ())),
        f"space: {', '.join(made['space'])}{counted}",
        f"search: {made['trials']} trials by {asked['sampler']}, {len(made['first'])} given "
        f"settings first{each}",
        *_sampler_lines(made),
        *_wave_lines(made),
        *_population_lines(made),
        *_packing_lines(made),
        f"rungs: {asked['pruner']} may stop a trial after epoch {after}"
        if made["rungs"]
        else "rungs: none; every trial runs to its end",
    ]


def _sampler_lines(made: Mapping[str, Any]) -> list[str]:
    if made["experiment"]["search"]["sampler"] != "gp" or made["trials"] < _MANY_FOR_GP:
        return []
    return [
        "sampler: gp takes seconds to propose a trial after some hundred; tpe takes milliseconds"
    ]


def _wave_lines(made: Mapping[str, Any]) -> list[str]:
    size, free_size = made["wave"], made["wave_without_results"]
    if free_size == 1 or made["segments"]:
        return []
    asked = f"{size} trials are asked for at once" if size > 1 else "trials are asked one by one"
    freely = f", {free_size} where no proposal depends on a result" if free_size > size else ""
    return [f"waves: {asked}{freely}; the cheap ones of a wave run first"]


def _population_lines(made: Mapping[str, Any]) -> list[str]:
    segments = made["segments"]
    if not segments:
        return []
    members = made["trials"] // len(segments)
    ends = ", ".join(str(end) for _, end in segments[:-1])
    return [f"population: {members} at a time, compared after epoch {ends}"]


def _packed_here(experiment: Experiment) -> int:
    """How many trials may share a GPU of this machine, each where it is known to fit."""
    asked = experiment.search
    is_on_gpus = asked.devices == "auto" or any(name.startswith("cuda") for name in asked.devices)
    if not is_on_gpus or all(device.free_gib is None for device in cuda_devices()):
        return 1
    most = most_packed(experiment)
    return most if asked.slots == "auto" else min(most, asked.slots)


def _packing_lines(made: Mapping[str, Any]) -> list[str]:
    if made["packed"] == 1:
        return []
    return [
        f"packing: up to {made['packed']} trials at a time on a GPU, each where the memory that "
        "trials like it were measured to need is free; the first runs alone"
    ]
