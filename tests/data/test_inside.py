"""Names from elsewhere: below the folder, or refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.data import place_inside
from runner.errors import DataError

FOLDER = Path("/data/copies/1")
PARTS = st.sampled_from(["a", "..", ".", "", "/", "\\", "C:", "~", "\0", "x" * 200, "é"])


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "//etc/passwd", "..", "../x", "a/../../x", "a/..", "a/../x", f"{FOLDER}/x"],
)
def test_name_that_leads_out_is_refused(name: str) -> None:
    """Fails where `..` and a leading slash are let through."""
    with pytest.raises(DataError, match="leads out of its folder"):
        place_inside(FOLDER, name)


@pytest.mark.parametrize("name", ["", ".", "a\0b", "a/\0", "x" * 256, "é" * 128, "a\ud800"])
def test_name_that_no_file_can_have_is_refused(name: str) -> None:
    """Fails without `_is_possible`."""
    with pytest.raises(DataError, match="is no name that a file can have"):
        place_inside(FOLDER, name)


@pytest.mark.parametrize("name", ["a/b.jpg", "..a", "a..", "C:\\x", "..\\..\\x", "%2Fetc", "~/x"])
def test_other_names_are_names_and_nothing_more(name: str) -> None:
    assert place_inside(FOLDER, name) == FOLDER / name


def test_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    """Fails where links are not followed."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "in").symlink_to(folder)
    with pytest.raises(DataError, match="leads out of its folder, by a link"):
        place_inside(folder, "out/x")
    assert place_inside(folder, "in/x") == folder / "in" / "x"


@given(st.one_of(st.text(), st.lists(PARTS).map("/".join), st.lists(PARTS).map("".join)))
def test_every_name_is_refused_or_stays_in_the_folder(name: str) -> None:
    try:
        place = place_inside(FOLDER, name)
    except DataError:
        return
    assert place.resolve().is_relative_to(FOLDER)
    assert place.resolve() != FOLDER
