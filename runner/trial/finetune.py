"""Fine-tuning with one set of hyperparameters, from its start or its checkpoint to its ending."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from runner.errors import DiskRefused
from runner.experiment import Experiment
from runner.trial.bench import Bench, Built
from runner.trial.checkpoint import (
    TrainingState,
    load_checkpoint,
    remove_checkpoint,
    save_weights,
)
from runner.trial.job import Channel, Decision, Ending, Lease, Outcome, TrialSpec
from runner.trial.memory import (
    peak_memory_gib,
    release_memory,
    with_shrinking_micro_batch,
)
from runner.trial.precision import Numerics
from runner.trial.progress import Goal
from runner.trial.route import Route
from runner.trial.training import Leave, Training

if TYPE_CHECKING:
    from runner.trial.parallel.crew import Crew

logger = logging.getLogger(__name__)


def goal_of(experiment: Experiment) -> Goal:
    """The search metric of an experiment and which way is better."""
    return Goal(experiment.metric, experiment.direction == "maximize")


def fine_tune(
    bench: Bench, spec: TrialSpec, lease: Lease, channel: Channel, *, crew: "Crew | None" = None
) -> Ending:
    """Train one trial and say how it ended.

    Args:
        bench: Data and model.
        spec: The trial.
        lease: The device of this process, and its threads.
        channel: The trial's line to the study.
        crew: Trains on further devices; None: there are none.

    Side effects: the trial's folder holds its checkpoint while it may go on, and the best
    epoch's weights once it is complete.

    Raises:
        TrialFailed: If it cannot be trained (loss not a number, out of memory).
        TrialLost: If the process of another device has died.
    """
    recipe = bench.experiment.recipe(dict(spec.params))
    folder = Path(spec.folder)
    saved = load_checkpoint(folder)
    if saved is not None:
        logger.info("going on after epoch %d", saved.epoch)
        decision = _replay(saved, spec, channel)
        if decision is not Decision.CONTINUE:
            return ending_of_state(
                saved, decision.outcome, lease, folder, {}, epochs_before=saved.epoch
            )
    running: list[Training] = []

    def attempt(micro_batch: int) -> Decision:
        if running:
            # It did not fit. Its parts refer to one another, and would stay until looked for.
            running.clear()
            release_memory()
        training = Training(
            bench, recipe, spec, lease, goal_of(bench.experiment), micro_batch=micro_batch
        )
        running.append(training)
        try:
            if crew is not None:
                crew.train(training, channel)
            else:
                training.prepare(channel)
                training.run(channel)
        except Leave as leave:
            return leave.decision
        return Decision.CONTINUE

    first = saved.micro_batch if saved is not None else recipe.batch_size
    # Beside others, running out of memory says nothing about the trial: it is run again alone.
    if spec.is_packed:
        decision = attempt(first)
    else:
        largest = -(-recipe.batch_size // (crew.size if crew is not None else 1))
        decision = with_shrinking_micro_batch(first, attempt, largest=largest)
    training = running.pop()
    notes = {
        **computing_notes(training.built, training.numerics, training.route),
        "examples": bench.kept,
        "compiled": training.training_pass.note(training.state),
    }
    if crew is not None:
        notes["data_parallel"] = crew.note(training)
    pieces = training.stepper.pieces(recipe.batch_size)
    if pieces > 1:
        notes["micro_batches"] = pieces
    begin = 0 if spec.segment is None else spec.segment.begin
    before = saved.epoch if saved is not None else begin
    return ending_of_state(
        training.state,
        decision.outcome,
        lease,
        folder,
        notes,
        epochs_before=before,
        is_segment=spec.segment is not None,
    )


def computing_notes(built: Built, numerics: Numerics, route: Route) -> dict[str, Any]:
    """How a trial was computed, for its tags."""
    return {
        "freeze_depth": built.depth,
        "precision": str(numerics.dtype).removeprefix("torch."),
        "reuse": route.note,
        "channels_last": numerics.memory_format is torch.channels_last,
    }


def _replay(saved: TrainingState, spec: TrialSpec, channel: Channel) -> Decision:
    """Send the checkpoint's reports again: it is the truth about a trial that goes on."""
    decision = Decision.CONTINUE
    for report in saved.reports:
        decision = channel.report(spec.key, report)
        if decision is not Decision.CONTINUE:
            break
    return decision


def ending_of_state(
    state: TrainingState,
    outcome: Outcome,
    lease: Lease,
    folder: Path,
    notes: Mapping[str, Any],
    *,
    epochs_before: int = 0,
    is_segment: bool = False,
) -> Ending:
    """The ending of a trial that was trained so far.

    Args:
        state: How far.
        outcome: How it ended.
        lease: Where it ran.
        folder: The trial's.
        notes: More about the run.
        epochs_before: Those of earlier attempts; without a new one no memory was measured.
        is_segment: Whether other trials go on from its last state, which then stays.

    Side effects: writes the weights of a complete trial into its folder, and removes the
    checkpoint of one that is over. Where the disk refuses the weights, the trial is complete
    without them: its values are what was searched for, and its seed makes them again.
    """
    is_complete = outcome is Outcome.COMPLETE
    if is_complete and state.best_weights is None:
        return Ending(
            Outcome.DIVERGED, reason="the search metric was not a finite number in any epoch"
        )
    lost = _keep_weights(folder, state.best_weights) if is_complete else None
    if outcome is not Outcome.PAUSED and not (is_segment and is_complete):
        remove_checkpoint(folder)
        # The checkpoint's room may be all that was missing.
        lost = lost and _keep_weights(folder, state.best_weights)
    evaluation: dict[str, Any] | None = None
    if state.best_evaluation is not None:
        evaluation = dict(state.best_evaluation)
    refusals = {"checkpoints": state.unsaved_because, "weights": lost}
    notes = {
        **notes,
        "device": lease.devices[0],
        "threads": torch.get_num_threads(),
        "train_s": round(state.seconds, 3),
        "epochs": state.epoch,
        "validation_loss": state.best_loss,
        "micro_batch": state.micro_batch,
        "peak_memory_gib": (
            peak_memory_gib(lease.devices[0]) if state.epoch > epochs_before else None
        ),
        **{name: why for name, why in refusals.items() if why is not None},
    }
    return Ending(
        outcome,
        value=state.best_value,
        best_step=state.best_epoch,
        evaluation=evaluation,
        notes=notes,
        has_weights=is_complete and lost is None,
    )


def _keep_weights(folder: Path, weights: Mapping[str, torch.Tensor] | None) -> str | None:
    """Write the best epoch's weights; gives why they are not kept, if so."""
    assert weights is not None  # a trial without a finite value has failed
    try:
        save_weights(folder, weights)
    except DiskRefused as refusal:
        logger.warning("the weights are not kept: %s", refusal)
        return f"not kept; `promote` and `train --trial` make them again: {refusal}"
    return None
