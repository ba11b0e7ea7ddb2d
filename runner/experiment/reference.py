"""Writes the experiment-file reference and its JSON Schema from the models.

    python -m runner.experiment.reference [FOLDER]

writes experiment-file.md and experiment.schema.json into FOLDER, by default docs/.
"""

import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.experiment.example_settings import (
    CommonDataSettings,
    ImageDataSettings,
    TextDataSettings,
)
from runner.experiment.identity import is_free
from runner.experiment.json_schema import published_schema
from runner.experiment.reference_text import GRAMMAR, INTRODUCTION, LABELS, TASKS
from runner.experiment.scalars import printable
from runner.experiment.task_forms import TASK_FORMS
from runner.experiment.wording import Schema, allowed_words, resolve

DOCS = Path(__file__).resolve().parents[2] / "docs"


def reference_text() -> str:
    """The reference as Markdown."""
    sections = "\n".join(_section(title, prefix, schema) for title, prefix, schema in _parts())
    return f"{INTRODUCTION}\n{_tasks()}\n{sections}\n{GRAMMAR}"


def _tasks() -> str:
    """A table of the tasks, from the table that the code itself goes by."""
    head = (
        "| task | examples | labels | metrics, the default first | losses |\n|---|---|---|---|---|"
    )
    rows = "\n".join(
        f"| `{form.name}` | {form.modality}s | {LABELS[form.labels]} | "
        f"{_listed(form.metrics)} | {_listed(form.losses)} |"
        for form in TASK_FORMS.values()
        if form.labels is not None
    )
    return TASKS.format(table=f"{head}\n{rows}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def schema_text() -> str:
    """The JSON Schema as its file holds it."""
    return json.dumps(published_schema(), indent=2) + "\n"


def _parts() -> Iterator[tuple[str, str, Schema]]:
    """Title, key prefix and schema of each section."""
    schema = published_schema()
    definitions = schema["$defs"]
    yield "The whole file", "", schema
    yield from _data_parts(schema)
    yield "data.split", "data.split.", definitions["SplitSettings"]
    yield "data.cleaning", "data.cleaning.", definitions["CleaningSettings"]
    yield "model", "model.", definitions["ModelSettings"]
    yield "train", "train.", definitions["Recipe"]
    yield "search", "search.", definitions["SearchSettings"]
    yield "reuse", "reuse.", definitions["ReuseSettings"]
    yield "ray", "ray.", definitions["RaySettings"]
    yield "tracking", "tracking.", definitions["TrackingSettings"]


def _data_parts(schema: Schema) -> Iterator[tuple[str, str, Schema]]:
    """The sections of `data`: what sources share, then what each has of its own."""
    definitions = schema["$defs"]
    sources: dict[str, str] = schema["properties"]["data"]["discriminator"]["mapping"]
    bundled = resolve({"$ref": sources["bundled"]}, definitions)["properties"]  # has them all
    common = set(CommonDataSettings.model_fields)
    shared = {
        "images": set(ImageDataSettings.model_fields) - common,
        "texts": set(TextDataSettings.model_fields) - common,
    }
    whole = {"description": "Keys that every source has.", "properties": bundled}
    yield "data, whatever the source", "data.", _only(whole, common)
    for kind, keys in shared.items():
        whole["description"] = f"Keys that every source of {kind} has."
        yield f"data, sources of {kind}", "data.", _only(whole, keys)
    for source, reference in sources.items():
        own = resolve({"$ref": reference}, definitions)
        held = [kind for kind, keys in shared.items() if keys <= own["properties"].keys()]
        told = {**own, "description": f"{own['description']} Holds {' or '.join(held)}."}
        kept = own["properties"].keys() - common.union(*shared.values())
        yield f"data, source: {source}", "data.", _only(told, kept)


def _only(schema: Schema, keys: Collection[str]) -> Schema:
    chosen = {key: value for key, value in schema["properties"].items() if key in keys}
    return {**schema, "properties": chosen}


def _section(title: str, prefix: str, schema: Schema) -> str:
    head = "| key | allowed | default | may change | meaning |\n|---|---|---|---|---|"
    rows = "\n".join(
        _row(prefix, key, field, is_required=key in schema.get("required", ()))
        for key, field in schema["properties"].items()
    )
    return f"## {title}\n\n{schema.get('description', '')}\n\n{head}\n{rows}\n"


def _row(prefix: str, key: str, field: dict[str, Any], *, is_required: bool) -> str:
    definitions = published_schema()["$defs"]
    allowed = _allowed(prefix + key, field, definitions)
    default = "required" if is_required else _default(field)
    changes = "yes" if is_free(prefix + key) else "no"
    cells = [f"`{key}`", allowed, default, changes, field.get("description", "")]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _allowed(key: str, field: dict[str, Any], definitions: Schema) -> str:
    if key in ("search.time", "search.trial_time"):
        return "a duration, or null"
    if key == "search.silence":
        return "a duration, 'auto', or null"
    if key == "search.space":
        return "a name, or a mapping"
    return allowed_words(field, definitions)


def _default(field: dict[str, Any]) -> str:
    if "default" in field:
        return f"`{printable(field['default'])}`"
    return "that of each key" if "$ref" in field else "`{}`"


def write(folder: Path) -> list[Path]:
    """Writes both files into a folder, each whole or not at all; gives their paths."""
    texts = {"experiment-file.md": reference_text(), "experiment.schema.json": schema_text()}
    for name, text in texts.items():
        unfinished = folder / f"{name}.new"
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, folder / name)  # noqa: PTH105 -- the house's word for atomic
    return [folder / name for name in texts]


def main(arguments: Sequence[str]) -> None:
    """Writes both files into the folder named, or docs/."""
    for path in write(Path(arguments[0]) if arguments else DOCS):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
