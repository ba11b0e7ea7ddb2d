"""MLflow's limits, kept without dropping anything."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from runner.tracking.records import Batch, Point

# mlflow/utils/validation.py, 3.17: MAX_METRICS_PER_BATCH, MAX_PARAMS_TAGS_PER_BATCH (which also
# bounds the three together by 1,000), MAX_PARAM_VAL_LENGTH, MAX_TAG_VAL_LENGTH.
MAX_POINTS = 1000
MAX_PARAMS = 100
MAX_TAGS = 100
MAX_PARAM_CHARACTERS = 6000
MAX_TAG_CHARACTERS = 8000
_MAX_TOGETHER = 1000


def move_long_values(
    values: Mapping[str, str], *, limit: int, folder: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Values that fit, and the texts of those that do not.

    Args:
        values: Parameters or tags.
        limit: Longest value MLflow takes, in characters.
        folder: Run-relative folder for the texts.
    Returns:
        All keys with a fitting value (a pointer for the long ones), and path -> full text.
    """
    fitting: dict[str, str] = {}
    texts: dict[str, str] = {}
    for key, value in values.items():
        if len(value) <= limit:
            fitting[key] = value
            continue
        path = f"{folder}/{key}.txt"
        texts[path] = value
        fitting[key] = f"({len(value)} characters: see the artifact {path})"
    return fitting, texts


def split_batch(batch: Batch) -> Iterator[Batch]:
    """The batch in as few pieces as `log_batch` accepts."""
    points, params, tags = iter(batch.points), iter(batch.params.items()), iter(batch.tags.items())
    while True:
        some_params = dict(islice(params, MAX_PARAMS))
        some_tags = dict(islice(tags, MAX_TAGS))
        room = _MAX_TOGETHER - len(some_params) - len(some_tags)
        some_points = list(islice(points, min(MAX_POINTS, room)))
        if not (some_params or some_tags or some_points):
            return
        yield Batch(batch.key, points=some_points, params=some_params, tags=some_tags)


def unwritten(points: Sequence[Point], steps: Mapping[str, set[int]]) -> list[Point]:
    """Points whose step is not yet in MLflow; the first value of a step is kept.

    Args:
        points: Candidates, oldest first.
        steps: Steps already written, by metric name.
    """
    fresh: list[Point] = []
    seen: set[tuple[str, int]] = set()
    for point in points:
        if point.step in steps.get(point.name, ()) or (point.name, point.step) in seen:
            continue
        seen.add((point.name, point.step))
        fresh.append(point)
    return fresh
