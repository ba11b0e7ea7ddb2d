"""The fingerprint covers all that a result depends on, and a change is told by name."""

from dataclasses import replace

import pytest

from runner.data import open_source
from runner.data.example import Example, Part, Source, TextSource
from runner.data.fingerprint import data_fingerprint, describe_change, manifest_of
from runner.data.split import make_split
from runner.experiment import BundledData, FolderData, LabelKind

EXAMPLES = tuple(Example(f"{i}.png", i % 2, f"{i:064x}") for i in range(4))


def source(*, examples=EXAMPLES, classes=("cat", "dog")) -> Source:
    def reader(index, enough):
        raise AssertionError("a fingerprint needs no pixels")

    return Source("here", classes, examples, (), flip_is_safe=True, reader=reader)


def test_fingerprint_ignores_name_and_order():
    shuffled = replace(source(examples=EXAMPLES[::-1]), name="there")

    assert data_fingerprint(shuffled) == data_fingerprint(source())


@pytest.mark.parametrize(
    "change",
    [{"label": 1}, {"digest": "f" * 64}, {"group": "g"}, {"split": Part.TEST}, {"id": "x"}],
)
def test_fingerprint_changes_with_any_fact_of_an_example(change):
    changed = source(examples=(replace(EXAMPLES[0], **change), *EXAMPLES[1:]))

    assert data_fingerprint(changed) != data_fingerprint(source())


def test_fingerprint_changes_with_class_names():
    assert data_fingerprint(source(classes=("cat", "emu"))) != data_fingerprint(source())


def test_describe_change_names_what_changed_appeared_and_vanished():
    old = manifest_of(source())
    new = {**old, "0.png": "other", "new.png": "1"}
    del new["3.png"]

    assert describe_change(old, new) == (
        "1 example changed (0.png); 1 example added (new.png); 1 example removed (3.png)"
    )


def test_describe_change_of_many_files_names_a_few_and_counts_the_rest():
    new = {f"{i}.png": "1" for i in range(8)}

    assert describe_change({}, new) == (
        "8 examples added (0.png, 1.png, 2.png, 3.png, 4.png and 3 more)"
    )


def test_describe_change_of_equal_files_points_to_the_labels():
    assert describe_change(manifest_of(source()), manifest_of(source())) == (
        "every example is the same; labels, groups, given splits or class names differ"
    )


def grouped() -> Source:
    examples = tuple(
        Example(
            f"{n:03d}.png", n * n % 3, f"{n if n % 7 else 7:064x}", f"g{n // 3}" if n % 2 else None
        )
        for n in range(60)
    )
    return source(examples=examples, classes=("1", "10", "2"))


def given() -> Source:
    examples = tuple(
        Example(
            f"{n:03d}.png",
            n % 3,
            f"{n if n % 7 else 7:064x}",
            split=Part.TRAIN if n % 5 else Part.TEST,
        )
        for n in range(60)
    )
    return source(examples=examples, classes=("1", "10", "2"))


@pytest.mark.parametrize(
    ("make", "data", "split"),
    [(grouped, "28bec7184350", "021a6555a861"), (given, "82d6c7694ddf", "5f829e7e09f9")],
)
def test_fingerprints_of_classes_of_images_never_move(make, data, split):
    """They are those of the first studies: if they moved, these could not be continued."""
    images = make()
    made = make_split(images, train=0.6, validation=0.2, test=0.2, seed=5)

    assert data_fingerprint(images).startswith(data)
    assert made.fingerprint.startswith(split)


@pytest.mark.parametrize(
    ("classes", "data", "split"),
    [(None, "ff2cd6e431d5", "03ad3dcc9de2"), (["7", "3", "1"], "d056fd96a691", "d7ab8613b989")],
)
def test_fingerprints_of_the_bundled_digits_never_move(tmp_path, classes, data, split):
    settings = BundledData(source="bundled", name="digits", size=20, classes=classes)

    digits = open_source(settings, base=tmp_path, cache=None)

    assert data_fingerprint(digits).startswith(data)
    made = make_split(digits, train=0.8, validation=0.1, test=0.1, seed=3)
    assert made.fingerprint.startswith(split)


def test_fingerprints_of_a_folder_never_move(tmp_path):
    for n in range(12):
        folder = tmp_path / ("2", "10", "b")[n % 3]
        folder.mkdir(exist_ok=True)
        pixels = bytes((n * 17 + i) % 256 for i in range(48))
        (folder / f"{n}.ppm").write_bytes(b"P6 4 4 255\n" + pixels)

    images = open_source(FolderData(source="folder", path="."), base=tmp_path, cache=None)

    assert images.classes == ("10", "2", "b")
    assert data_fingerprint(images).startswith("b5c16aaa4b8b")
    made = make_split(images, train=0.5, validation=0.25, test=0.25, seed=1)
    assert made.fingerprint.startswith("cc1ab0c8a65d")


@pytest.mark.parametrize(
    ("kind", "labels", "other"),
    [
        (LabelKind.NUMBER, (1.5, 2.0), (1.5, 2.25)),
        (LabelKind.CLASSES, ((), (0, 1)), ((), (1,))),
        (LabelKind.TAGS, ((0, 1), (1,)), ((0, 0), (1,))),
    ],
)
def test_fingerprint_covers_labels_of_every_kind(kind, labels, other):
    def texts(labels):
        examples = tuple(Example(f"{n}", label, f"{n:064x}") for n, label in enumerate(labels))
        return TextSource("t", kind, ("O", "a"), examples, (), ("one", "two"))

    assert data_fingerprint(texts(labels)) == data_fingerprint(texts(labels))
    assert data_fingerprint(texts(labels)) != data_fingerprint(texts(other))
