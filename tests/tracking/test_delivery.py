"""What is done with an error of a library that MLflow's client uploads with."""

from pathlib import Path
from typing import Any, cast

import pytest

from runner.tracking.carrier import NotTaken
from runner.tracking.delivery import Delivery
from runner.tracking.records import FileCopy, Record, Texts


class ClientError(Exception):
    """As boto3's: neither the operating system's nor MLflow's."""


class Refusing:
    """MLflow's client, of a run whose artifacts are in S3."""

    def log_text(self, *args: object) -> None:
        raise ClientError("an error occurred (SlowDown)")

    log_artifact = log_text


@pytest.mark.parametrize("path", ["weights.bin", "renamed.bin", None])
def test_carry_error_of_the_artifact_store_is_no_refusal(tmp_path: Path, path: str | None) -> None:
    """Fails where the error is let out: a courier then calls it a refusal."""
    source = tmp_path / "weights.bin"
    source.touch()
    delivery = Delivery(cast(Any, Refusing()), "1", "s", {0: "run"})
    record: Record = Texts(0, {"a": "b"}) if path is None else FileCopy(0, source, path)
    with pytest.raises(NotTaken, match=r"^ClientError: an error occurred \(SlowDown\)$") as caught:
        delivery.carry(record)
    assert not caught.value.is_refusal
