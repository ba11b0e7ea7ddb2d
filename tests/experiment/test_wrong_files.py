"""Hundreds of seeded mutations of every experiment file: each loads, or is refused with file,
line, key and rule; never a traceback."""

import random
from collections.abc import Callable
from pathlib import Path

from runner.experiment import load_experiment

FILES = Path(__file__).parent / "files"
MUTATIONS = 400
Refused = Callable[[Callable[[], object]], bool]
Mutation = Callable[[list[str], random.Random], list[str]]

WORDS = [
    "no", "yes", "null", "~", "1e-5", "-1", "1e999", ".nan", "[]", "{}", "[1, [2]]", "''", "010",
    "9" * 30, "{float: [0, 1]}", "{choice: [a]}", "!!python/object:os.system x", "*x", "&x 1",
    "max", "2026-11-22", "1:30", "'unclosed", "[1, 2", "{a: ", "\t5", "\"\\ud800\"", "é☃𝄞", "@",
    "| text", "- 5", "a: b", "? x", "<<: {a: 1}", "%TAG", "..", "---",
]  # fmt: skip
KEYS = ["name", "data", "search", "space", "when", "float", "learning_rate", "source", "first"]


def drop(lines: list[str], rng: random.Random) -> list[str]:
    n = rng.randrange(len(lines))
    return lines[:n] + lines[n + 1 :]


def duplicate(lines: list[str], rng: random.Random) -> list[str]:
    n = rng.randrange(len(lines))
    return [*lines[:n], lines[n], *lines[n:]]


def swap(lines: list[str], rng: random.Random) -> list[str]:
    lines = list(lines)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def indent(lines: list[str], rng: random.Random) -> list[str]:
    return _change(lines, rng, lambda line: rng.choice([" ", "  ", "\t", "    "]) + line)


def dedent(lines: list[str], rng: random.Random) -> list[str]:
    return _change(lines, rng, lambda line: line[rng.randint(1, 2) :])


def misspell(lines: list[str], rng: random.Random) -> list[str]:
    def change(line: str) -> str:
        n = rng.randrange(len(line) + 1)
        return line[:n] + rng.choice(["", "x", "_", ":", " "]) + line[n + 1 :]

    return _change(lines, rng, change)


def retype(lines: list[str], rng: random.Random) -> list[str]:
    return _change(lines, rng, lambda line: f"{line.split(':')[0]}: {rng.choice(WORDS)}")


def rename(lines: list[str], rng: random.Random) -> list[str]:
    def change(line: str) -> str:
        key, colon, value = line.partition(":")
        stem = key[: len(key) - len(key.lstrip())]
        return stem + rng.choice(KEYS) + colon + value

    return _change(lines, rng, change)


def inline(lines: list[str], rng: random.Random) -> list[str]:
    def change(line: str) -> str:
        words = line.split(" ")
        words[rng.randrange(len(words))] = rng.choice(WORDS)
        return " ".join(words)

    return _change(lines, rng, change)


def truncate(lines: list[str], rng: random.Random) -> list[str]:
    text = "\n".join(lines)
    return text[: rng.randrange(len(text))].split("\n")


def _change(lines: list[str], rng: random.Random, how: Callable[[str], str]) -> list[str]:
    n = rng.choice([n for n, line in enumerate(lines) if line.strip()])
    return [*lines[:n], how(lines[n]), *lines[n + 1 :]]


TEXTUAL: list[Mutation] = [
    drop, duplicate, swap, indent, dedent, misspell, retype, rename, inline, truncate,
]  # fmt: skip


def noise(content: bytes, rng: random.Random) -> bytes:
    """The content with some bytes replaced by any others."""
    spoilt = bytearray(content)
    for _ in range(rng.randint(1, 5)):
        spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
    return bytes(spoilt)


def spoil(text: str, seed: int) -> bytes:
    """The text after one to three mutations; the same for the same seed."""
    rng = random.Random(seed)
    if rng.random() < 0.1:
        return noise(text.encode(), rng)
    lines = [line for line in text.split("\n") if not line.startswith("#")]
    for _ in range(rng.randint(1, 3)):
        lines = rng.choice(TEXTUAL)(lines, rng) or [""]
        if not any(line.strip() for line in lines):
            break
    return "\n".join(lines).encode()


def test_mutated_files_load_or_are_refused_soundly(
    folder: Path, experiment_files: list[Path], refused: Refused
) -> None:
    wrong = 0
    path = folder / "spoilt.yaml"
    for seed in range(MUTATIONS):
        original = experiment_files[seed % len(experiment_files)].read_text()
        path.write_bytes(spoil(original, seed))
        wrong += refused(lambda: load_experiment(str(path)))
    assert wrong >= 200


def test_mutated_spaces_load_or_are_refused_soundly(folder: Path, refused: Refused) -> None:
    space = folder / "search_spaces" / "tiny.yaml"
    original = (Path(__file__).parents[2] / "search_spaces" / "vit.yaml").read_text()
    path = folder / "cats.yaml"
    path.write_text((FILES / "cats_named_space.yaml").read_text())
    wrong = 0
    for seed in range(100):
        space.write_bytes(spoil(original, seed))
        wrong += refused(lambda: load_experiment(str(path)))
    assert wrong >= 50


def test_mutated_overrides_work_or_are_refused_soundly(refused: Refused) -> None:
    path = str(FILES / "photos_folder.yaml")
    overrides = ["search.trials=5", "search.space.epochs.int.1=8", "data={source: bundled}"]
    wrong = 0
    for seed in range(90):
        option = spoil(overrides[seed % 3], seed).decode("utf-8", "surrogateescape")
        wrong += refused(lambda option=option: load_experiment(path, [option]))  # type: ignore[misc]
    assert wrong >= 45
