"""A timm model as one that plain MLflow serves: weights, and how an image becomes its input."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from runner.data import Transform
from runner.models import InputSpec, arguments_for_size, plain_architecture
from runner.promotion.answers import Answers, answer_signature
from runner.promotion.packaging import ServedModel

_CODE = tuple(
    Path(__file__).with_name(name) for name in ("served_answers.py", "served_image_model.py")
)
_IMPORTS = ("torch", "timm", "safetensors", "pillow", "numpy", "pandas")


@dataclass(frozen=True)
class ImageModel:
    """Everything a model of images needs to answer, apart from its weights.

    Attributes:
        name: Model name, with or without a tag.
        arguments: Extra constructor arguments it was built with.
        answers: What its outputs mean.
        input: Size, normalisation and interpolation of its input.
        resolution: Side in pixels of the square an image is scaled to before the centre crop.
    """

    name: str
    arguments: Mapping[str, Any]
    answers: Answers
    input: InputSpec
    resolution: int

    def description(self) -> dict[str, Any]:
        """What the served model reads as model.json."""
        name, arguments = plain_architecture(self.name, self.arguments)
        return {
            "timm_name": name,
            "arguments": arguments,
            **self.answers.description(),
            "input": asdict(self.input),
            "resolution": self.resolution,
        }


def image_model_of(
    name: str,
    arguments: Mapping[str, Any],
    *,
    image_size: int | None,
    transform: Transform,
    answers: Answers,
) -> ImageModel:
    """A model of images from what an experiment asked for.

    Args:
        name: Model name, with or without a tag.
        arguments: Extra constructor arguments that were asked for.
        image_size: Side in pixels that was asked for; None for the model's own.
        transform: The preprocessing it was trained with.
        answers: What its outputs mean.
    """
    return ImageModel(
        name=name,
        arguments=arguments_for_size(name, arguments, image_size=image_size),
        answers=answers,
        input=InputSpec(
            size=transform.size,
            mean=transform.mean,
            std=transform.std,
            interpolation=transform.interpolation,
            crop_fraction=transform.crop_fraction,
        ),
        resolution=transform.resolution,
    )


def serve_images(model: ImageModel, state: Mapping[str, Tensor]) -> ServedModel:
    """A model of images that plain MLflow can serve.

    Args:
        model: What it is.
        state: Its parameters and buffers by name.
    """
    from mlflow.types import ColSpec, DataType

    from runner.promotion.served_image_model import DEFAULT_BATCH_SIZE

    def write(folder: Path) -> dict[str, Path]:
        """The weights, and the description beside them."""
        weights, description = folder / "weights.safetensors", folder / "model.json"
        save_file({name: _plain(tensor) for name, tensor in state.items()}, weights)
        description.write_text(json.dumps(model.description(), indent=2), "utf-8")
        return {"weights": weights, "model": description}

    return ServedModel(
        code=_CODE,
        write=write,
        signature=answer_signature(
            model.answers,
            [ColSpec(DataType.binary, "image")],
            batch_size=DEFAULT_BATCH_SIZE,
        ),
        example=_example(model.input.size),
        imports=_IMPORTS,
    )


def _example(size: int) -> Any:
    """One grey image: MLflow keeps it, and the request that serving expects, with the model."""
    import pandas as pd

    encoded = io.BytesIO()
    Image.new("RGB", (size, size), (128, 128, 128)).save(encoded, "PNG")
    return pd.DataFrame({"image": [encoded.getvalue()]})


def _plain(tensor: Tensor) -> Tensor:
    """A copy of its own on the CPU: safetensors refuses tensors that share memory."""
    return tensor.detach().to(torch.device("cpu"), copy=True).contiguous()
