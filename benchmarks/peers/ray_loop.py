"""Ray Tune with ASHA, reused actors and its MLflowLoggerCallback, as its documentation has it.

    python -m benchmarks.peers.ray_loop REQUEST TRACKING_URI

Used by the benchmarks; Tune's results are written beside the request.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from benchmarks.peers.request import METRIC, Params, Request
from benchmarks.peers.spaces import ray_space


class FineTuning(tune.Trainable):
    """A trial; its actor is used again by the next one, so that imports are paid once."""

    def setup(self, config: Params, request: Request | None = None) -> None:
        """Begin the first trial of this actor."""
        assert request is not None
        self._request = request
        self._begin(config)

    def _begin(self, config: Params) -> None:
        from benchmarks.peers.plain_training import train

        request = self._request
        self._params = request.fixed | {name: config[name] for name in request.space}
        self._epochs: Iterator[Params] = train(
            request.photos, self._params, request.settings, request.seed
        )

    def step(self) -> Params:
        """One epoch."""
        metrics = next(self._epochs)
        return {**metrics, "done": self.iteration + 1 == self._params["epochs"]}

    def reset_config(self, new_config: Params) -> bool:
        """Begin another trial in this process."""
        self._epochs.close()  # type: ignore[attr-defined]
        self._begin(new_config)
        return True


def scheduler_of(request: Request) -> TrialScheduler:
    """ASHA with the longest trial's epochs, else first come, first served."""
    if request.pruner == "none":
        return FIFOScheduler()
    epochs = request.space.get("epochs", {"int": [1, request.fixed.get("epochs")]})["int"][1]
    return ASHAScheduler(max_t=epochs, grace_period=1)


def needs_of_a_trial() -> dict[str, float]:
    """What a trial asks for: a core, and the GPU where there is one."""
    gpus = int(ray.available_resources().get("GPU", 0))
    return {"cpu": 1, "gpu": 1} if gpus else {"cpu": 1}


def main() -> None:
    """Search."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("request", type=Path)
    parser.add_argument("uri")
    arguments = parser.parse_args()
    request = Request.load(arguments.request)
    ray.init(num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False)
    trainable = tune.with_resources(
        tune.with_parameters(FineTuning, request=request), needs_of_a_trial()
    )
    tuner = tune.Tuner(
        trainable,
        param_space=ray_space(request.space),
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            num_samples=request.trials,
            search_alg=BasicVariantGenerator(
                points_to_evaluate=request.first or None, random_state=request.seed
            ),
            scheduler=scheduler_of(request),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="fine_tuning",
            storage_path=str(arguments.request.parent / "ray"),
            # As the other peers: no weights are kept.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[
                MLflowLoggerCallback(tracking_uri=arguments.uri, experiment_name="fine_tuning")
            ],
        ),
    )
    results = tuner.fit()
    if results.num_errors:
        raise SystemExit(f"{results.num_errors} trials failed: {results.errors[0]}")


if __name__ == "__main__":
    main()
