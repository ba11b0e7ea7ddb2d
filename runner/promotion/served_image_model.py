"""A model of images served by plain MLflow: this file, weights and a description, nothing else.

MLflow keeps a copy beside the weights ("models from code"), joined with the part it imports of
this project, and runs it wherever the model is loaded; so it may import only what the model's own
requirements name. How an image becomes pixels is therefore written here a second time; a test
holds it against the training code.

Input: a column `image` of encoded image files, as bytes or as base64 text (JSON knows no bytes).
An image is read as it is in training, but never one of more pixels than Pillow's limit, whatever
`data.max_megapixels` said then: here bytes may come from anybody.
Output by kind: one class: `label`, `probability`, and the probability of each class in a column
named after it; several: `labels`, joined by ", ", and such a column for each; a number:
`prediction`.
Parameters: `batch_size` is how many images go through the network at once; one class: `top_k` adds
`label_2`, `probability_2`, ... up to that rank; several: `threshold` is the probability from which
a label holds.
"""

import base64
import binascii
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import timm
import torch
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors.torch import load_file
from torch import Tensor

from runner.promotion.served_answers import answer_table

DEFAULT_BATCH_SIZE = 32
# What is read; of Pillow's other formats EPS would start Ghostscript.
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "HEIF", "JXL", "TGA",
)  # fmt: skip
_DRAFT_MARGIN = 2  # a reduced JPEG keeps twice the side asked for, so the resize hides it
_HAS_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_STRIP = 2**20  # values of a 16-bit image that are scaled at once: as float64 they take 8 bytes
_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


class ImageModel(PythonModel):
    """A fine-tuned timm model that takes encoded images."""

    def load_context(self, context: Any) -> None:
        """Builds the network and loads its weights from the model's artifacts."""
        self.spec = json.loads(Path(context.artifacts["model"]).read_text("utf-8"))
        self.outputs = max(1, len(self.spec["classes"]))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = timm.create_model(
            self.spec["timm_name"],
            pretrained=False,
            num_classes=self.outputs,
            **self.spec["arguments"],
        )
        network.load_state_dict(load_file(context.artifacts["weights"]))
        self.network = network.eval().to(self.device)

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The answer to each image, one row an image, in the order given.

        Raises:
            MlflowException: If a row holds no readable image; the message names the row.
        """
        settings = params or {}
        images = list(model_input["image"])
        size = max(1, int(settings.get("batch_size", DEFAULT_BATCH_SIZE)))
        parts = [
            self._logits(images[start : start + size], first_row=start)
            for start in range(0, len(images), size)
        ]
        outputs = torch.cat(parts) if parts else torch.empty(0, self.outputs)
        return answer_table(outputs, self.spec, settings, index=model_input.index)

    def _logits(self, images: list[Any], *, first_row: int) -> Tensor:
        squares = [
            square(value, row=first_row + offset, spec=self.spec)
            for offset, value in enumerate(images)
        ]
        batch = network_input(np.stack(squares), spec=self.spec).to(self.device)
        with torch.inference_mode():
            logits: Tensor = self.network(batch).float().cpu()
        return logits


def square(value: Any, *, row: int, spec: dict[str, Any]) -> np.ndarray:
    """The centre square of one encoded image at the stored resolution R, uint8 [R, R, 3].

    Raises:
        MlflowException: If it is no readable image; the message names the row, counted from 0.
    """
    resolution = int(spec["resolution"])
    try:
        image = decode(encoded_bytes(value), enough=resolution)
    except Exception as err:
        raise MlflowException.invalid_parameter_value(
            f"row {row} (counted from 0): the column 'image' holds no readable image: {err}. "
            "Allowed: the bytes of an image file, or their base64 text"
        ) from err
    return centre_square(
        image, resolution=resolution, interpolation=spec["input"]["interpolation"]
    )


def encoded_bytes(value: Any) -> bytes:
    """The bytes of an image file, from bytes or base64 text.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__}, not bytes or base64 text")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except binascii.Error as err:
        raise ValueError(f"text that is not base64 ({err})") from err


