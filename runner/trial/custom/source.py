"""Loading a user's function from its file, with every reason why that fails in words."""

import importlib.util
import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from runner.errors import RunnerError, nearest_spelling
from runner.trial.custom.imports import code_files
from runner.trial.custom.surroundings import beside
from runner.trial.job import Finding

logger = logging.getLogger(__name__)
Function = Callable[[Any], Any]
Modules = dict[Path, ModuleType]
# Folders that this process has loaded users' code from.
_FOLDERS: set[Path] = set()


class UnusableFunction(RunnerError):
    """A function of the user's cannot be loaded, or cannot be called with a trial.

    Attributes:
        rule: What is wrong.
        seen: The value seen; None for what the experiment has.
        allowed: Names that would be right.
    """

    def __init__(self, rule: str, seen: str | None = None, allowed: Iterable[str] = ()) -> None:
        self.rule, self.seen, self.allowed = rule, seen, tuple(allowed)
        near = nearest_spelling(seen, self.allowed) if seen is not None else None
        super().__init__(rule + (f"; did you mean {near!r}?" if near else ""))

    def finding(self, key: str) -> Finding:
        """It as a problem of that key of the experiment."""
        return Finding(key, self.rule, self.seen, self.allowed)


@dataclass(frozen=True)
class Reference:
    """A function in a file.

    Attributes:
        file: Absolute, or seen from the working directory.
        name: The function's.
    """

    file: Path
    name: str

    @classmethod
    def of(cls, written: str) -> "Reference":
        """From `file.py:function`."""
        file, _, name = written.rpartition(":")
        return cls(Path(file).absolute(), name)


def load_function(written: str, modules: Modules | None = None) -> Function:
    """The function that `file.py:function` means.

    Args:
        written: The file and the function's name.
        modules: Files that have been loaded are taken from here, and added; None: the file is
            loaded as it is now.
    Raises:
        UnusableFunction: If the file is not there, cannot be imported, or has no such function
            of one argument.
    Side effects: Runs the file; it stays in `sys.modules` under its own name, unless that is
        taken by another module.
    """
    reference = Reference.of(written)
    known = {} if modules is None else modules
    if reference.file not in known:
        known[reference.file] = _load(reference.file)
    module = known[reference.file]
    function = getattr(module, reference.name, None)
    if function is None:
        names = [name for name, each in vars(module).items() if _is_own_function(each, module)]
        there = f"; it has {', '.join(names)}" if names else ""
        rule = f"{reference.file.name} has no function {reference.name!r}{there}"
        raise UnusableFunction(rule, reference.name, names)
    if (unfit := _unfit(function, reference.name)) is not None:
        raise UnusableFunction(f"{_place(function, reference)}: {unfit}")
    loaded: Function = function
    return loaded


def _load(file: Path) -> ModuleType:
    if not file.is_file():
        beside_it = sorted(each.name for each in file.parent.glob("*.py"))
        raise UnusableFunction(f"no such file: {file}", file.name, beside_it)
    _forget_beside(file)
    name = _free_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # its name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with beside(file.parent):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        logger.warning("%s cannot be imported", file, exc_info=True)
        raise UnusableFunction(_import_failure(error, file)) from error
    return module


def _forget_beside(file: Path) -> None:
    """Let the modules beside a user's file be imported anew: as they are now, and from there.

    A process may load code of several folders, or again after it was changed.
    """
    for path in code_files(file)[1:]:
        parts = path.relative_to(file.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        origin = getattr(sys.modules.get(name), "__file__", None)
        is_users = origin is not None and any(Path(origin).is_relative_to(f) for f in _FOLDERS)
        if is_users and parts[0] != "runner":
            del sys.modules[name]
    _FOLDERS.add(file.parent)


def _free_name(file: Path) -> str:
    """A module name under which the file can be imported again, e.g. by its own subprocesses."""
    if not file.stem.isidentifier():
        return f"objective {file}"
    if (taken := sys.modules.get(file.stem)) is not None:
        is_free = getattr(taken, "__file__", None) == str(file)
    else:
        spec = importlib.util.find_spec(file.stem)
        is_free = spec is None or spec.origin == str(file)
    return file.stem if is_free else f"objective {file}"


def _import_failure(error: BaseException, file: Path) -> str:
    if isinstance(error, SyntaxError):
        place = f"{Path(error.filename or file).name}:{error.lineno}"
        return f"{place}: {error.msg} ({type(error).__name__})"
    told = "".join(f": {line}" for line in str(error).splitlines()[:1])
    return f"{place_of(error, file)}: importing {file.name} raised {type(error).__name__}{told}"


def place_of(error: BaseException, file: Path) -> str:
    """The last line of a user's own code that was running when an error was raised.

    Args:
        error: It was caught.
        file: The user's; what lies in its folder is the user's too.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(file.parent)
        and "site-packages" not in Path(frame.filename).parts
    ]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else file.name


def _is_own_function(each: object, module: ModuleType) -> bool:
    return inspect.isfunction(each) and each.__module__ == module.__name__


def _unfit(function: Any, name: str) -> str | None:
    """Why a function cannot be called with a trial, or None."""
    if inspect.isclass(function) or not callable(function):
        kind = "a class" if inspect.isclass(function) else f"of type {type(function).__name__}"
        return f"{name} is {kind}, not a function"
    kinds = {
        "a coroutine (async def)": inspect.iscoroutinefunction,
        "a generator (it has a yield)": inspect.isgeneratorfunction,
    }
    for kind, is_kind in kinds.items():
        if is_kind(function):
            return f"{name} is {kind}; it must be a plain function"
    try:
        signature = inspect.signature(function)
        signature.bind(object())
    except TypeError:
        return f"{name} must take one argument, the trial; it is {name}{signature}"
    except ValueError:
        # A function of C that does not say what it takes.
        return None
    return None


def _place(function: Any, reference: Reference) -> str:
    code = getattr(function, "__code__", None)
    line = f":{code.co_firstlineno}" if code is not None else ""
    return f"{reference.file.name}{line}"
