"""Studies in PostgreSQL: outages, take-overs, and what is never said."""

import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest

from runner.errors import NotFound, SearchStopped, StorageUnreachable, StudyError
from runner.experiment import Store
from runner.study import StudyRecord, list_studies
from runner.study.inbox import StopStudy
from runner.study.place import Place, existing_place, next_place
from runner.study.postgres import Database, Tables, database_at, holding
from runner.study.sampling import Proposal
from runner.study.shelf import shelf_of
from runner.study.storage import require_here, trial_folder
from tests.objectives import ROOT
from tests.postgresql import PASSWORDS, PostgresServer

NAMES = (f"dogs-{number}" for number in count())

pytestmark = pytest.mark.server


@pytest.fixture
def store(postgres: PostgresServer, tmp_path: Path) -> Store:
    return Store(tmp_path, postgres.address())


@pytest.fixture
def place(store: Store) -> Place:
    return next_place(shelf_of(store), next(NAMES))


@pytest.fixture
def record(place: Place) -> Iterator[StudyRecord]:
    """The record of a study that is held."""
    with place.lock():
        yield StudyRecord.open(place, direction="maximize")


def add(record: StudyRecord, seed: int) -> int:
    return record.add(Proposal({}, {}), origin="sampler", seed=seed)


def seeds(place: Place) -> list[int]:
    return [trial.seed for trial in StudyRecord.read(place).trials()]


def again(store: Store, place: Place) -> Place:
    """The same study as another process sees it."""
    return shelf_of(store).place(place.name, place.number)


def break_connections(postgres: PostgresServer) -> None:
    """End every connection to the database but one's own, as a restart or a network does."""
    postgres.run_sql(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = 'runner' AND pid <> pg_backend_pid()"
    )


def lines(postgres: PostgresServer, place: Place) -> int:
    return int(postgres.run_sql(f"SELECT count(*) {_journal(place)}", database="runner"))


def _journal(place: Place) -> str:
    return (
        "FROM runner_store.journal WHERE study = "
        f"(SELECT id FROM runner_store.studies WHERE name = '{place.name}')"
    )


def test_search_survives_a_restart_of_the_server(
    postgres: PostgresServer, place: Place, record: StudyRecord, caplog: pytest.LogCaptureFixture
) -> None:
    """Fails where a broken connection is taken for a refusal (`Holding.run`)."""
    caplog.set_level(logging.WARNING)
    add(record, 1)
    postgres.stop()
    with ThreadPoolExecutor(1) as pool:
        back = pool.submit(lambda: (time.sleep(1.0), postgres.start()))
        add(record, 2)
        back.result()
    add(record, 3)
    assert seeds(place) == [1, 2, 3]
    assert place.standing().is_locked
    said = [message for message in caplog.messages if "database" in message]
    assert "has gone away" in said[0]
    assert said[-1] == "the studies' database is back; the search goes on"


def test_write_whose_answer_was_lost_is_not_repeated(
    postgres: PostgresServer, place: Place, record: StudyRecord
) -> None:
    """Fails where the lines that are there are not counted first (`_append`)."""
    add(record, 1)
    before = lines(postgres, place)
    break_connections(postgres)
    # As it is when the connection breaks between the commit and its answer.
    postgres.run_sql(
        "INSERT INTO runner_store.journal SELECT study, number + 1, "
        f"""replace(line, '"seed":1', '"seed":2') {_journal(place)} AND number = {before - 1}""",
        database="runner",
    )
    add(record, 2)
    assert lines(postgres, place) == before + 1
    assert seeds(place) == [1, 2]
    add(record, 3)
    assert seeds(place) == [1, 2, 3]


def test_driver_stops_when_another_took_the_study_while_its_connection_was_broken(
    postgres: PostgresServer, store: Store, place: Place
) -> None:
    def search() -> None:
        with place.lock():
            record = StudyRecord.open(place, direction="maximize")
            add(record, 1)
            break_connections(postgres)
            with again(store, place).lock():
                pass
            add(record, 2)

    with pytest.raises(SearchStopped) as caught:
        search()
    where = f"postgresql://{postgres.place}/runner"
    assert str(caught.value).startswith(
        f"the study {place.name}:1 in {where} is lost to this search: another driver took it "
        "while the connection was broken"
    )
    assert seeds(place) == [1]


def test_driver_stops_at_once_while_another_searches_and_says_which(
    postgres: PostgresServer, store: Store, place: Place, record: StudyRecord
) -> None:
    break_connections(postgres)
    with again(store, place).lock():
        begun_s = time.monotonic()
        for _ in range(2):
            with pytest.raises(SearchStopped, match=r"another driver took it \(process \d+ on "):
                add(record, 2)
        assert time.monotonic() - begun_s < 10
    assert not place.standing().is_left_behind