def decode(encoded: bytes, *, enough: int) -> Image.Image:
    """The picture in these bytes: first frame, upright, over white, RGB.

    Args:
        encoded: A whole file.
        enough: Shorter side in pixels that suffices; a JPEG may be decoded smaller, never below
            twice that.
    Raises:
        ValueError: If the file is empty, no image of `FORMATS`, or larger than Pillow's limit.
        Image.DecompressionBombError: If it is larger than twice that.
        OSError: If it is cut short.
    """
    if not encoded:
        raise ValueError("the file is empty")
    with _opened(encoded) as image:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise ValueError(f"{image.width * image.height} pixels, more than Pillow's {limit}")
        if image.format == "JPEG":
            image.draft("RGB", _draft_size(image.size, enough * _DRAFT_MARGIN))
        image.load()
        return _as_rgb(_upright(image))


def _opened(encoded: bytes) -> Image.Image:
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]
    try:
        return Image.open(io.BytesIO(encoded), formats=known)
    except UnidentifiedImageError as err:
        raise ValueError("not an image, or of none of the formats read") from err


def _draft_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    shorter = min(size)
    return -(-size[0] * side // shorter), -(-size[1] * side // shorter)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - the pixels are sound; only the metadata are not
        return image


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _to_8_bits(image).convert("RGB")
    if image.mode in _HAS_ALPHA or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    deep = np.asarray(image)
    times, over = _scale(image.mode, deep)
    clear = image.info.get("transparency")
    grey = np.empty(deep.shape, np.uint8)
    for rows, values in _strips(deep):
        grey[rows] = np.clip(np.rint(values * times / over), 0, 255)
        if isinstance(clear, int):
            grey[rows][deep[rows] == clear] = 255
    return Image.fromarray(grey)


def _scale(mode: str, deep: np.ndarray) -> tuple[float, float]:
    if mode.startswith("I;16"):
        return 1.0, 257.0
    ends = [(values.min(), values.max()) for _, values in _strips(deep)]
    lowest, highest = min(low for low, _ in ends), max(high for _, high in ends)
    if mode == "I" and highest > 255:
        return 1.0, 257.0
    return (255.0, 1.0) if mode == "F" and lowest >= 0 and highest <= 1 else (1.0, 1.0)


def _strips(deep: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    height, width = deep.shape
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        rows = slice(top, top + step)
        yield rows, np.nan_to_num(deep[rows].astype(np.float64))


def centre_square(image: Image.Image, *, resolution: int, interpolation: str) -> np.ndarray:
    """The shorter side scaled to `resolution` R and the centre cut out, uint8 [R, R, 3]."""
    width, height = image.size
    shorter, longer = min(width, height), max(width, height)
    long_side = int(resolution * longer / shorter)
    offset = round((long_side - resolution) / 2) * longer / long_side
    last = min(offset + resolution * longer / long_side, longer)
    box = (offset, 0.0, last, shorter) if width > height else (0.0, offset, shorter, last)
    resized = image.resize((resolution, resolution), _RESAMPLING[interpolation], box=box)
    return np.asarray(resized, dtype=np.uint8)


def network_input(squares: np.ndarray, *, spec: dict[str, Any]) -> Tensor:
    """The centre crops of uint8 [B, R, R, 3], normalised: float32 [B, 3, S, S]."""
    wanted = spec["input"]
    size = int(wanted["size"])
    start = round((squares.shape[1] - size) / 2)
    crop = squares[:, start : start + size, start : start + size]
    images = torch.from_numpy(np.ascontiguousarray(crop)).permute(0, 3, 1, 2)
    pixels = images.to(torch.float32, memory_format=torch.channels_last)
    mean = torch.tensor(wanted["mean"]).view(1, 3, 1, 1) * 255.0
    std = torch.tensor(wanted["std"]).view(1, 3, 1, 1) * 255.0
    return pixels.sub_(mean).div_(std)


mlflow.models.set_model(ImageModel())
