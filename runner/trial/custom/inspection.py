"""The second pass over an objective of one's own: is everything there that a trial needs?"""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.errors import TrialFailed
from runner.experiment import Experiment
from runner.trial.custom.call import base_folder, found_program
from runner.trial.custom.imports import code_files, fingerprint_of
from runner.trial.custom.source import Modules, Reference, UnusableFunction, load_function
from runner.trial.custom.template import OF_THE_TRIAL, names_in
from runner.trial.custom.values import metric_name
from runner.trial.job import Facts, Finding


def inspect_function(experiment: Experiment, modules: Modules) -> Facts:
    """Load the function, and the one for the test.

    Args:
        experiment: With an objective.
        modules: The user's files that are loaded; grows.
    Side effects: Runs the user's file, as importing it would.
    """
    assert experiment.objective is not None
    findings = [*_metric_findings(experiment), *_function_findings(experiment, modules)]
    if findings:
        return Facts(findings=tuple(findings))
    reference = Reference.of(experiment.objective)
    files = code_files(reference.file)
    what = f"{reference.file.name}:{reference.name}"
    return _facts(experiment, "objective", what, files, base=reference.file.parent)


def inspect_command(experiment: Experiment) -> Facts:
    """Look for the program, and at the names in the command."""
    assert experiment.command is not None
    findings = [
        *_metric_findings(experiment),
        *_function_findings(experiment, {}),
        *_command_findings(experiment),
    ]
    if findings:
        return Facts(findings=tuple(findings))
    base = base_folder(experiment)
    what = shlex.join(experiment.command)
    return _facts(experiment, "command", what, files_in_command(experiment), base=base)


def files_in_command(experiment: Experiment) -> tuple[Path, ...]:
    """The files that a command names, and what those of Python import beside them."""
    assert experiment.command is not None
    base = base_folder(experiment)
    named = [base / word for word in experiment.command if _is_file(base / word)]
    return tuple(each for file in named for each in _with_imports(file))


def _facts(
    experiment: Experiment, key: str, what: str, files: tuple[Path, ...], *, base: Path
) -> Facts:
    code = fingerprint_of(files, base)
    searched = ", ".join(experiment.space.parameters) or "nothing"
    named = ", ".join(_shown(file, base) for file in dict.fromkeys(files)) or "none"
    details: dict[str, Any] = {
        "summary": f"{what}, searched by {experiment.metric} ({experiment.direction})",
        "cards": {key: what, "code": code[:12]},
        "notes": list(_notes(experiment)),
        "lines": [f"{key}: {what}", f"code: {named} ({code[:12]})", f"varied: {searched}"],
        "folder": str(base),
    }
    # Not `code`: that is the runner's own version in the tags of every run.
    return Facts(fingerprints={"own_code": code}, details=details)


def _notes(experiment: Experiment) -> Iterator[str]:
    if experiment.evaluate is None:
        yield (
            f"no `evaluate` is given: promotion will go by validation {experiment.metric}, by "
            "which trials are chosen, so it is optimistic"
        )


def _metric_findings(experiment: Experiment) -> Iterator[Finding]:
    try:
        full = metric_name(experiment.metric)
    except TrialFailed as error:
        yield Finding("search.metric", str(error))
        return
    if full != f"validation/{experiment.metric}":
        rule = "must be a name without a slash; it is reported as validation/<name>"
        yield Finding("search.metric", rule)


def _function_findings(experiment: Experiment, modules: Modules) -> Iterator[Finding]:
    for key in ("objective", "evaluate"):
        written = getattr(experiment, key)
        if written is not None:
            try:
                load_function(written, modules)
            except UnusableFunction as error:
                yield error.finding(key)


def _command_findings(experiment: Experiment) -> Iterator[Finding]:
    assert experiment.command is not None
    program = experiment.command[0]
    base = base_folder(experiment)
    if not [*names_in([program])] and not found_program(program, working=base):
        where = f"in {base} (or it is not executable)" if "/" in program else "on PATH"
        yield Finding("command", f"no such program {where}", program)
    known = [*experiment.params, *experiment.space.parameters, *OF_THE_TRIAL]
    for name in dict.fromkeys(names_in(experiment.command)):
        if name not in known:
            rule = f"{{{name}}} is no parameter; {{{{{name}}}}} stands for those characters"
            yield Finding("command", rule, name, tuple(dict.fromkeys(known)))
        elif name not in (*experiment.params, *OF_THE_TRIAL) and _may_be_absent(experiment, name):
            rule = (
                f"{{{name}}} has no value in trials where its condition does not hold; give it "
                "one in `params`"
            )
            yield Finding("command", rule, name)
    for name in dict.fromkeys(names_in(experiment.command)):
        is_ours = name in experiment.params or name in experiment.space.parameters
        if name in OF_THE_TRIAL and is_ours:
            rule = f"{{{name}}} means the trial's own {name}; give the parameter another name"
            yield Finding("command", rule, name)


def _may_be_absent(experiment: Experiment, name: str) -> bool:
    return bool(experiment.space.parameters[name].when)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        # A word that cannot be a path: too long, or with a zero byte.
        return False


def _with_imports(file: Path) -> tuple[Path, ...]:
    return code_files(file) if file.suffix == ".py" else (file,)


def _shown(file: Path, base: Path) -> str:
    return str(file.relative_to(base)) if file.is_relative_to(base) else str(file)
