"""Small picture folders that the tests of the data room share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeFolder = Callable[..., Path]


def picture(number: int, *, width: int = 24, height: int = 16) -> Image.Image:
    """A picture that no other number has."""
    random = np.random.default_rng(number)
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Writes images of these classes: make_folder({"cat": 3, "dog": 2})."""

    def make(counts: dict[str, int], *, name: str = "images", first: int = 0) -> Path:
        number = first
        for class_name, count in counts.items():
            folder = tmp_path / name / class_name
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(count):
                picture(number).save(folder / f"{index:03d}.png")
                number += 1
        return tmp_path / name

    return make
