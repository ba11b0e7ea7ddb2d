"""Tiny text models that the tests of this room share, each written once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

from runner.experiment import LabelKind
from runner.models import TextFiles, build_text_model, load_text_weights, text_files
from tests.tiny_adapted import IMAGE_MODELS, pretrained_image_model
from tests.tiny_text_models import make_tiny_text_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a tiny model of a family; not to be changed."""
    root = tmp_path_factory.mktemp("tiny_text_models")

    def folder(family: str) -> Path:
        made = root / family
        return made if made.is_dir() else make_tiny_text_model(made, family)

    return folder


@pytest.fixture(scope="session")
def tiny_files(tiny: Callable[[str], Path]) -> Callable[[str], TextFiles]:
    """Gives the files of a tiny model of a family."""
    return lambda family: text_files("tiny", str(tiny(family)), base=Path("/"))


@pytest.fixture
def tiny_model(tiny_files: Callable[[str], TextFiles]) -> Callable[..., nn.Module]:
    """Builds a tiny model of a family with three outputs, for texts unless told otherwise."""

    def build(family: str, kind: LabelKind = LabelKind.CLASS, seed: int = 0) -> nn.Module:
        files = tiny_files(family)
        weights = load_text_weights(files)
        return build_text_model(
            files, kind=kind, outputs=3, weights=weights, arguments={}, dropout=0.1, seed=seed
        )

    return build


@pytest.fixture
def build(tiny_model: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Builds a tiny model of either library; the seed decides its head alone."""

    def made(name: str, seed: int = 0) -> nn.Module:
        if name in IMAGE_MODELS:
            return pretrained_image_model(name, seed=seed)
        return tiny_model(name, seed=seed)

    return made
