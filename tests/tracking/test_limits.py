"""MLflow's limits are kept and nothing is dropped for them."""

from runner.tracking.limits import move_long_values, split_batch, unwritten
from runner.tracking.records import Batch, Point


def point(name: str, step: int, value: float = 0.0) -> Point:
    return Point(name, value, step, timestamp_ms=0)


def test_split_batch_large_batch_fits_limits_and_keeps_all() -> None:
    points = [point("loss", step) for step in range(2500)]
    params = {f"p{i}": "1" for i in range(150)}
    tags = {f"t{i}": "1" for i in range(230)}
    pieces = list(split_batch(Batch(1, points, params, tags)))
    for piece in pieces:
        assert len(piece.params) <= 100
        assert len(piece.tags) <= 100
        assert len(piece.points) + len(piece.params) + len(piece.tags) <= 1000
    assert [p for piece in pieces for p in piece.points] == points
    assert {k: v for piece in pieces for k, v in piece.params.items()} == params
    assert {k: v for piece in pieces for k, v in piece.tags.items()} == tags
    assert len(pieces) == 3


def test_split_batch_nothing_to_write_makes_no_call() -> None:
    assert list(split_batch(Batch(1))) == []


def test_move_long_values_keeps_the_text_and_points_to_it() -> None:
    fitting, texts = move_long_values(
        {"short": "abc", "long": "x" * 11}, limit=10, folder="parameters"
    )
    assert fitting == {
        "short": "abc",
        "long": "(11 characters: see the artifact parameters/long.txt)",
    }
    assert texts == {"parameters/long.txt": "x" * 11}


def test_unwritten_known_and_repeated_steps_are_left_out() -> None:
    """Fails where every point is fresh."""
    points = [point("loss", 0), point("loss", 1, 0.1), point("loss", 1, 0.2), point("f1", 0)]
    assert unwritten(points, {"loss": {0}}) == [point("loss", 1, 0.1), point("f1", 0)]
