"""The bundled text set: sentences of docstrings, labelled with the library they come from.

The libraries are those that the runner installs anyway. Their files are read and parsed, never
imported. What comes out depends on their installed versions alone.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runner.data.cache import entry_path, mark_used, write_whole
from runner.data.example import Example, TextSource
from runner.data.sentences import prose_sentences
from runner.data.text_listing import digest_of_text
from runner.errors import DataError
from runner.experiment import LabelKind

DOCSTRINGS = "docstrings"
EXTRACTION_VERSION = 1  # raised when the same files would give other sentences
SENTENCES = 300  # of each library, unless told otherwise
_MODULE_SENTENCES = 12  # at most from one module, so that many modules take part
_SPARE = 1.1  # sentences sought for each one wanted: some turn up in two libraries

# Distribution -> package. Each gives at least 400 sentences from at least 80 modules.
LIBRARIES = {
    "matplotlib": "matplotlib",
    "mlflow": "mlflow",
    "numpy": "numpy",
    "optuna": "optuna",
    "pandas": "pandas",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "torch": "torch",
}
# A sentence with one of these names, whichever library it is from, would give its label away.
_NAMES = re.compile(
    r"matplotlib|pyplot|pylab|\bmpl\b|\bplt\b|mlflow|numpy|\bnp\b|optuna|pandas|\bpd\b"
    r"|scikit|sklearn|\bsk\b|scipy|\bsp\b|torch",
    re.IGNORECASE,
)
# Tests, generated code, other projects' files that are shipped along, and what a library installs
# only for some versions of Python.
_FOREIGN = re.compile(
    r"(^|/)(tests?|testing|_?vendor\w*|_?externals?|third_party|protos|array_api\w*|distutils)/"
    r"|(^|/)(test_\w+|conftest|\w+_pb2\w*)\.py$"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and the module whose docstrings it is in, for example `scipy.fft._fftlog`."""

    module: str
    text: str


def bundled_docstrings(*, size: int | None = None, cache: Path | None = None) -> TextSource:
    """Sentences of docstrings; the label is the library, the group is the module.

    Args:
        size: Sentences a library; None takes 300. A library that has fewer gives all it has.
        cache: Folder of caches, or None to read the libraries again (some seconds).
    Returns:
        A source of single texts without duplicates; what is in it depends on nothing but the
        installed versions.
    Raises:
        DataError: If one of the libraries is not installed.
    Side effects: Writes one file under `cache/docstrings/`.
    """
    found = _cached_sentences(SENTENCES if size is None else size, cache)
    rows = sorted(_labelled(found), key=lambda row: row[0].id)
    return TextSource(
        name="bundled docstrings",
        kind=LabelKind.CLASS,
        classes=tuple(LIBRARIES),
        examples=tuple(example for example, _ in rows),
        unreadable=(),
        texts=tuple(text for _, text in rows),
    )


def _labelled(found: dict[str, list[Sentence]]) -> Iterator[tuple[Example, str]]:
    """Examples with their texts; an id is the module and the place among its sentences."""
    for label, library in enumerate(LIBRARIES):
        ordinals: Counter[str] = Counter()
        for sentence in found[library]:
            name = f"{sentence.module}/{ordinals[sentence.module]:02d}"
            ordinals[sentence.module] += 1
            digest = digest_of_text(sentence.text)
            yield Example(name, label, digest, group=sentence.module), sentence.text


def _cached_sentences(size: int, cache: Path | None) -> dict[str, list[Sentence]]:
    """The sentences of each library, from the cache where it has them whole."""
    if cache is None:
        return _sentences(size)
    path = entry_path(cache, DOCSTRINGS, _key(size), ".json")
    try:
        stored = json.loads(path.read_bytes())
        found = {
            library: [Sentence(module, text) for module, text in stored[library]]
            for library in LIBRARIES
        }
    except (OSError, ValueError, KeyError, TypeError):
        found = _sentences(size)
        rows = {name: [[one.module, one.text] for one in found[name]] for name in LIBRARIES}
        write_whole(path, json.dumps(rows).encode())
    else:
        mark_used(path)
    return found


def _key(size: int) -> str:
    """Equal keys mean equal sentences."""
    versions = [f"{library}=={_version(library)}" for library in LIBRARIES]
    text = json.dumps([EXTRACTION_VERSION, size, *versions])
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError as err:
        raise _missing(library) from err


def _missing(library: str) -> DataError:
    return DataError(
        f"the bundled docstrings are those of {', '.join(LIBRARIES)}, and {library} is not "
        f"installed: pip install {library}"
    )


def _sentences(size: int) -> dict[str, list[Sentence]]:
    """Up to `size` sentences of each library, none of them in two libraries."""
    log.info("reading the docstrings of %s", ", ".join(LIBRARIES))
    found = {library: _of_library(library, int(size * _SPARE) + 1) for library in LIBRARIES}
    libraries = Counter(_folded(one.text) for rows in found.values() for one in rows)
    return {
        library: [one for one in rows if libraries[_folded(one.text)] == 1][:size]
        for library, rows in found.items()
    }


def _of_library(library: str, wanted: int) -> list[Sentence]:
    """At least `wanted` different sentences of one library, or all that it has.

    Modules are taken in the order of their names' digests, which is as good as any other and
    the same everywhere, so that only as many files are parsed as are needed.
    """
    package = LIBRARIES[library]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise _missing(library)
    root = Path(spec.origin).parent
    seen: set[str] = set()
    sentences: list[Sentence] = []
    for name in sorted(_file_names(root), key=_digest):
        module = ".".join((package, *Path(name).with_suffix("").parts))
        texts = sorted(_new_sentences(root / name, seen), key=_digest)
        sentences += [Sentence(module, text) for text in texts[:_MODULE_SENTENCES]]
        if len(sentences) >= wanted:
            break
    return sentences


def _file_names(root: Path) -> Iterator[str]:
    """The library's own Python files, relative to its folder."""
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        if not _FOREIGN.search(name):
            yield name


def _new_sentences(path: Path, seen: set[str]) -> Iterator[str]:
    """Sentences of one file that name no library and were not seen in another file."""
    for docstring in _docstrings(path):
        for text in prose_sentences(docstring):
            folded = _folded(text)
            if folded not in seen and not _NAMES.search(text):
                seen.add(folded)
                yield text


def _docstrings(path: Path) -> Iterator[str]:
    """Docstrings of a module, its classes and its functions; none if it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                yield docstring


def _folded(text: str) -> str:
    """What near duplicates have in common: the words without case, digits and punctuation."""
    return " ".join(re.findall(r"[^\W\d_]+", text.lower()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
