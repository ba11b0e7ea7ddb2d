"""Image folders: classes, given splits, and what is refused."""

import os
from pathlib import Path

import pytest

from runner.data.errors import DataSettingError
from runner.data.example import Part, Source
from runner.data.folder import folder_source
from runner.errors import DataError


def opened(path: Path, max_unreadable: float = 0.0) -> Source:
    return folder_source(path, max_unreadable=max_unreadable, cache=None)


def test_folder_with_class_folders_gives_sorted_classes_and_ids(make_folder):
    source = opened(make_folder({"dog": 2, "cat": 1}))

    assert source.classes == ("cat", "dog")
    assert [example.id for example in source.examples] == [
        "cat/000.png",
        "dog/000.png",
        "dog/001.png",
    ]
    assert [example.label for example in source.examples] == [0, 1, 1]
    assert source.flip_is_safe


def test_folder_with_hidden_and_other_files_ignores_them(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    (root / ".cache").mkdir()
    (root / "cat" / ".hidden.png").write_bytes(b"x")
    (root / "cat" / "Thumbs.db").write_bytes(b"x")

    assert len(opened(root).examples) == 2


def test_folder_with_other_files_says_how_many_of_which_endings(make_folder):
    """Fails without `_left_out`."""
    root = make_folder({"cat": 1, "dog": 1})
    for name in ("a.txt", "b.TXT", "clip.webm", "README", "what.a very long end of a name"):
        (root / "cat" / name).write_bytes(b"x")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (root / "dog" / name).write_bytes(b"x")

    assert opened(root).notes == (
        "5 files left out, not named like an image: 2 without an ending, 2 .txt, 1 .webm",
    )
    assert opened(make_folder({"cat": 1, "dog": 1}, name="clean")).notes == ()


def test_folder_with_images_beside_the_classes_names_them(make_folder):
    root = make_folder({"train/cat": 1, "train/dog": 1, "test/cat": 1, "test/dog": 1})
    (root / "test" / "loose\n.jpg").write_bytes(b"x")
    (root / "test" / "loose.txt").write_bytes(b"x")

    assert opened(root).notes == ("1 image left out, beside the class folders: loose\\n.jpg",)


def test_folder_with_a_class_of_other_files_only_says_which(make_folder):
    """Fails where `_class_folders` takes empty ones."""
    root = make_folder({"cat": 1, "dog": 1})
    (root / "emu").mkdir()
    for name in ("a.mp4", "b.mp4", "c.raw"):
        (root / "emu" / name).write_bytes(b"x")

    with pytest.raises(
        DataError, match=r"1 class without an image file: emu \(but 2 \.mp4, 1 \.raw\)\. Files w"
    ):
        opened(root)


def test_folder_reads_files_by_content_whatever_their_ending(make_folder):
    root = make_folder({"cat": 2, "dog": 2})
    (root / "cat" / "000.png").rename(root / "cat" / "photo.jpg")
    (root / "dog" / "000.png").rename(root / "dog" / "photo.TIFF")

    source = opened(root)

    assert [example.id for example in source.examples] == [
        "cat/001.png", "cat/photo.jpg", "dog/001.png", "dog/photo.TIFF",
    ]  # fmt: skip
    assert source.image(1, enough=8).size == (24, 16)


def test_folder_with_what_is_no_file_does_not_wait_for_it(make_folder):
    root = make_folder({"cat": 3, "dog": 3})
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "dog" / "endless.png").symlink_to("/dev/zero")

    assert opened(root, max_unreadable=0.5).unreadable == (
        "cat/pipe.png: cannot be read: a folder, pipe or device, not a file",
        "dog/endless.png: cannot be read: a folder, pipe or device, not a file",
    )


def test_folder_with_two_spellings_of_one_class_is_refused(make_folder):
    """Fails without `_refuse_one_name`. Fails where accents are left apart."""
    root = make_folder({"k\u00e4tzchen": 1, "ka\u0308tzchen": 1, "dog": 1})

    with pytest.raises(DataError) as caught:
        opened(root)

    assert "class folders whose names look the same, but are stored in different ways" in str(
        caught.value
    )
    assert r"'ka\u0308tzchen', 'k\xe4tzchen'. Put the images" in str(caught.value)


