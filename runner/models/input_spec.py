"""What a model wants to see: size, normalisation, interpolation and crop of its input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.errors import WeightsUnavailable
from runner.experiment import first_line
from runner.models.arguments import is_loading
from runner.models.catalogue import canonical_name, is_on_hub_only, registry_config
from runner.models.hub import hub_config

# timm's defaults for models whose registry entry leaves them out (timm/models/_pretrained.py).
_DEFAULT_SIZE = 224
_DEFAULT_MEAN = (0.485, 0.456, 0.406)
_DEFAULT_STD = (0.229, 0.224, 0.225)
_DEFAULT_CROP_FRACTION = 0.875
_INTERPOLATIONS = ("bilinear", "bicubic", "nearest")


@dataclass(frozen=True)
class InputSpec:
    """How an image becomes a model's input.

    Attributes:
        size: Side of the square input in pixels.
        mean: Mean of each RGB channel on the 0..1 scale, subtracted.
        std: Standard deviation of each RGB channel on the 0..1 scale, divided by.
        interpolation: bilinear, bicubic or nearest.
        crop_fraction: Share of the resized image's side that the centre crop keeps, in (0, 1].
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    crop_fraction: float


def _config(name: str) -> Mapping[str, Any]:
    return _readable(name, hub_config(name)) if is_on_hub_only(name) else registry_config(name)


def _readable(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A description that a stranger wrote, if what is read of it below can be.

    Raises:
        WeightsUnavailable: If it cannot.
    """
    try:
        _triple(config.get("input_size", (3, _DEFAULT_SIZE, _DEFAULT_SIZE)))
        _triple(config.get("mean", _DEFAULT_MEAN))
        _triple(config.get("std", _DEFAULT_STD))
        float(config.get("crop_pct") or _DEFAULT_CROP_FRACTION)
    except (TypeError, ValueError) as err:
        raise WeightsUnavailable(
            f"model.name {name}: its config.json does not say what it takes: {first_line(err)}"
        ) from err
    return config


def image_shape(name: str, arguments: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width in pixels of the model's input, `img_size` among the arguments first."""
    asked = arguments.get("img_size")
    if asked is not None:
        height, width = (asked, asked) if isinstance(asked, int) else tuple(asked)
        return int(height), int(width)
    _, height, width = _config(name).get("input_size", (3, _DEFAULT_SIZE, _DEFAULT_SIZE))
    return int(height), int(width)


def input_spec(name: str, arguments: Mapping[str, Any]) -> InputSpec:
    """The input a model was trained with, without loading its weights.

    Args:
        name: Model name, with or without a tag.
        arguments: Extra constructor arguments; `img_size` among them sets the size.
    Raises:
        KeyError: If timm has no such model.
        WeightsUnavailable: If only the hub can say and it cannot be reached.
    """
    config = _config(name)
    interpolation = config.get("interpolation", "bicubic")
    return InputSpec(
        size=max(image_shape(name, arguments)),
        mean=_triple(config.get("mean", _DEFAULT_MEAN)),
        std=_triple(config.get("std", _DEFAULT_STD)),
        interpolation=interpolation if interpolation in _INTERPOLATIONS else "bicubic",
        crop_fraction=float(config.get("crop_pct") or _DEFAULT_CROP_FRACTION),
    )


def plain_architecture(name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The timm name and arguments that build a model without any network.

    A timm name is its own; one that only the hub knows becomes the architecture behind it.
    """
    if not is_on_hub_only(name):
        return canonical_name(name), dict(arguments)
    config = _config(name)
    # What its owner wrote there is data: it loads nothing.
    known = {key: value for key, value in config["model_args"].items() if not is_loading(key)}
    if config.get("fixed_input_size"):
        known["img_size"] = image_shape(name, arguments)
    return str(config["architecture"]), {**known, **arguments}


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def arguments_for_size(
    name: str, arguments: Mapping[str, Any], *, image_size: int | None
) -> dict[str, Any]:
    """The constructor arguments that make a model take images of another size.

    Most networks take any size; those built for one (most vision transformers) need `img_size`.
    """
    needs_argument = bool(_config(name).get("fixed_input_size", False))
    if image_size is None or not needs_argument or "img_size" in arguments:
        return dict(arguments)
    return {**arguments, "img_size": image_size}
