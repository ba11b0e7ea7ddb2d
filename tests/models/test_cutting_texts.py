"""Cuts of text encoders: masks, positions, pooler and head stay the model's own work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runner.experiment import LabelKind
from runner.models import (
    Weights,
    build_text_model,
    cut_points,
    layer_groups,
    load_text_weights,
    run_prefix,
    run_suffix,
    text_files,
    text_logits,
)
from tests.tiny_cuts import Ways, assert_trains_alike, livened
from tests.tiny_text_models import make_tiny_text_model

_Tiny = Callable[[str], Path]
# Cuts of models for texts with two layers; a pooler or a last norm is one group more.
_CUTS = {
    "bert": (1, 2, 3, 4),
    "roberta": (1, 2, 3),
    "xlm-roberta": (1, 2, 3),
    "distilbert": (1, 2, 3),
    "electra": (1, 2, 3),
    "mpnet": (1, 2, 3),
    "albert": (1, 3),
    "deberta-v2": (1, 2, 3),
    "modernbert": (1, 2, 3, 4),
    # Families that are not known layer by layer.
    "ernie": (4,),
    "nystromformer": (3,),
}
_QUICK = ("bert", "roberta", "distilbert", "mpnet", "modernbert", "nystromformer")
_FAMILIES = [
    family if family in _QUICK else pytest.param(family, marks=pytest.mark.slow)
    for family in _CUTS
]


def _model(
    tiny: _Tiny, family: str, kind: LabelKind = LabelKind.CLASS, **arguments: Any
) -> nn.Module:
    files = text_files("tiny", str(tiny(family)), base=Path("/"))
    return livened(
        build_text_model(
            files,
            kind=kind,
            outputs=3,
            weights=load_text_weights(files),
            arguments=arguments,
            dropout=0.2,
            seed=0,
        )
    )


def _texts(**more: Tensor) -> dict[str, Tensor]:
    """Pairs of texts of 7, 5 and 3 tokens."""
    tokens = torch.randint(5, 100, (3, 7), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(7) < torch.tensor([[7], [5], [3]])).to(torch.int64)
    types = (torch.arange(7) >= 2).to(torch.int64) * mask
    return {
        "input_ids": tokens * mask,
        "attention_mask": mask,
        "token_type_ids": types,
        **more,
    }


def _words() -> dict[str, Tensor]:
    return _texts(word_positions=torch.tensor([[1, 3, 5], [1, 2, -1], [1, -1, -1]]))


def _rest(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: batch[name] for name in batch.keys() & {"attention_mask", "word_positions"}}


def _unpadded(features: Tensor, batch: dict[str, Tensor], *, more: int = 0) -> Tensor:
    """Features as a store gives them back: zeros at padding, and perhaps more of it."""
    if features.ndim < 3:
        return features
    kept = features * batch["attention_mask"][..., None]
    return nn.functional.pad(kept, (0, 0, 0, more))


@pytest.mark.parametrize("family", _FAMILIES)
def test_families_are_cut_between_layers_and_at_the_head(tiny: _Tiny, family: str) -> None:
    model = _model(tiny, family)
    groups = layer_groups(model)
    assert cut_points(model, groups) == _CUTS[family]
    assert groups.count == _CUTS[family][-1]
    features = run_prefix(model, _texts(), [groups.count])
    assert features[groups.count].shape == (3, 32)


@pytest.mark.parametrize("batch", [_texts(), _words()], ids=["texts", "words"])
@pytest.mark.parametrize("family", _FAMILIES)
def test_suffix_of_the_prefix_is_the_model_at_every_cut(
    tiny: _Tiny, family: str, batch: dict[str, Tensor]
) -> None:
    kind = LabelKind.TAGS if "word_positions" in batch else LabelKind.CLASS
    model = _model(tiny, family, kind).eval()
    groups = layer_groups(model)
    with torch.no_grad():
        expected = text_logits(model, batch)
    cuts = cut_points(model, groups)
    assert cuts[-1] == groups.count
    for cut, features in run_prefix(model, batch, cuts).items():
        with torch.no_grad():
            outputs = run_suffix(model, _unpadded(features, batch), _rest(batch), cut=cut)
        torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [_texts(), _words()], ids=["texts", "words"])
@pytest.mark.parametrize("family", _FAMILIES)
def test_suffix_trains_as_the_model_does_with_a_frozen_prefix(
    tiny: _Tiny, family: str, batch: dict[str, Tensor]
) -> None:
    kind = LabelKind.TAGS if "word_positions" in batch else LabelKind.CLASS
    model = _model(tiny, family, kind)
    groups = layer_groups(model)
    ways = Ways(model, groups, lambda: text_logits(model, batch), batch, _rest(batch))
    for cut in cut_points(model, groups):
        assert_trains_alike(ways, cut=cut)


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "modernbert"])
def test_how_far_a_batch_is_padded_does_not_matter(tiny: _Tiny, family: str) -> None:
    model = _model(tiny, family).eval()
    groups, batch = layer_groups(model), _texts()
    with torch.no_grad():
        expected = text_logits(model, batch)
    longer = {"attention_mask": nn.functional.pad(batch["attention_mask"], (0, 4))}
    for cut in cut_points(model, groups):
        features = _unpadded(run_prefix(model, batch, [cut])[cut], batch, more=4)
        with torch.no_grad():
            outputs = run_suffix(model, features, longer, cut=cut)
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)


def test_texts_without_a_mask_are_whole(tiny: _Tiny) -> None:
    model = _model(tiny, "bert").eval()
    batch = {"input_ids": torch.randint(5, 100, (2, 6))}
    with torch.no_grad():
        expected = text_logits(model, batch)
        for cut, features in run_prefix(model, batch, (1, 3, 4)).items():
            outputs = run_suffix(model, features, {}, cut=cut)
            torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)


def test_a_head_of_the_mean_gets_the_mean_over_the_tokens_of_each_text(tiny: _Tiny) -> None:
    model = _model(tiny, "modernbert", classifier_pooling="mean").eval()
    groups, batch = layer_groups(model), _texts()
    with torch.no_grad():
        expected = text_logits(model, batch)
    cuts = cut_points(model, groups)
    assert cuts == (1, 2, 3, 4)
    features = run_prefix(model, batch, cuts)
    assert features[4].shape == (3, 32)
    for cut in cuts:
        with torch.no_grad():
            outputs = run_suffix(model, features[cut], _rest(batch), cut=cut)
        torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_a_pooler_that_starts_fresh_trains_behind_the_cut(tiny: _Tiny, family: str) -> None:
    files = text_files("tiny", str(tiny(family)), base=Path("/"))
    whole = load_text_weights(files)
    assert whole is not None
    state = {name: x for name, x in whole.state.items() if not name.startswith("pooler")}
    model = livened(
        build_text_model(
            files,
            kind=LabelKind.CLASS,
            outputs=3,
            weights=Weights(state, "", ""),
            arguments={},
            dropout=0.2,
            seed=0,
        )
    )
    groups, batch = layer_groups(model), _texts()
    assert any("pooler" in name for name in groups.head)
    cuts = cut_points(model, groups)
    assert cuts[-1] == groups.count
    assert run_prefix(model, batch, cuts)[groups.count].shape == (3, 32)
    ways = Ways(model, groups, lambda: text_logits(model, batch), batch, _rest(batch))
    for cut in cuts:
        assert_trains_alike(ways, cut=cut)


def test_a_layer_that_depends_on_its_place_is_not_cut_off(tmp_path: Path) -> None:
    """DeBERTa can have a convolution after the layer it counts as the first."""
    folder = make_tiny_text_model(
        tmp_path / "deberta", "deberta-v2", num_hidden_layers=3, conv_kernel_size=3
    )
    model = _model(lambda _: folder, "deberta-v2")
    groups, batch = layer_groups(model), _texts()
    cuts = cut_points(model, groups)
    assert cuts == (1, groups.count)
    ways = Ways(model, groups, lambda: text_logits(model, batch), batch, _rest(batch))
    for cut in cuts:
        assert_trains_alike(ways, cut=cut)


def test_a_model_whose_passes_need_values_is_not_cut(tmp_path: Path) -> None:
    folder = make_tiny_text_model(tmp_path / "ibert", "ibert")
    model = _model(lambda _: folder, "ibert")
    assert cut_points(model, layer_groups(model)) == ()