def test_two_writers_are_impossible_whatever_becomes_of_the_lock(
    postgres: PostgresServer, place: Place, record: StudyRecord
) -> None:
    """Fails where a line's number that is taken is no reason to stop."""
    add(record, 1)
    postgres.run_sql(
        f"INSERT INTO runner_store.journal SELECT study, number + 1, line {_journal(place)} "
        f"AND number = {lines(postgres, place) - 1}",
        database="runner",
    )
    before = lines(postgres, place)
    for _ in range(2):
        with pytest.raises(SearchStopped, match="something else has written to its journal"):
            add(record, 2)
    assert lines(postgres, place) == before


def test_driver_stops_when_the_database_lost_lines_in_the_outage(
    postgres: PostgresServer, place: Place, record: StudyRecord
) -> None:
    add(record, 1)
    there = lines(postgres, place)
    break_connections(postgres)
    postgres.run_sql(f"DELETE {_journal(place)} AND number = {there - 1}", database="runner")
    # Its eyes on the wishes are what meets the broken connection first.
    assert place.pending() == []
    with pytest.raises(SearchStopped) as caught:
        add(record, 2)
    assert f"it has {there - 1} lines, this search had written {there}" in str(caught.value)
    assert lines(postgres, place) == there - 1


def test_driver_stops_when_the_study_was_deleted_in_the_outage(
    postgres: PostgresServer, place: Place, record: StudyRecord
) -> None:
    break_connections(postgres)
    name = place.name
    postgres.run_sql(f"DELETE FROM runner_store.studies WHERE name = '{name}'", database="runner")
    with pytest.raises(SearchStopped, match="it was deleted while the connection was broken"):
        add(record, 1)


def test_outage_that_lasts_ends_the_search_once(
    postgres: PostgresServer, record: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "OUTAGE_S", 1.0)
    postgres.stop()
    try:
        with pytest.raises(SearchStopped, match="the database did not come back within 1 s"):
            add(record, 1)
        begun_s = time.monotonic()
        with pytest.raises(SearchStopped):
            record.set_attribute("seconds_used", 1.0)
        assert time.monotonic() - begun_s < 0.5
    finally:
        postgres.start()


def test_database_that_refuses_a_write_ends_the_search_without_waiting(
    postgres: PostgresServer, place: Place, record: StudyRecord
) -> None:
    postgres.run_sql(
        "ALTER TABLE runner_store.journal ADD CONSTRAINT full_disk CHECK (line <> 'x') NOT VALID; "
        "REVOKE INSERT ON runner_store.journal FROM runner",
        database="runner",
    )
    try:
        with pytest.raises(SearchStopped) as caught:
            add(record, 1)
    finally:
        postgres.run_sql(
            "ALTER TABLE runner_store.journal DROP CONSTRAINT full_disk; "
            "GRANT INSERT ON runner_store.journal TO runner",
            database="runner",
        )
    assert f"the study {place.name}:1 in postgresql://{postgres.place}/runner cannot be written: "
    assert "permission denied for table journal" in str(caught.value)


def test_wish_to_stop_is_for_the_driver_of_the_moment_whatever_the_clocks_say(
    store: Store, place: Place
) -> None:
    with place.lock():
        again(store, place).post("stop-study", {"asked_at": 0.0})
        (wish,) = place.pending()
        assert isinstance(wish, StopStudy)
        assert wish.asked_at > time.time()
    with place.lock():
        assert place.pending() == []


def test_batch_is_one_transaction(
    postgres: PostgresServer, place: Place, record: StudyRecord
) -> None:
    with record.one_write():
        for seed in range(5):
            add(record, seed)
        assert lines(postgres, place) == 2
    transactions = postgres.run_sql(
        f"SELECT count(DISTINCT xmin::text) {_journal(place)} AND number >= 2", database="runner"
    )
    assert (lines(postgres, place), transactions) == (7, "1")


def test_every_person_has_a_password_of_their_own(
    postgres: PostgresServer, store: Store, tmp_path: Path
) -> None:
    alice = Store(tmp_path / "alice", postgres.address(user="alice"))
    name = next(NAMES)
    hers = next_place(shelf_of(alice), name)
    with hers.lock():
        add(StudyRecord.open(hers, direction="maximize"), 7)
    place = next_place(shelf_of(store), name)
    assert seeds(place) == [7]
    with place.lock():
        add(StudyRecord.reopen(place), 8)
    assert seeds(hers) == [7, 8]


