"""Where a search runs its jobs: devices and a backend on them, from what was asked."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runner.backends import (
    MAX_DEATHS_IN_A_ROW,
    Backend,
    InlineBackend,
    Leases,
    LocalBackend,
    Silence,
    available_devices,
    named_devices,
    take_leases,
)
from runner.errors import RunnerError
from runner.experiment import Experiment
from runner.study.options import BackendName, Options
from runner.study.packing import most_packed
from runner.study.storage import trials_folder
from runner.trial import Objective


@contextmanager
def place(
    experiment: Experiment, objective: Objective, options: Options, folder: Path
) -> Iterator[tuple[Leases, Backend]]:
    """Leases and the backend on them; given back at the end of the block.

    Args:
        experiment: What was asked.
        objective: What the workers run.
        options: How the search was started.
        folder: The study's.
    Raises:
        NoSuchDevice: If no device is free, or no node of the cluster holds a trial.
        RunnerError: If Ray is wanted and not installed, or does not answer.
    """
    with ExitStack() as stack:
        if options.backend is BackendName.RAY:
            yield _on_ray(stack, experiment, objective, options, folder)
            return
        leases = _leases_here(experiment, is_inline=options.backend is BackendName.INLINE)
        stack.callback(leases.close)
        backend: Backend
        if options.backend is BackendName.INLINE:
            stack.enter_context(_environment(leases.leases[0].environment))
            backend = InlineBackend(objective, leases.leases[0])
        else:
            backend = LocalBackend(
                objective,
                leases.leases,
                logs=folder / "logs",
                silence=_silence_of(experiment),
                max_deaths=_max_deaths(experiment),
            )
        stack.callback(backend.close)
        yield leases, backend


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables of this process, put back at the end of the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _silence_of(experiment: Experiment) -> Silence | None:
    asked = experiment.search
    if asked.silence_s is None:
        return None
    return Silence(asked.silence_s, is_computing_life=asked.silence == "auto")


def _max_deaths(experiment: Experiment) -> int:
    """More than one trial may have: such a trial costs itself and not the search."""
    return max(MAX_DEATHS_IN_A_ROW, experiment.search.retries + 2)


def _leases_here(
    experiment: Experiment, *, is_inline: bool = False, pack: int | None = None
) -> Leases:
    """Leases on this machine's devices."""
    asked = experiment.search
    slots = None if asked.slots == "auto" else asked.slots
    is_explicit = asked.devices != "auto"
    if is_inline:
        slots = 1
    devices = available_devices(slots) if asked.devices == "auto" else named_devices(asked.devices)
    pack = most_packed(experiment) if pack is None else pack
    return take_leases(
        devices,
        slots=slots,
        is_explicit=is_explicit,
        pack=pack,
        gpus_per_trial=asked.gpus_per_trial,
    )


def _on_ray(
    stack: ExitStack,
    experiment: Experiment,
    objective: Objective,
    options: Options,
    folder: Path,
) -> tuple[Leases, Backend]:
    try:
        from runner.backends.ray import RayBackend, cluster_at, cluster_here, known_address
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "ray":
            raise
        raise RunnerError("--backend ray needs Ray Tune: pip install 'ray[tune]>=2.60'") from error

    asked = experiment.ray
    slots = None if experiment.search.slots == "auto" else experiment.search.slots
    address = known_address(options.ray_address or asked.address)
    if address is None:
        # Ray alone says who has which GPU, so none is shared by leases.
        held = _leases_here(experiment, pack=1)
        stack.callback(held.close)
        cluster = stack.enter_context(cluster_here(asked, held.leases))
        notes = held.notes
    else:
        gpus = experiment.search.gpus_per_trial
        cluster = stack.enter_context(cluster_at(address, asked, slots=slots, gpus_per_trial=gpus))
        notes = (f"Ray cluster at {address}: {cluster.summary}",)
    log = folder / "logs" / "sent.txt"
    backend = RayBackend(
        objective,
        cluster,
        folder=trials_folder(folder),
        log=log,
        is_here=address is None,
        silence=_silence_of(experiment),
        max_deaths=_max_deaths(experiment),
    )
    stack.callback(backend.close)
    leases = tuple(cluster.lease(slot) for slot in range(cluster.count()))
    return Leases(leases, notes), backend
