"""Getting a Hugging Face data set, from the hub or from a folder, and the parts it has."""

import logging
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.data.errors import DataSettingError, named
from runner.data.example import Part
from runner.data.folder import PART_FOLDERS
from runner.errors import DataError
from runner.experiment import first_line

_PROBE_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubPlace:
    """Which data set.

    Attributes:
        name: Name on the hub, for example `user/flowers`.
        local: A folder to read instead of asking the hub, or None.
        config: Configuration of the data set, or None for its default.
        revision: Branch, tag or commit on the hub, or None for the newest.
    """

    name: str
    local: Path | None = None
    config: str | None = None
    revision: str | None = None

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"Hugging Face {self.name}"


def load_hub_set(place: HubPlace) -> Any:
    """What `datasets` gives for this name; its failures in our words.

    Raises:
        DataSettingError: If the data set is unknown.
        DataError: If `datasets` is not installed or the hub cannot be reached.
    """
    name, config, local = place.name, place.config, place.local
    try:
        import datasets
    except ImportError as err:
        raise DataError(
            "data.source: huggingface needs the package `datasets`; "
            "install it with: pip install 'datasets>=4'"
        ) from err
    if local is not None:
        return _load_local(datasets, local, config)
    reachable = _hub_answers()
    try:
        with _offline(datasets, is_offline=not reachable):
            return datasets.load_dataset(name, config, revision=place.revision)
    except Exception as err:
        if reachable:
            raise DataSettingError(
                "data.name", f"`datasets` cannot load it: {first_line(err)}", seen=name
            ) from err
        raise DataError(
            f"the Hugging Face hub cannot be reached and {name} is not in the local cache. "
            "Load it once on a machine with a network and copy its cache, name a local folder "
            "in data.name, or use a bundled set (data.source: bundled)"
        ) from err


def folders_of(place: HubPlace) -> tuple[Path, ...]:
    """Where the images may lie that a data set names: its own folder and the caches."""
    from datasets import config
    from huggingface_hub import constants

    caches = (config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    own = () if place.local is None else (place.local,)
    return (*own, *(Path(cache) for cache in caches))


def _load_local(datasets: Any, folder: Path, config: str | None) -> Any:
    """A folder written by `save_to_disk`, or one that `load_dataset` understands."""
    saved = (folder / "dataset_dict.json").exists() or (folder / "state.json").exists()
    try:
        if saved:
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(str(folder), config)
    except Exception as err:
        raise DataSettingError(
            "data.name",
            f"`datasets` cannot load this folder: {first_line(err)}",
            seen=str(folder),
        ) from err


def _hub_answers() -> bool:
    """Whether the hub answers at all; asked once, because its client retries for minutes."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


@contextmanager
def _offline(datasets: Any, *, is_offline: bool) -> Iterator[None]:
    """In this block `datasets` and the hub's client use their caches and never connect."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if is_offline:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def parts_of(title: str, loaded: Any) -> dict[Part | None, Any]:
    """Tables by part; one table alone has no given split.

    Raises:
        DataError: If there are several, none of them for training.
    """
    if not isinstance(loaded, dict):
        return {None: loaded}
    parts: dict[Part | None, Any] = {}
    ignored = []
    for split, table in loaded.items():
        part = PART_FOLDERS.get(str(split).lower())
        if part is None or part in parts:
            ignored.append(str(split))
        else:
            parts[part] = table
    if len(loaded) == 1:
        return {None: next(iter(loaded.values()))}
    if Part.TRAIN not in parts:
        raise DataError(f"{title} has the splits {named(list(loaded))} but none called train")
    if ignored:
        log.warning("%s: left out the splits %s", title, named(ignored))
    return parts