def test_tables_are_made_once_by_many_that_come_at_once(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.run_sql("CREATE DATABASE fresh OWNER runner")
    database = database_at(postgres.address("fresh", user="runner"))
    with ThreadPoolExecutor(6) as pool:
        shelves = list(pool.map(lambda _: Tables(database, tmp_path), range(6)))
    assert [shelf.begun() for shelf in shelves] == [[]] * 6
    postgres.run_sql("DROP DATABASE fresh")


def test_folder_of_a_study_is_no_other_study_s(store: Store, tmp_path: Path) -> None:
    name = next(NAMES)
    folders = []
    for _ in range(2):
        place = next_place(shelf_of(store), name)
        with place.lock():
            folders.append(place.folder)
            StudyRecord.open(place, direction="maximize")
            place.forget()
    assert folders[0] != folders[1]
    assert {folder.parent for folder in folders} == {tmp_path / "studies" / name}
    assert not any(folder.name == "1" for folder in folders)


def test_rows_of_others_do_not_choose_folders_of_this_machine(
    store: Store, postgres: PostgresServer, tmp_path: Path
) -> None:
    name, other = next(NAMES), next(NAMES)
    for each in (name, other):
        place = next_place(shelf_of(store), each)
        with place.lock():
            StudyRecord.open(place, direction="maximize")
    rename = f"UPDATE runner_store.studies SET name = '../../{{}}' WHERE name = '{name}'"
    token = f"UPDATE runner_store.studies SET token = '/../../..' WHERE name = '{other}'"
    try:
        postgres.run_sql(rename.format("out"), database="runner")
        postgres.run_sql(token, database="runner")
        assert "../../out" not in [known for known, _ in shelf_of(store).begun()]
        for reference in ("../../out", "../../out:1"):
            with pytest.raises(NotFound):
                existing_place(shelf_of(store), reference)
        with pytest.raises(StudyError, match="is no name of an experiment"):
            shelf_of(store).place("../../out", 1)
        with pytest.raises(StudyError, match=f"the study {other}:1 .* has a wrong token"):
            existing_place(shelf_of(store), other)
    finally:
        postgres.run_sql(
            "DELETE FROM runner_store.studies WHERE token = '/../../..' OR name LIKE '..%'",
            database="runner",
        )


def test_what_a_trial_left_on_another_machine_is_said_to_be_there(place: Place) -> None:
    with pytest.raises(NotFound) as caught:
        require_here(trial_folder(place.folder, 3), "what trial 3 left")
    assert str(caught.value) == (
        f"what trial 3 left is not on this machine: {place.folder}/trials/00003 is missing. Run "
        "the command where the trial ran, or with RUNNER_HOME on a disk that both share"
    )


SECRET = quote(PASSWORDS["runner"], safe="")


def test_wrong_password_is_refused_without_saying_it(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    wrong = f"postgresql://runner:wr0ng-one@{postgres.place}/runner"
    with pytest.raises(StorageUnreachable) as caught:
        list(list_studies(Store(tmp_path, wrong)))
    said = str(caught.value)
    assert f"the studies' database postgresql://{postgres.place}/runner cannot be used: " in said
    assert 'password authentication failed for user "runner"' in said
    assert "$RUNNER_STORAGE" in said
    assert "wr0ng-one" not in said


def test_server_that_is_not_there_is_said_within_seconds(tmp_path: Path) -> None:
    nowhere = Store(tmp_path, "postgresql://runner:secret-word@127.0.0.1:9/runner")
    with pytest.raises(StorageUnreachable) as caught:
        list(list_studies(nowhere))
    assert "Connection refused" in str(caught.value)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://ann:secret-word@host/db", "(seen: mysql://...)"),
        ("host=here password=secret-word", "must be postgresql://user@host:port/database"),
        ("postgresql://ann:secret/word@host/db", "are written as %2F for /"),
        ("postgresql://ann:secret-word@host/db?nonsense=1", "are written as %2F for /"),
    ],
)
def test_wrong_address_is_refused_without_saying_the_password(
    tmp_path: Path, address: str, said: str
) -> None:
    with pytest.raises(StudyError) as caught:
        shelf_of(Store(tmp_path, address))
    assert str(caught.value).startswith("$RUNNER_STORAGE must be postgresql://")
    assert said in str(caught.value)
    assert not re.search(r"secret|word@", str(caught.value))


def test_store_and_database_never_show_the_address(postgres: PostgresServer) -> None:
    address = postgres.address()
    for shown in (repr(Store(Path("/x"), address)), repr(Database(address)), str(Store)):
        assert SECRET not in shown
    assert Store(Path("/x"), address).files == Store(Path("/x"))
    assert database_at(f"{address}?sslpassword={SECRET}").shown == (
        f"postgresql://{postgres.place}/runner"
    )


def test_sqlalchemys_name_for_the_same_address_is_understood(postgres: PostgresServer) -> None:
    address = postgres.address().replace("postgresql://", "postgresql+psycopg://")
    assert database_at(address).address == postgres.address()


def test_missing_psycopg_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path\n"
        "from runner.cli import run\n"
        "sys.exit(run(['status', 'cats']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={
            "PATH": "/usr/bin",
            "PYTHONPATH": str(ROOT),
            "RUNNER_HOME": str(tmp_path),
            "RUNNER_STORAGE": "postgresql://runner@host/runner",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == StudyError.exit_code
    assert "pip install 'psycopg[binary]>=3.2'" in done.stderr
