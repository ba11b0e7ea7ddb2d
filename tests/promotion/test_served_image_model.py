"""The served model: the same pixels as in training, any batch, clear words for a broken row."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from PIL import EpsImagePlugin, Image, ImageFilter, PngImagePlugin

from runner.data import Transform, decoding, eval_batch, load_pixels, open_source
from runner.experiment import FolderData, LabelKind
from runner.models import InputSpec, build_model
from runner.promotion import served_image_model as served
from runner.promotion.answers import Answers
from runner.promotion.image_packaging import ImageModel, serve_images
from runner.promotion.packaging import save_model

_CLASSES = ("ape", "bee", "cat")
_TRANSFORM = Transform(
    size=32,
    crop_fraction=0.875,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    interpolation="bicubic",
)


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Blurred noise: smooth enough to survive JPEG, different everywhere."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).filter(ImageFilter.GaussianBlur(2))


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return _encoded(_picture(90, 50), "JPEG", exif=exif)


def _see_through() -> bytes:
    image = _picture(60, 44).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return _encoded(image, "PNG")


def _palette() -> bytes:
    return _encoded(_picture(44, 60).quantize(16), "PNG", transparency=3)


def _deep_grey() -> bytes:
    values = np.linspace(0, 65535, 40 * 52).reshape(40, 52).astype(np.uint16)
    return _encoded(Image.fromarray(values), "PNG")


def _deep_clear() -> bytes:
    """16 bits, one of the values transparent."""
    values = np.linspace(0, 65535, 40 * 52).reshape(40, 52).astype(np.uint16)
    return _encoded(Image.fromarray(values), "PNG", transparency=int(values[20, 30]))


def _deep_floats() -> bytes:
    values = np.linspace(-40, 400, 40 * 52, dtype=np.float32).reshape(40, 52)
    return _encoded(Image.fromarray(values), "TIFF")


def _fractions() -> bytes:
    values = np.linspace(0, 1, 40 * 52, dtype=np.float32).reshape(40, 52)
    return _encoded(Image.fromarray(values), "TIFF")


def _animated() -> bytes:
    frames = [_picture(50, 40, seed) for seed in range(3)]
    return _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


_ODD: dict[str, Callable[[], bytes]] = {
    "wide.jpg": lambda: _encoded(_picture(201, 50), "JPEG"),
    "tall.png": lambda: _encoded(_picture(47, 133), "PNG"),
    "square.png": lambda: _encoded(_picture(64, 64), "PNG"),
    "large.jpg": lambda: _encoded(_picture(801, 611), "JPEG"),
    "progressive.jpg": lambda: _encoded(_picture(333, 500), "JPEG", progressive=True),
    "tiny.png": lambda: _encoded(_picture(3, 5), "PNG"),
    "line.png": lambda: _encoded(_picture(1, 9), "PNG"),
    "turned.jpg": _turned,
    "see_through.png": _see_through,
    "palette.png": _palette,
    "grey_alpha.png": lambda: _encoded(_picture(50, 60).convert("LA"), "PNG"),
    "one_bit.png": lambda: _encoded(_picture(50, 60).convert("1"), "PNG"),
    "deep_grey.png": _deep_grey,
    "deep_clear.png": _deep_clear,
    "deep_floats.tiff": _deep_floats,
    "fractions.tiff": _fractions,
    "png_named.jpg": lambda: _encoded(_picture(61, 44), "PNG"),
    "cmyk.jpg": lambda: _encoded(_picture(90, 70).convert("CMYK"), "JPEG"),
    "animated.gif": _animated,
    "photo.webp": lambda: _encoded(_picture(120, 70), "WEBP"),
}


def _spec(transform: Transform) -> dict[str, Any]:
    wanted = {
        "size": transform.size,
        "mean": transform.mean,
        "std": transform.std,
        "interpolation": transform.interpolation,
    }
    return {"resolution": transform.resolution, "input": wanted}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(("size", "crop_fraction"), [(32, 0.875), (33, 0.9), (24, 1.0)])
def test_pixels_of_odd_images_are_those_of_training(
    tmp_path: Path, interpolation: str, size: int, crop_fraction: float
) -> None:
    transform = Transform(
        size=size,
        crop_fraction=crop_fraction,
        mean=_TRANSFORM.mean,
        std=_TRANSFORM.std,
        interpolation=interpolation,
    )
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
    for position, (name, make) in enumerate(_ODD.items()):
        (tmp_path / "ab"[position % 2] / name).write_bytes(make())
    settings = FolderData(source="folder", path=str(tmp_path))
    source = open_source(settings, base=tmp_path, cache=None)
    files = [tmp_path / example.id for example in source.examples]
    assert len(files) == len(_ODD)
    stored = load_pixels(
        source,
        range(len(files)),
        resolution=transform.resolution,
        interpolation=interpolation,
        cache=None,
        threads=1,
    ).take(np.arange(len(files)))
    spec = _spec(transform)
    squares = [served.square(file.read_bytes(), row=0, spec=spec) for file in files]
    different = [
        file.name for file, a, b in zip(files, stored, squares, strict=True) if (a != b).any()
    ]
    assert different == []
    trained = eval_batch(torch.from_numpy(stored), transform=transform)
    assert torch.equal(served.network_input(np.stack(squares), spec=spec), trained)


def test_formats_are_those_of_training() -> None:
    assert served.FORMATS == decoding.FORMATS


@pytest.mark.parametrize("form", ["EPS", "ICO", "PCX", "PDF"])
def test_other_formats_are_refused_and_start_no_program(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "has_ghostscript", lambda: started.append(1) or True)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append(2))
    image = _encoded(_picture(40, 40), form)
    with pytest.raises(MlflowException, match="no readable image: not an image, or of none of"):
        served.square(image, row=0, spec=_spec(_TRANSFORM))
    assert started == []


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (3000, "3600 pixels, more than Pillow's 3000"),
        (1000, r"Image size \(3600 pixels\) exceeds limit of 2000 pixels"),
    ],
)
def test_decompression_bombs_are_refused_before_they_are_decoded(
    limit: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = _encoded(_picture(60, 60), "PNG")
    decoded: list[object] = []
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", decoded.append)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(MlflowException, match=f"row 5 .*: {reason}"):
        served.square(bomb, row=5, spec=_spec(_TRANSFORM))
    assert decoded == []


def _network(outputs: int) -> Any:
    return build_model(
        "test_resnet",
        num_classes=outputs,
        weights=None,
        arguments={},
        dropout=0.0,
        drop_path=0.0,
        seed=0,
    ).eval()


def _loaded(folder: Path, answers: Answers) -> Any:
    """A small packaged model, loaded by MLflow."""
    wanted = InputSpec(
        size=_TRANSFORM.size,
        mean=_TRANSFORM.mean,
        std=_TRANSFORM.std,
        interpolation=_TRANSFORM.interpolation,
        crop_fraction=_TRANSFORM.crop_fraction,
    )
    model = ImageModel("test_resnet", {}, answers, wanted, _TRANSFORM.resolution)
    state = _network(max(1, len(answers.classes))).state_dict()
    save_model(folder / "model", serve_images(model, state))
    return mlflow.pyfunc.load_model(str(folder / "model"))


def _logits(outputs: int, encoded: bytes) -> np.ndarray:
    pixels = _TRANSFORM.square(Image.open(io.BytesIO(encoded)).convert("RGB"))
    with torch.no_grad():
        batch = eval_batch(torch.tensor(pixels)[None], transform=_TRANSFORM)
        logits: np.ndarray = _network(outputs)(batch)[0].numpy()
    return logits


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _loaded(tmp_path_factory.mktemp("packaged"), Answers(LabelKind.CLASS, _CLASSES))


def _table(*images: object) -> pd.DataFrame:
    return pd.DataFrame({"image": pd.Series(images, dtype=object)})


def test_predict_gives_what_the_network_gives(model: Any) -> None:
    encoded = _ODD["wide.jpg"]()
    expected = torch.from_numpy(_logits(3, encoded)).softmax(dim=0).numpy()
    answer = model.predict(_table(encoded)).iloc[0]
    assert list(answer.index) == ["label", "probability", *_CLASSES]
    assert np.allclose(answer[list(_CLASSES)].astype(float), expected, atol=1e-6)
    assert answer["label"] == _CLASSES[int(expected.argmax())]
    assert answer["probability"] == answer[answer["label"]]


def test_predict_several_labels_from_a_threshold(tmp_path: Path) -> None:
    served_labels = _loaded(tmp_path, Answers(LabelKind.CLASSES, _CLASSES))
    images = [_ODD[name]() for name in ("wide.jpg", "tall.png")]
    expected = np.stack([1 / (1 + np.exp(-_logits(3, image))) for image in images])
    answers = served_labels.predict(_table(*images))
    assert list(answers.columns) == ["labels", *_CLASSES]
    assert np.allclose(answers[list(_CLASSES)], expected, atol=1e-6)
    middle = float(np.median(expected))
    held = served_labels.predict(_table(*images), params={"threshold": middle - 1e-6})
    wanted = [
        ", ".join(name for name, share in zip(_CLASSES, row, strict=True) if share > middle - 1e-6)
        for row in expected
    ]
    assert list(held["labels"]) == wanted
    assert sum(labels.count(",") + 1 for labels in wanted if labels) in (3, 4)


def test_predict_numbers_are_in_their_own_units(tmp_path: Path) -> None:
    served_numbers = _loaded(tmp_path, Answers(LabelKind.NUMBER, (), mean=1950.0, std=12.5))
    encoded = _ODD["wide.jpg"]()
    answer = served_numbers.predict(_table(encoded))
    assert list(answer.columns) == ["prediction"]
    expected = float(_logits(1, encoded)[0]) * 12.5 + 1950.0
    assert answer["prediction"][0] == pytest.approx(expected, abs=1e-4)
    assert answer["prediction"][0] != 1950.0
    assert len(served_numbers.predict(_table())) == 0


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_predict_any_batch_of_mixed_sizes_is_row_by_row(model: Any, batch_size: int) -> None:
    images = [_ODD[name]() for name in ("wide.jpg", "tall.png", "tiny.png")]
    together = model.predict(_table(*images), params={"batch_size": batch_size})
    alone = pd.concat([model.predict(_table(image)) for image in images], ignore_index=True)
    assert list(together["label"]) == list(alone["label"])
    columns = ["probability", *_CLASSES]
    assert np.allclose(together[columns], alone[columns], atol=1e-6)
    assert np.allclose(together[list(_CLASSES)].sum(axis=1), 1.0)


def test_predict_base64_text_is_the_same_as_bytes(model: Any) -> None:
    encoded = _ODD["tall.png"]()
    text = base64.encodebytes(encoded).decode()
    frame = model.predict(_table(encoded, text, text.replace("\n", "")))
    assert (frame.iloc[1] == frame.iloc[0]).all()
    assert (frame.iloc[2] == frame.iloc[0]).all()


def test_predict_keeps_the_index_and_takes_no_rows(model: Any) -> None:
    encoded = _ODD["tall.png"]()
    frame = pd.DataFrame({"image": [encoded, encoded]}, index=["x", "y"])
    assert list(model.predict(frame).index) == ["x", "y"]
    assert list(model.predict(_table()).columns) == ["label", "probability", *_CLASSES]


@pytest.mark.parametrize(("top_k", "ranks"), [(1, 1), (2, 2), (9, 3), (0, 1)])
def test_predict_top_k_adds_the_next_best(model: Any, top_k: int, ranks: int) -> None:
    row = model.predict(_table(_ODD["tall.png"]()), params={"top_k": top_k}).iloc[0]
    endings = ["", "_2", "_3"][:ranks]
    given = [row[f"probability{ending}"] for ending in endings]
    assert given == sorted((row[name] for name in _CLASSES), reverse=True)[:ranks]
    assert [row[row[f"label{ending}"]] for ending in endings] == given
    assert len(row) == 2 * ranks + len(_CLASSES)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image", "not an image, or of none of the formats read"),
        (_encoded(_picture(90, 90), "JPEG")[:900], "image file is truncated"),
        ("???", "text that is not base64"),
        (base64.b64encode(b"no image").decode(), "not an image, or of none of the formats read"),
        (None, "a NoneType, not bytes or base64 text"),
    ],
)
def test_predict_a_broken_row_is_named_with_its_reason(
    model: Any, broken: object, reason: str
) -> None:
    good = _ODD["tall.png"]()
    with pytest.raises(MlflowException) as caught:
        model.predict(_table(good, good, broken), params={"batch_size": 2})
    message = str(caught.value)
    assert message.startswith(
        f"row 2 (counted from 0): the column 'image' holds no readable image: {reason}"
    )
    assert message.endswith("Allowed: the bytes of an image file, or their base64 text")
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
