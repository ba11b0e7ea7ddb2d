"""One record into MLflow: safe to repeat, so that a retry never doubles anything."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from shutil import copyfile
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from runner.tracking.carrier import NotTaken
from runner.tracking.limits import (
    MAX_PARAM_CHARACTERS,
    MAX_TAG_CHARACTERS,
    move_long_values,
    split_batch,
    unwritten,
)
from runner.tracking.opened import Opened, origin_tags
from runner.tracking.records import (
    TAG_KIND,
    TAG_PARENT,
    TAG_STUDY,
    TAG_TRIAL,
    Batch,
    End,
    FileCopy,
    Open,
    Record,
    RunKey,
    RunStatus,
    Texts,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


# Error codes of MLflow that say the request is wrong, so that repeating it is useless. Not that
# nobody may write: a token runs out, and somebody gives another one.
_REFUSALS = frozenset(
    {
        "INVALID_PARAMETER_VALUE",
        "BAD_REQUEST",
        "RESOURCE_DOES_NOT_EXIST",
        "RESOURCE_ALREADY_EXISTS",
        "INVALID_STATE",
        "ENDPOINT_NOT_FOUND",
    }
)


# How MLflow's client begins its message for an answer that is not MLflow's own: the page of a
# gateway whose server is being restarted is no verdict on the record.
_GATEWAY = "API request to endpoint"


class _Undeliverable(Exception):
    """This record can never be delivered, however often it is tried."""


@dataclass
class Delivery:
    """Carries the records of one study into MLflow.

    Attributes:
        client: MLflow's client; used by the writer's thread only once the writer runs.
        experiment_id: MLflow experiment of the study.
        study_id: The study's identity, a tag of all its runs.
        run_ids: Run of each trial; None is the parent run. Grows as runs are created.
        origin: Tags of every new run: who, and from what.
        hear: Told of each trial's run that is made.
        existing: Keys whose runs may hold metrics and parameters this object has not written.
    """

    client: "MlflowClient"
    experiment_id: str
    study_id: str
    run_ids: dict[RunKey, str]
    origin: Mapping[str, str] = field(default_factory=dict)
    hear: Callable[[int, str], None] | None = None
    existing: set[RunKey] = field(default_factory=set)
    _steps: dict[RunKey, dict[str, set[int]]] = field(default_factory=dict)
    _folders: dict[RunKey, str] = field(default_factory=dict)

    @classmethod
    def to(cls, client: "MlflowClient", opened: Opened, *, is_begun: bool = False) -> Self:
        """What carries the records of an opened study.

        Args:
            client: MLflow's client; this object's from now on.
            opened: The study's runs.
            is_begun: Whether another has carried some of its records already.
        """
        existing = set(opened.run_ids)
        if opened.is_new and not is_begun:
            existing.discard(None)
        return cls(
            client,
            opened.experiment_id,
            opened.study_id,
            dict(opened.run_ids),
            origin=origin_tags(),
            existing=existing,
        )

    def carry(self, record: Record, *, is_retry: bool = False) -> None:
        """See `Carrier.carry`."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self._deliver(record, is_retry=is_retry)
        except _Undeliverable as err:
            raise NotTaken(str(err), is_refusal=True) from err
        except (MlflowException, SQLAlchemyError, OSError) as err:
            raise NotTaken(str(err), is_refusal=_is_refusal(err)) from err

    def close(self) -> None:
        """See `Carrier.close`; the client is not this object's alone."""

    def _deliver(self, record: Record, *, is_retry: bool) -> None:
        match record:
            case Open():
                self._open(record, is_retry=is_retry)
            case Batch():
                self._log(record)
            case Texts():
                self._write_texts(record.key, record.texts)
            case FileCopy():
                self._copy_file(record)
            case End():
                self._end(record)

    def _run_id(self, key: RunKey) -> str:
        try:
            return self.run_ids[key]
        except KeyError:
            raise _Undeliverable(f"trial {key} has no MLflow run") from None

    def _open(self, record: Open, *, is_retry: bool) -> None:
        known = self.run_ids.get(record.key)
        if known is None and is_retry:
            known = find_trial(self.client, self.experiment_id, self.study_id, record.key)
        if known is not None:
            if record.key not in self.run_ids and self.hear is not None:
                self.hear(record.key, known)
            self.run_ids[record.key] = known
            self.existing.add(record.key)
            self.client.update_run(known, status=RunStatus.RUNNING, name=record.name)
            self._log(Batch(record.key, tags=dict(record.tags)))
            return
        tags, texts = move_long_values(
            self._trial_tags(record), limit=MAX_TAG_CHARACTERS, folder="tags"
        )
        run = self.client.create_run(
            self.experiment_id, start_time=record.at_ms, tags=tags, run_name=record.name
        )
        self.run_ids[record.key] = run.info.run_id
        if self.hear is not None:
            self.hear(record.key, run.info.run_id)
        if urlsplit(run.info.artifact_uri).scheme in ("", "file"):
            self._folders[record.key] = run.info.artifact_uri
        self._write_texts(record.key, texts)

    def _trial_tags(self, record: Open) -> dict[str, str]:
        return {
            **self.origin,
            **record.tags,
            TAG_PARENT: self._run_id(None),
            TAG_STUDY: self.study_id,
            TAG_KIND: "trial",
            TAG_TRIAL: str(record.key),
        }

    def _log(self, batch: Batch) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run_id = self._run_id(batch.key)
        whole, texts = self._fit(batch)
        for piece in split_batch(whole):
            self.client.log_batch(
                run_id,
                metrics=[Metric(p.name, p.value, p.timestamp_ms, p.step) for p in piece.points],
                params=[Param(key, value) for key, value in piece.params.items()],
                tags=[RunTag(key, value) for key, value in piece.tags.items()],
            )
        for point in whole.points:
            self._steps_of(batch.key, point.name).add(point.step)
        self._write_texts(batch.key, texts)

    def _fit(self, batch: Batch) -> tuple[Batch, dict[str, str]]:
        """What of a batch is not in MLflow yet, within its limits, and the overlong texts."""
        params, long_params = move_long_values(
            batch.params, limit=MAX_PARAM_CHARACTERS, folder="parameters"
        )
        params, changed = self._without_known_params(batch.key, params)
        tags, long_tags = move_long_values(
            {**batch.tags, **changed}, limit=MAX_TAG_CHARACTERS, folder="tags"
        )
        steps = {name: self._steps_of(batch.key, name) for name in {p.name for p in batch.points}}
        points = unwritten(batch.points, steps)
        return Batch(batch.key, points, params, tags), {**long_params, **long_tags}

    def _without_known_params(
        self, key: RunKey, params: dict[str, str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Parameters MLflow lacks, and tags for those that differ from MLflow's.

        MLflow refuses to change a parameter, and refuses the whole batch with it.
        """
        if not params or key not in self.existing:
            return params, {}
        known = self.client.get_run(self._run_id(key)).data.params
        changed = {
            f"runner.changed.{name}": value
            for name, value in params.items()
            if known.get(name, value) != value
        }
        return {name: value for name, value in params.items() if name not in known}, changed

    def _steps_of(self, key: RunKey, name: str) -> set[int]:
        by_name = self._steps.setdefault(key, {})
        if name not in by_name:
            history = partial(self.client.get_metric_history, self._run_id(key), name)
            by_name[name] = {m.step for m in history()} if key in self.existing else set()
        return by_name[name]

    def _write_texts(self, key: RunKey, texts: Mapping[str, str]) -> None:
        run_id, folder = self._run_id(key), self._folders.get(key)
        for path, text in texts.items():
            if folder is None:
                with _uploading():
                    self.client.log_text(run_id, text, path)
            else:
                _write_text(folder, path, text)

    def _copy_file(self, record: FileCopy) -> None:
        target = PurePosixPath(record.path)
        folder = None if target.parent == PurePosixPath(".") else str(target.parent)
        if not record.source.is_file():
            raise _Undeliverable(f"{record.source} is gone")
        run_id = self._run_id(record.key)
        with _uploading():
            if record.source.name == target.name:
                self.client.log_artifact(run_id, str(record.source), folder)
                return
            with tempfile.TemporaryDirectory() as temporary:
                renamed = Path(temporary) / target.name
                copyfile(record.source, renamed)
                self.client.log_artifact(run_id, str(renamed), folder)

    def _end(self, record: End) -> None:
        self.client.set_terminated(
            self._run_id(record.key), status=record.status, end_time=record.at_ms
        )
        self._steps.pop(record.key, None)
        self._folders.pop(record.key, None)
        self.existing.add(record.key)


@contextmanager
def _uploading() -> Iterator[None]:
    """Where the client writes to S3 or the like by itself, the errors are those of that library.

    Raises:
        NotTaken: For every error that is neither MLflow's nor the operating system's.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError):
        raise
    except Exception as err:
        raise NotTaken(f"{type(err).__name__}: {err}", is_refusal=False) from err


def _is_refusal(err: Exception) -> bool:
    """Whether MLflow itself has said that the request is wrong."""
    return getattr(err, "error_code", None) in _REFUSALS and not str(err).startswith(_GATEWAY)


def _write_text(folder: str, path: str, text: str) -> None:
    """Write a text artifact of a run whose folder is known and on this machine.

    The client would ask the database where the folder is, which costs a quarter of a short trial.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository: Any = get_artifact_repository(folder)
    target = PurePosixPath(path)
    parent = None if target.parent == PurePosixPath(".") else str(target.parent)
    with tempfile.TemporaryDirectory() as temporary:
        written = Path(temporary) / target.name
        written.write_text(text, encoding="utf-8")
        repository.log_artifact(str(written), parent)


def find_trial(
    client: "MlflowClient", experiment_id: str, study_id: str, number: int
) -> str | None:
    """The run of one trial, if MLflow has it.

    Args:
        client: MLflow's client.
        experiment_id: Where the study's runs are.
        study_id: Value of the study tag.
        number: The trial.
    """
    wanted = f"tags.`{TAG_STUDY}` = '{study_id}' AND tags.`{TAG_TRIAL}` = '{number}'"
    runs = client.search_runs([experiment_id], wanted, max_results=1)
    return runs[0].info.run_id if runs else None
