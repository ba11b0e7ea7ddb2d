"""The command line: one function a command, no logic; heavy imports happen inside them."""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner import __version__
from runner.errors import ExperimentError, RunnerError, TrackingUnreachable, first_refusal

# Ended on request (Ctrl-C, SIGTERM, `stop`); 128 + SIGINT, as shells have it.
INTERRUPTED = 130
USAGE = 2

EPILOG = """\
exit codes: 0 done; 1 unexpected; 2 wrong usage; 3 wrong experiment file; 4 data or weights;
5 the study (locked, changed, stopped); 6 the trial failed; 7 no device; 8 not found;
9 MLflow unreachable; 10 promotion refused; 11 the disk (full, read-only, no permission);
130 interrupted (the same command continues)
"""


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives the process's exit code."""
    options = _parse(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        with _terminated_as_interrupted():
            return command(options)
    except RunnerError as error:
        return _told(error)
    except KeyboardInterrupt:
        print("runner: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        from runner.experiment import is_refusal, refused

        if not is_refusal(error):
            raise
        return _told(refused(error))


def _told(error: RunnerError) -> int:
    """Say what went wrong; what the disk refused before that, first."""
    first = first_refusal(error)
    if first is not None and str(first) not in str(error):
        print(f"runner: {first}", file=sys.stderr)
    print(f"runner: {error}", file=sys.stderr)
    return (first or error).exit_code


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: what it holds is given back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options; inputs of `predict` may also stand after its options."""
    parser = build_parser()
    options, left = parser.parse_known_args(arguments)
    # argparse takes an empty list of inputs as soon as it has the model's name.
    takes_inputs = options.command is _predict and not any(word.startswith("-") for word in left)
    if left and not takes_inputs:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    if left:
        options.inputs += left
    return options


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(
        prog="runner",
        description="Hyperparameter search for fine-tuning pretrained models.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"runner {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_search_commands(commands)
    _add_study_commands(commands)
    _add_model_commands(commands)
    return parser


def _add(
    commands: Any, name: str, function: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=function)
    return parser


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="experiment file, or its bare name in experiments/")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a key of the file, e.g. --set search.trials=5 (may be repeated)",
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def _add_search_commands(commands: Any) -> None:
    search = _add(commands, "search", _search, "search, or continue where it stopped")
    _add_experiment(search)
    search.add_argument("--new", action="store_true", help="begin the next study; keep the old")
    search.add_argument("--backend", choices=("local", "ray", "inline"), default="local")
    search.add_argument(
        "--ray-address", metavar="ADDRESS", help="with --backend ray: host:port, or auto"
    )
    search.add_argument("--plain", action="store_true", help="a line an event, no live table")
    _add_json(search)
    validate = _add(commands, "validate", _validate, "check a file, its model and its data")
    _add_experiment(validate)
    _add_json(validate)
    plan = _add(commands, "plan", _plan, "show the resolved experiment and the trials to come")
    _add_experiment(plan)
    _add_json(plan)
    train = _add(commands, "train", _train, "train once: the file's recipe, or a trial's again")
    _add_experiment(train)
    train.add_argument("--trial", type=int, metavar="N", help="reproduce trial N of the study")
    train.add_argument("--output", metavar="FILE", help="also copy the weights there")
    train.add_argument(
        "--half", action="store_true", help="write --output in 16 bits: half the size"
    )
    _add_json(train)


def _add_study_commands(commands: Any) -> None:
    status = _add(commands, "status", _status, "how a search is doing")
    status.add_argument("study")
    _add_json(status)
    leaderboard = _add(commands, "leaderboard", _leaderboard, "a study's trials, the best first")
    leaderboard.add_argument("study")
    leaderboard.add_argument("--top", type=int, metavar="N", help="only the first N rows")
    leaderboard.add_argument("--csv", action="store_true", help="print CSV")
    leaderboard.add_argument("--html", metavar="FILE", help="write a page to FILE")
    _add_json(leaderboard)
    stop = _add(commands, "stop", _stop, "end a running search, or one of its trials")
    stop.add_argument("study")
    stop.add_argument("--trial", type=int, metavar="N")
    enqueue = _add(commands, "enqueue", _enqueue, "a setting to try next")
    enqueue.add_argument("study")
    enqueue.add_argument("params", nargs="+", metavar="KEY=VALUE")
    sync = _add(commands, "sync", _sync, "deliver to MLflow what it lacks of a study")
    sync.add_argument("study")
    studies = _add(commands, "studies", _studies, "list, archive or delete studies")
    studies.add_argument(
        "action", choices=("list", "archive", "delete"), nargs="?", default="list"
    )
    studies.add_argument("study", nargs="?", help="name, or name:number")
    studies.add_argument("--yes", action="store_true", help="delete without asking")
    _add_json(studies)
    pictures = _add(commands, "pictures", _pictures, "draw a trial's pictures into its MLflow run")
    pictures.add_argument("study")
    pictures.add_argument("--trial", type=int, metavar="N", help="default: the best")


def _add_model_commands(commands: Any) -> None:
    promote = _add(commands, "promote", _promote, "test a trial, pass the gate, register it")
    promote.add_argument("study")
    promote.add_argument("--trial", type=int, metavar="N", help="default: the best")
    promote.add_argument("--alias", default="champion")
    promote.add_argument("--name", help="registered model; default: the study's name")
    promote.add_argument(
        "--without-comparison", action="store_true", help="replace a champion unseen"
    )
    promote.add_argument(
        "--form",
        choices=("merged", "adapter"),
        default="merged",
        help="of a trial with adapters: register all weights, or the adapter for its base model",
    )
    _add_json(promote)
    predict = _add(commands, "predict", _predict, "predict with a model or a trial")
    predict.add_argument("model", help="registered name, models:/ or runs:/ URI, or a study")
    predict.add_argument("inputs", nargs="*", metavar="INPUT", help="image files, or texts")
    predict.add_argument(
        "--file", metavar="FILE", help="a .csv, .tsv, .jsonl, .parquet or .txt file of inputs"
    )
    predict.add_argument(
        "--column", metavar="NAME", help="its column, if not image, text or tokens"
    )
    predict.add_argument("--trial", type=int, metavar="N", help="a trial of the study MODEL")
    predict.add_argument(
        "--tracking-uri", metavar="URI", help="default: the study's, or the store"
    )
    _add_json(predict)
    ui = _add(commands, "ui", _ui, "the MLflow UI on the right store")
    ui.add_argument("--port", type=_port, default=5000)
    ui.add_argument("--host", default="127.0.0.1")
    ui.add_argument("--tracking-uri", metavar="URI", help="default: the local store")
    cache = _add(commands, "cache", _cache, "size of the caches, and pruning them")
    cache.add_argument("--prune", metavar="SIZE", help="keep at most SIZE, e.g. 10GB or 0")
    _add_json(cache)


def _port(text: str) -> int:
    """A number of a port; 0: any that is free."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return number


def _print_json(value: Any) -> None:
    from runner.experiment import json_text

    print(json_text(value, indent=1, default=str))


def _search(options: argparse.Namespace) -> int:
    from runner import api

    show = "none" if options.json else "plain" if options.plain else "auto"
    try:
        study = api.search(
            options.experiment,
            overrides=options.overrides,
            new=options.new,
            backend=options.backend,
            ray_address=options.ray_address,
            show=show,
        )
    except KeyboardInterrupt:
        print("runner: interrupted; the same command continues the search", file=sys.stderr)
        return INTERRUPTED
    from runner.report import summary_lines, trial_values

    if options.json:
        _print_json([trial_values(trial) for trial in api.ranked(study.record)])
    else:
        print("\n".join(summary_lines(study.record, study.stop_reason)))
    if study.is_interrupted:
        print("runner: the same command continues the search", file=sys.stderr)
        return INTERRUPTED
    return TrackingUnreachable.exit_code if study.undelivered else 0


def _validate(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.study import validate

    problems = validate(Store.default(), options.experiment, options.overrides)
    if options.json:
        _print_json([problem.__dict__ for problem in problems])
    else:
        for problem in problems:
            print(problem)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        print(f"{options.experiment}: {count}" if problems else "valid")
    return ExperimentError.exit_code if problems else 0


def _plan(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.study import plan, plan_lines

    made = plan(Store.default(), options.experiment, options.overrides)
    if options.json:
        _print_json(made)
    else:
        print("\n".join(plan_lines(made)))
    return 0


def _train(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.study import train

    if options.trial is not None and options.overrides:
        print(
            "runner: --set and --trial exclude each other: a trial is reproduced as it was",
            file=sys.stderr,
        )
        return USAGE
    name = options.experiment if options.trial is None else study_name(options.experiment)
    result = train(
        Store.default(),
        name,
        overrides=options.overrides,
        trial=options.trial,
        output=None if options.output is None else Path(options.output),
        is_half=options.half,
        say=_quiet if options.json else _say,
    )
    if options.json:
        _print_json(result)
    else:
        print(f"value {result['value']} at epoch {result['best_epoch']}")
        print(f"MLflow run {result['run_id']}; weights {result['weights']}")
    return 0


def _status(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.report import status_values, summary_lines
    from runner.study import read_study

    record = read_study(Store.default(), study_name(options.study))
    if options.json:
        _print_json(status_values(record))
    else:
        print("\n".join(summary_lines(record, "")))
    return 0


def _leaderboard(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.report import show_leaderboard
    from runner.study import read_study

    record = read_study(Store.default(), study_name(options.study))
    form = "json" if options.json else "csv" if options.csv else "table"
    page = None if options.html is None else Path(options.html)
    show_leaderboard(record, form=form, limit=options.top, page=page)
    return 0


def _stop(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.study import stop

    print(stop(Store.default(), study_name(options.study), trial=options.trial))
    return 0


def _enqueue(options: argparse.Namespace) -> int:
    from runner.experiment import Store, parse_setting
    from runner.study import enqueue

    params = dict(parse_setting(text) for text in options.params)
    print(enqueue(Store.default(), study_name(options.study), params))
    return 0


def _sync(options: argparse.Namespace) -> int:
    from runner import api

    print(api.sync(study_name(options.study)))
    return 0


def _studies(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.report import study_rows, study_table
    from runner.study import archive, delete, list_studies

    store = Store.default()
    if options.action == "list":
        found = list(list_studies(store))
        if options.json:
            _print_json(study_rows(found))
        else:
            print(study_table(found))
        return 0
    if options.study is None:
        print(f"runner: studies {options.action} needs a study's name", file=sys.stderr)
        return USAGE
    if options.action == "delete" and not (options.yes or _is_agreed(options.study)):
        return 0
    said = (archive if options.action == "archive" else delete)(store, options.study)
    if options.json:
        _print_json({"study": options.study, "action": options.action, "message": said})
    else:
        print(said)
    return 0


def _is_agreed(study: str) -> bool:
    # Not through input(): its prompt would be in the midst of the JSON.
    print(f"delete {study}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() == "y"


def _pictures(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.report import draw_into_run
    from runner.study import read_study

    record = read_study(Store.default(), study_name(options.study))
    print(draw_into_run(Store.default(), record, options.trial))
    return 0


def _promote(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from runner import api
    from runner.promotion import Form

    promotion = api.promote(
        study_name(options.study),
        trial=options.trial,
        alias=options.alias,
        name=options.name,
        is_compared=not options.without_comparison,
        form=Form(options.form),
        say=_quiet if options.json else _say,
    )
    if options.json:
        _print_json(asdict(promotion))
        return 0
    if promotion.comparison:
        print(promotion.comparison)
    print(f"{promotion.name} version {promotion.version} is now {promotion.alias}")
    if promotion.predict_command:
        print(f"predict:  {promotion.predict_command}")
    if promotion.serve_command:
        print(f"serve:    {promotion.serve_command}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from runner import api
    from runner.promotion import InputFile
    from runner.report import prediction_table

    if bool(options.inputs) == bool(options.file):
        print("runner: predict needs either inputs or --file", file=sys.stderr)
        return USAGE
    rows = api.predict(
        options.model,
        InputFile(options.file, options.column) if options.file else options.inputs,
        trial=options.trial,
        uri=options.tracking_uri,
        say=_quiet if options.json else _say,
    )
    if options.json:
        _print_json(rows)
    else:
        print(prediction_table(rows))
    return 0


def _ui(options: argparse.Namespace) -> int:
    from runner.experiment import Store
    from runner.tracking import start_ui

    return start_ui(options.tracking_uri, Store.default(), port=options.port, host=options.host)


def _cache(options: argparse.Namespace) -> int:
    from runner.data import cache_entries, prune_cache
    from runner.experiment import Store, parse_size

    cache = Store.default().cache
    if options.prune is not None:
        removed = prune_cache(cache, keep_bytes=parse_size(options.prune))
        say = _quiet if options.json else _say
        say(f"removed {len(removed)} entries, {sum(e.bytes for e in removed) / 1e6:.1f} MB")
    entries = cache_entries(cache)
    if options.json:
        _print_json([entry.__dict__ for entry in entries])
        return 0
    for entry in entries:
        print(f"{entry.bytes / 1e6:9.1f} MB  {entry.kind:8}  {entry.key}")
    print(f"{sum(entry.bytes for entry in entries) / 1e6:9.1f} MB in {cache}")
    return 0


def study_name(text: str) -> str:
    """A study's name from what a user gave: itself, or an experiment file."""
    if text.endswith((".yaml", ".yml")):
        from runner.experiment import load_experiment

        return load_experiment(text).name
    return text


def _say(text: str) -> None:
    """A line at once, also into a pipe or a file."""
    print(text, flush=True)


def _quiet(text: str) -> None:
    """Says nothing: the output is for a script."""
