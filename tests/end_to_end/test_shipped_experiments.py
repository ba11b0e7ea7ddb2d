"""Every shipped experiment that can run here runs; the others load (tests/experiment)."""

import pytest
from safetensors.torch import load_file

from tests.end_to_end.conftest import Terminal

pytestmark = pytest.mark.slow


def test_embedded_default_searches_and_beats_guessing(tmp_path):
    terminal = Terminal(tmp_path)
    few = ("--set", "search.trials=3", "--set", "search.pruner=none")

    code, output = terminal.run("search", "resnet_cats.yaml", "--plain", *few)

    assert code == 0, output
    best = float(output.rsplit("; best ", 1)[1].split()[0])
    assert best > 0.3  # nine classes: guessing gives 0.11


def test_glyph_weights_can_be_made_again(tmp_path):
    terminal = Terminal(tmp_path)
    short = ("--set", "data.size=8", "--set", "train.epochs=1")
    target = tmp_path / "glyphs.safetensors"

    code, output = terminal.run(
        "train", "pretrain_glyphs.yaml", "--half", "--output", str(target), *short
    )

    assert code == 0, output
    assert target.stat().st_size < 2e6
    assert load_file(target)["fc.weight"].shape == (309, 192)


def test_photos_template_searches_a_folder_of_pictures(tmp_path):
    from PIL import Image, ImageDraw

    for number in range(60):
        for kind, shape in (("round", "ellipse"), ("square", "rectangle")):
            image = Image.new("RGB", (120, 100), (number * 4, 100, 200 - number * 3))
            box = (20 + number % 7, 20, 70 + number % 9, 72)
            getattr(ImageDraw.Draw(image), shape)(box, fill=(250, 240, number * 4))
            folder = tmp_path / "photos" / kind
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number}.jpg")
    terminal = Terminal(tmp_path)
    changes = [
        f"data.path={tmp_path / 'photos'}",
        "data.image_size=64",
        "search.trials=1",
        "train.epochs=2",
        "search.space={learning_rate: 0.001}",
    ]
    options = [word for change in changes for word in ("--set", change)]

    code, output = terminal.run("search", "photos.yaml", "--plain", *options)

    assert code == 0, output
    assert "trial 0 complete: accuracy" in output
