"""Names of models, and what is said about wrong ones."""

import pytest

from runner.models import canonical_name
from runner.models.catalogue import (
    has_published_weights,
    is_on_hub_only,
    name_problem,
    pretrained_tags,
    registry_config,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", "resnet18"),
        ("resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("hf-hub:timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("hf_hub:timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("someone/resnet18", "hf-hub:someone/resnet18"),
        ("hf-hub:someone/birds@v2", "hf-hub:someone/birds@v2"),
        ("resnet81", "resnet81"),
    ],
)
def test_canonical_name_of_every_spelling_is_one(name: str, expected: str) -> None:
    assert canonical_name(name) == expected


def test_name_problem_of_a_known_model_is_none() -> None:
    assert name_problem("resnet18") is None
    assert name_problem("resnet18.a1_in1k") is None
    assert name_problem("hf-hub:someone/birds") is None


def test_name_problem_of_a_misspelt_model_offers_the_nearest() -> None:
    problem = name_problem("mobilnetv3_small_100")
    assert problem is not None
    rule, seen, near = problem
    assert rule == "timm has no model of this name (timm.list_models() has them all)"
    assert seen == "mobilnetv3_small_100"
    assert near == ("mobilenetv3_small_100",)


def test_name_problem_of_an_unknown_tag_lists_the_tags_there_are() -> None:
    problem = name_problem("resnet18.a1_in2k")
    assert problem is not None
    assert problem[0].startswith(
        "resnet18 has no weights tagged 'a1_in2k'; it has: resnet18.a1_in1k"
    )
    assert "resnet18.a1_in1k" in problem[2]


def test_pretrained_tags_of_a_model_without_published_weights_are_empty() -> None:
    assert "a1_in1k" in pretrained_tags("resnet18")
    assert pretrained_tags("hrnet_w18_ssld") == ("paddle_in1k",)
    assert pretrained_tags("vit_tiny_r_s16_p8_384") != ()
    assert pretrained_tags("cs3darknet_s") == ()
    assert not has_published_weights("cs3darknet_s")
    assert has_published_weights("hf-hub:someone/birds")


def test_registry_config_of_a_model_only_the_hub_knows_is_refused() -> None:
    assert is_on_hub_only("someone/birds")
    with pytest.raises(KeyError, match="someone/birds"):
        registry_config("someone/birds")