def test_class_names_in_any_script_are_classes(make_folder):
    source = opened(make_folder({"猫": 1, "собака": 1, "big cat": 1, "a\tb\n": 1}))

    assert source.classes == ("a\\tb\\n", "big cat", "собака", "猫")


def test_file_names_with_line_breaks_are_used_and_written_on_one_line(make_folder, caplog):
    """Fails where `one_line` gives the text as it is."""
    root = make_folder({"cat": 9, "dog": 9})
    (root / "cat" / "000.png").rename(root / "cat" / "two\nlines\x1b[31m.png")
    (root / "dog" / "broken\n.png").write_bytes(b"")

    source = opened(root, max_unreadable=0.1)

    (odd,) = [place for place, each in enumerate(source.examples) if "two" in each.id]
    assert source.examples[odd].id == r"cat/two\nlines\x1b[31m.png"
    assert source.image(odd).size == (24, 16)
    assert source.unreadable == (r"dog/broken\n.png: the file is empty",)
    assert [line for line in caplog.messages if "\n" in line or "\x1b" in line] == []

    (root / "cat" / "two\nlines\x1b[31m.png").unlink()
    with pytest.raises(DataError, match=r"cat/two\\nlines\\x1b\[31m\.png can no longer be read"):
        source.image(odd)


def test_folder_with_images_deeper_down_takes_the_first_level_as_class(make_folder):
    root = make_folder({"cat/indoors": 1, "cat/outdoors": 1, "dog": 1})

    assert opened(root).classes == ("cat", "dog")


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Val"])
def test_folder_with_part_folders_gives_splits(make_folder, validation):
    root = make_folder({"train/cat": 2, "train/dog": 1, f"{validation}/cat": 1, "test/dog": 1})
    make_folder({f"{validation}/dog": 1, "test/cat": 1}, first=100)

    parts = {example.id: example.split for example in opened(root).examples}

    assert parts["train/cat/000.png"] is Part.TRAIN
    assert parts[f"{validation}/cat/000.png"] is Part.VALIDATION
    assert parts["test/cat/000.png"] is Part.TEST


def test_folder_with_classes_called_train_and_bus_is_no_split(make_folder):
    source = opened(make_folder({"train": 1, "bus": 1}))

    assert source.classes == ("bus", "train")
    assert {example.split for example in source.examples} == {None}


def test_folder_with_train_and_unlabelled_test_is_refused_by_name(make_folder, tmp_path):
    root = make_folder({"train/cat": 1, "train/dog": 1})
    make_folder({"test": 2}, first=50)

    with pytest.raises(
        DataSettingError, match=r"one sub-folder a class, and holds only files \(000.png, 001.png"
    ):
        opened(root)


def test_folder_with_a_stranger_beside_the_parts_is_refused(make_folder):
    root = make_folder({"train/cat": 1, "test/cat": 1, "extra": 1})

    with pytest.raises(DataError, match=r"test, train look like given splits, but .* is extra"):
        opened(root)


def test_folder_with_val_and_valid_is_refused(make_folder):
    root = make_folder({"train/cat": 1, "val/cat": 1, "valid/cat": 1})

    with pytest.raises(DataError, match="val and valid are both the validation split"):
        opened(root)


def test_folder_with_one_class_is_refused(make_folder):
    """Fails where one class is enough (`refuse_one_label`)."""
    with pytest.raises(DataError, match="all 2 images are of one class, 'cat'"):
        opened(make_folder({"cat": 2}))


def test_folder_with_an_empty_class_is_refused_by_name(make_folder):
    """Fails where `_class_folders` takes empty ones."""
    root = make_folder({"cat": 1, "dog": 1, "emu": 0})

    with pytest.raises(DataError, match="1 class without an image file: emu"):
        opened(root)


def test_folder_that_is_empty_is_refused(tmp_path):
    with pytest.raises(DataSettingError, match="one sub-folder a class, and is empty") as caught:
        opened(tmp_path)

    assert caught.value.key == "data.path"
    assert caught.value.seen == str(tmp_path)


