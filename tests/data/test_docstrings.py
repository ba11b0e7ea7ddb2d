"""The bundled sentences: what is in them, and that nothing gives the library away."""

import json
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from runner.data import docstrings
from runner.data.docstrings import LIBRARIES, bundled_docstrings
from runner.data.fingerprint import data_fingerprint
from runner.data.sentences import WORDS
from runner.errors import DataError
from runner.experiment import LabelKind

SMALL = 20


@pytest.fixture(scope="module")
def small():
    return bundled_docstrings(size=SMALL)


def test_docstrings_are_labelled_with_their_library_and_grouped_by_module(small):
    assert small.kind is LabelKind.CLASS
    assert small.classes == tuple(LIBRARIES)
    assert Counter(example.label for example in small.examples) == dict.fromkeys(range(8), SMALL)
    for example in small.examples:
        package = LIBRARIES[small.classes[example.label]]
        assert example.group.split(".")[0] == package
        assert example.id.rpartition("/")[0] == example.group


def test_docstrings_are_whole_sentences_without_duplicates(small):
    assert len(small.texts) == len(small.examples) == 8 * SMALL
    for index, text in enumerate(small.texts):
        assert small.text(index) == text
        assert text[0].isupper()
        assert text.endswith(".")
        assert len(text.split()) in WORDS
    assert len({text.lower() for text in small.texts}) == len(small.texts)
    assert len({example.digest for example in small.examples}) == len(small.texts)
    ids = [example.id for example in small.examples]
    assert ids == sorted(set(ids))


def test_docstrings_never_name_a_library(small):
    names = "|".join([*LIBRARIES, *LIBRARIES.values(), r"\bnp\b", r"\bpd\b", r"\bplt\b"])

    assert [text for text in small.texts if re.search(names, text, re.IGNORECASE)] == []


def test_no_module_gives_more_than_its_share(small):
    assert max(Counter(example.group for example in small.examples).values()) <= 12


def test_libraries_are_read_without_being_imported():
    program = (
        "import sys; from runner.data.docstrings import bundled_docstrings, LIBRARIES;"
        "bundled_docstrings(size=2);"
        "print([m for m in LIBRARIES.values() if m != 'numpy' and m in sys.modules])"
    )

    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "[]"


def test_docstrings_are_the_same_again_and_from_the_cache(small, tmp_path, monkeypatch):
    first = bundled_docstrings(size=SMALL, cache=tmp_path)
    monkeypatch.setattr(docstrings, "_of_library", None)  # no library can be read any more

    second = bundled_docstrings(size=SMALL, cache=tmp_path)

    assert first == second == small
    assert data_fingerprint(first) == data_fingerprint(small)


@pytest.mark.parametrize("content", ["", '{"optuna": [["a", "b"', '{"torch": []}', "7"])
def test_damaged_cache_is_made_again(tmp_path, monkeypatch, content):
    monkeypatch.setattr(docstrings, "LIBRARIES", {"optuna": "optuna"})
    bundled_docstrings(size=2, cache=tmp_path)
    (entry,) = (tmp_path / "docstrings").iterdir()
    whole = entry.read_text()
    entry.write_text(content)

    again = bundled_docstrings(size=2, cache=tmp_path)

    assert entry.read_text() == whole
    assert len(again.examples) == 2


def test_another_version_of_a_library_has_its_own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(docstrings, "LIBRARIES", {"optuna": "optuna"})
    bundled_docstrings(size=1, cache=tmp_path)
    real = docstrings._version
    monkeypatch.setattr(docstrings, "_version", lambda library: f"{real(library)}.post1")

    bundled_docstrings(size=1, cache=tmp_path)

    kept = [json.loads(path.read_text()) for path in (tmp_path / "docstrings").iterdir()]
    assert len(kept) == 2
    assert kept[0] == kept[1]


def test_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(LIBRARIES, "no-such-library", "no_such_library")

    with pytest.raises(DataError) as caught:
        bundled_docstrings(size=1)

    assert "and no-such-library is not installed: pip install no-such-library" in str(caught.value)


@pytest.mark.slow
def test_default_set_has_300_sentences_of_each_library_from_many_modules():
    source = bundled_docstrings()

    labels = [example.label for example in source.examples]
    modules = {(example.label, example.group) for example in source.examples}

    assert Counter(labels) == dict.fromkeys(range(8), 300)
    assert min(Counter(label for label, _ in modules).values()) >= 25


@pytest.mark.slow
def test_bag_of_words_neither_fails_nor_solves_the_set():
    """Above chance by far, below perfect by far: there is something to learn, and no leak."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    source = bundled_docstrings()
    labels = np.array([example.label for example in source.examples])
    groups = [example.group for example in source.examples]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, max_iter=1000))

    scores = cross_val_score(model, source.texts, labels, groups=groups, cv=GroupKFold(5))

    assert 0.35 < scores.mean() < 0.75
