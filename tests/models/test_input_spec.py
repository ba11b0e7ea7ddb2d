"""What models want to see."""

import pytest

from runner.models import InputSpec, arguments_for_size, input_spec
from runner.models.input_spec import image_shape


def test_input_spec_of_a_tag_is_the_tags_own() -> None:
    assert input_spec("tf_efficientnet_lite0", {}) == InputSpec(
        size=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        interpolation="bicubic",
        crop_fraction=0.875,
    )
    assert input_spec("resnet18.tv_in1k", {}).interpolation == "bilinear"
    assert input_spec("resnet18.a1_in1k", {}).interpolation == "bicubic"


@pytest.mark.parametrize("asked", [96, [96, 96], (96, 96)])
def test_input_spec_with_img_size_takes_that_size(asked: object) -> None:
    assert input_spec("vit_tiny_patch16_224", {"img_size": asked}).size == 96


def test_input_spec_of_an_unknown_model_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="resnet81"):
        input_spec("resnet81", {})


def test_arguments_for_size_only_a_model_of_fixed_size_gets_one() -> None:
    assert arguments_for_size("resnet18", {}, image_size=96) == {}
    assert arguments_for_size("vit_tiny_patch16_224", {}, image_size=96) == {"img_size": 96}
    assert arguments_for_size("vit_tiny_patch16_224", {}, image_size=None) == {}
    assert arguments_for_size("vit_tiny_patch16_224", {"img_size": 64}, image_size=96) == {
        "img_size": 64
    }


def test_image_shape_of_a_model_for_wide_images_is_not_square() -> None:
    assert image_shape("resnet18", {}) == (224, 224)
    assert image_shape("ese_vovnet19b_dw", {"img_size": [64, 96]}) == (64, 96)