def test_folder_that_does_not_exist_is_refused_with_its_path(tmp_path):
    with pytest.raises(DataSettingError, match=r"does not exist \(seen: .*nowhere\)"):
        opened(tmp_path / "nowhere")


def test_folder_that_links_to_itself_ends(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    (root / "cat" / "again").symlink_to(root / "cat")

    assert len(opened(root).examples) == 2


def test_folder_with_broken_images_names_and_counts_them(make_folder):
    root = make_folder({"cat": 9, "dog": 9})
    whole = (root / "cat" / "000.png").read_bytes()
    (root / "cat" / "000.png").write_bytes(whole[: len(whole) // 2])
    (root / "cat" / "001.png").write_bytes(b"")
    (root / "dog" / "002.jpg").write_text("not an image")

    source = opened(root, max_unreadable=0.2)

    assert len(source.examples) == 17 - 1
    assert source.unreadable[1:] == (
        "cat/001.png: the file is empty",
        "dog/002.jpg: not an image, or of none of the formats read",
    )
    assert source.unreadable[0].startswith("cat/000.png: ")


def test_folder_with_too_many_broken_images_is_refused(make_folder):
    root = make_folder({"cat": 4, "dog": 4})
    (root / "dog" / "001.png").write_bytes(b"")

    with pytest.raises(DataError) as caught:
        opened(root, max_unreadable=0.1)

    assert "1 of 8 images unreadable (12.5%), above data.max_unreadable = 0.1" in str(caught.value)
    assert "dog/001.png: the file is empty" in str(caught.value)


def test_folder_with_a_class_of_broken_images_only_is_refused(make_folder):
    root = make_folder({"cat": 4, "dog": 1})
    (root / "dog" / "000.png").write_bytes(b"junk")

    with pytest.raises(DataError, match="no readable image in 1 class: dog"):
        opened(root, max_unreadable=0.5)


def test_image_that_changed_after_opening_is_named(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    source = opened(root)
    (root / "dog" / "000.png").write_bytes((root / "cat" / "000.png").read_bytes())

    with pytest.raises(DataError, match=r"dog/000.png changed since this run looked at it"):
        source.image(1)


def test_image_that_vanished_after_opening_is_named(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    source = opened(root)
    (root / "dog" / "000.png").unlink()

    with pytest.raises(DataError, match=r"dog/000.png can no longer be read"):
        source.image(1)


def test_folder_with_what_archives_leave_ignores_it(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    for left in ("__MACOSX", "@eaDir", "lost+found"):
        (root / left).mkdir()

    assert opened(root).classes == ("cat", "dog")


def test_file_names_are_the_same_text_on_every_system(make_folder):
    """Fails where bytes that are not UTF-8 are kept. Fails where accents are left apart."""
    root = make_folder({"cat": 1, "dog": 1})
    content = (root / "cat" / "000.png").read_bytes()
    (root / "cat" / "a\u0308.png").write_bytes(content)  # as macOS writes it
    Path(os.fsdecode(os.fsencode(root / "cat") + b"/caf\xe9.png")).write_bytes(content)

    ids = [example.id for example in opened(root).examples]

    assert ids == ["cat/000.png", "cat/caf\\xe9.png", "cat/\u00e4.png", "dog/000.png"]


def test_two_files_of_one_name_are_refused(make_folder):
    root = make_folder({"cat": 1, "dog": 1})
    for name in ("\u00e4.png", "a\u0308.png"):
        (root / "cat" / name).write_bytes((root / "cat" / "000.png").read_bytes())

    with pytest.raises(DataError, match=r"1 name listed twice: cat/\u00e4.png"):
        opened(root)


def test_photos_that_need_a_plugin_are_told_by_name(make_folder):
    root = make_folder({"cat": 3, "dog": 3})
    (root / "cat" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))

    unreadable = opened(root, max_unreadable=0.5).unreadable

    assert unreadable == ("cat/IMG_1.HEIC: not an image, or of none of the formats read",)
