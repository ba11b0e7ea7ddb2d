"""Which files a user's code consists of, and the fingerprint of what is in them."""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path


def code_files(file: Path) -> tuple[Path, ...]:
    """A Python file, and the modules beside it that it imports, directly or through others.

    Only what lies in the file's own folder counts; what does not parse imports nothing.
    """
    found: dict[Path, None] = {}
    waiting = [file]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = None
        names = sorted(set(_imported(path, file.parent)))
        waiting += [each for name in names for each in _files_of(name, file.parent)]
    return tuple(found)


def fingerprint_of(files: Iterable[Path], base: Path) -> str:
    """sha256 over names (seen from a folder) and contents, as 64 hex digits."""
    digest = hashlib.sha256()
    for path in sorted(set(files)):
        name = path.relative_to(base) if path.is_relative_to(base) else path
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name.as_posix()}\0{content}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _imported(path: Path, base: Path) -> Iterator[str]:
    """Dotted names of everything that a file may import; submodules of packages among them."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    package = path.relative_to(base).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*above, *filter(None, [node.module])))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _files_of(name: str, base: Path) -> Iterator[Path]:
    """The files of a module in a folder, those of the packages around it included."""
    parts = [part for part in name.split(".") if part]
    for length in range(1, len(parts) + 1):
        path = base.joinpath(*parts[:length])
        for candidate in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
            if candidate.is_file():
                yield candidate
