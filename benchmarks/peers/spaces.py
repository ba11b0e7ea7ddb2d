"""A search space in the runner's grammar, as each peer has it."""

from typing import Any

import optuna

from benchmarks.peers.request import Params


def suggest(trial: optuna.Trial, space: dict[str, Any]) -> Params:
    """Parameters of an Optuna trial."""
    params: Params = {}
    for name, domain in space.items():
        if "choice" in domain:
            params[name] = trial.suggest_categorical(name, domain["choice"])
        elif "int" in domain:
            params[name] = trial.suggest_int(name, *domain["int"])
        else:
            is_log = domain.get("log", False)
            params[name] = trial.suggest_float(name, *domain["float"], log=is_log)
    return params


def ray_space(space: dict[str, Any]) -> Params:
    """Ray Tune's `param_space`."""
    from ray import tune

    domains: Params = {}
    for name, domain in space.items():
        if "choice" in domain:
            domains[name] = tune.choice(domain["choice"])
        elif "int" in domain:
            low, high = domain["int"]
            domains[name] = tune.randint(low, high + 1)
        else:
            make = tune.loguniform if domain.get("log") else tune.uniform
            domains[name] = make(*domain["float"])
    return domains
