"""What holds for every kind of source, run over all of them."""

from pathlib import Path

import numpy as np
import pytest

from runner.data import (
    Labelled,
    Source,
    TextSource,
    data_fingerprint,
    load_pixels,
    make_split,
    manifest_of,
    open_source,
)
from runner.errors import RunnerError
from runner.experiment import (
    ConllData,
    DataSettings,
    FolderData,
    LabelKind,
    ManifestData,
    TableData,
    TorchvisionData,
)
from tests.contracts.data_cases import (
    IMAGES,
    TEXTS,
    Case,
    conll,
    csv_manifest,
    folder,
    text_rows,
    texts,
)

Place = tuple[Path, DataSettings, Case]


def opened(place: Place, cache: Path | None) -> Source | TextSource:
    base, settings, case = place
    return open_source(
        settings, labels=case.labels, modality=case.modality, base=base, cache=cache
    )


def made(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Place:
    base = tmp_path_factory.mktemp("data")
    return base, case.make(base), case


@pytest.fixture(scope="module", params=IMAGES | TEXTS)
def place(request, tmp_path_factory) -> Place:
    """A folder with data in it, the settings that name them, and what they are."""
    return made((IMAGES | TEXTS)[request.param], tmp_path_factory)


@pytest.fixture(scope="module")
def source(place) -> Labelled:
    return opened(place, place[0] / "cache")


@pytest.fixture(scope="module", params=IMAGES)
def image_place(request, tmp_path_factory) -> Place:
    """The same, of images alone."""
    return made(IMAGES[request.param], tmp_path_factory)


@pytest.fixture(scope="module")
def images(image_place) -> Source:
    return opened(image_place, image_place[0] / "cache")


@pytest.fixture(scope="module", params=TEXTS)
def text_place(request, tmp_path_factory) -> Place:
    """The same, of texts alone."""
    return made(TEXTS[request.param], tmp_path_factory)


@pytest.fixture(scope="module")
def text_source(text_place) -> TextSource:
    return opened(text_place, text_place[0] / "cache")


def test_ids_are_unique_sorted_and_hold_no_machine_path(place, source):
    ids = [example.id for example in source.examples]

    assert ids == sorted(set(ids))
    assert not any(str(place[0]) in id_ for id_ in ids)


def held_by(source: Labelled, position: int) -> tuple[int, ...]:
    label = source.examples[position].label
    return label if isinstance(label, tuple) else (int(label),)


def test_labels_are_of_the_kind_that_was_asked_for(place, source):
    is_right = {
        LabelKind.CLASS: lambda label: isinstance(label, int),
        LabelKind.CLASSES: lambda label: label == tuple(sorted(set(label))),
        LabelKind.NUMBER: lambda label: isinstance(label, float),
        LabelKind.TAGS: lambda label: isinstance(label, tuple) and len(label) > 0,
    }[place[2].labels]

    assert source.kind is place[2].labels
    assert all(is_right(example.label) for example in source.examples)


def test_labels_index_the_classes_and_every_class_occurs(source):
    if source.kind is LabelKind.NUMBER:
        assert source.classes == ()
        return
    indices = {index for p in range(len(source.examples)) for index in held_by(source, p)}
    assert indices == set(range(len(source.classes)))
    assert len(set(source.classes)) == len(source.classes) >= 2
    assert source.kind is not LabelKind.TAGS or source.classes[0] == "O"


def test_digests_are_sha256_and_differ_for_different_content(source):
    digests = {example.digest for example in source.examples}

    assert all(len(digest) == 64 and int(digest, 16) >= 0 for digest in digests)
    assert len(digests) == len(source.examples)


def test_images_are_rgb_and_the_same_each_time(images):
    for index in (0, len(images.examples) - 1):
        first, second = images.image(index), images.image(index, enough=8)
        assert first.mode == "RGB"
        assert first.size == second.size
        assert np.array_equal(np.asarray(first), np.asarray(second))


def test_image_beyond_the_end_is_refused(images):
    count = len(images.examples)

    with pytest.raises(IndexError, match=f"has {count} examples, asked for {count}"):
        images.image(count)


def test_texts_are_one_for_each_example_and_not_empty(text_source):
    assert len(text_source.texts) == len(text_source.examples)
    for index, example in enumerate(text_source.examples):
        text = text_source.text(index)
        parts = [text] if isinstance(text, str) else text
        assert all(isinstance(part, str) and part.strip() for part in parts)
        if text_source.kind is LabelKind.TAGS:
            assert len(text) == len(example.label)


def test_texts_are_those_that_were_written(text_place, text_source):
    frame = text_rows()
    if text_place[1].source == "bundled":
        assert len(set(text_source.texts)) == len(text_source.texts)
        return
    if text_source.kind is LabelKind.TAGS:
        expected = {tuple(words.split()) for words in frame["tokens"]}
    elif text_source.is_pair:
        expected = set(zip(frame["text"], frame["second"], strict=True))
    else:
        expected = set(frame["text"])

    assert set(text_source.texts) == expected


def test_text_beyond_the_end_is_refused(text_source):
    count = len(text_source.examples)

    with pytest.raises(IndexError, match=f"has {count} examples, asked for {count}"):
        text_source.text(count)


def test_opening_again_gives_the_same_with_and_without_a_cache(place, source):
    for cache in (place[0] / "cache", None):
        again = opened(place, cache)
        assert again.examples == source.examples
        assert again.classes == source.classes
        assert getattr(again, "flip_is_safe", None) == getattr(source, "flip_is_safe", None)
        assert getattr(again, "texts", None) == getattr(source, "texts", None)
        assert data_fingerprint(again) == data_fingerprint(source)


def test_manifest_covers_every_example(source):
    assert list(manifest_of(source)) == [example.id for example in source.examples]


def test_nothing_is_unreadable(source):
    assert source.unreadable == ()


def test_source_can_be_split_and_each_part_holds_every_class(source):
    split = make_split(source, train=0.6, validation=0.2, test=0.2, seed=0)

    parts = (split.train, split.validation, split.test)
    assert sorted(p for part in parts for p in part) == list(range(len(source.examples)))
    assert all(parts)
    if source.kind is not LabelKind.NUMBER:
        for part in parts:
            held = {index for p in part for index in held_by(source, p)}
            assert held == set(range(len(source.classes)))


def test_pixels_can_be_stored_and_read_by_a_second_opening(image_place, images):
    base = image_place[0]
    options = {"resolution": 16, "interpolation": "bilinear", "cache": base / "cache"}
    stored = load_pixels(images, [0, 1, 2], threads=2, **options)

    again = opened(image_place, base / "cache")

    assert stored.shape == (3, 16, 16, 3)
    everything = np.arange(3)
    found = load_pixels(again, [0, 1, 2], threads=1, **options)
    assert np.array_equal(stored.take(everything), found.take(everything))


TABLE = TableData(source="table", path="nowhere.csv")
CONLL = ConllData(source="conll", path="nowhere.conll")


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (FolderData(source="folder", path="nowhere"), Case(folder)),
        (ManifestData(source="manifest", path="nowhere.csv"), Case(csv_manifest)),
        (TorchvisionData(source="torchvision", name="MNIST", root="nowhere"), Case(folder)),
        (TorchvisionData(source="torchvision", name="NoSuchSet", root="nowhere"), Case(folder)),
        (TABLE, texts(conll)),
        (CONLL, texts(conll, LabelKind.TAGS)),
    ],
    ids=lambda value: getattr(value, "source", ""),
)
def test_data_that_are_not_there_are_refused_in_our_words(settings, kind, tmp_path):
    with pytest.raises(RunnerError, match=r"nowhere|NoSuchSet") as caught:
        opened((tmp_path, settings, kind), None)

    assert caught.value.exit_code == 4
