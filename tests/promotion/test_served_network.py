"""The served text network takes tensors from its folder, and runs nothing that lies there."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from runner.promotion.served_network import load_network
from tests.tiny_text_models import make_tiny_text_model

SPEC = {"kind": "class", "base": None}


def test_load_network_of_a_folder_with_a_pickle_instead_is_refused(tmp_path: Path) -> None:
    """Fails without `use_safetensors`."""
    folder = make_tiny_text_model(tmp_path / "mine", "bert")
    assert load_network(folder, SPEC) is not None
    weights = folder / "model.safetensors"
    # A harmless one, which transformers by itself would read.
    torch.save(load_file(weights), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(OSError, match="safetensors"):
        load_network(folder, SPEC)


@pytest.mark.parametrize("architecture", ["bert", "evil"])
def test_load_network_runs_no_code_of_its_folder(tmp_path: Path, architecture: str) -> None:
    """Fails with `trust_remote_code`."""
    folder = make_tiny_text_model(tmp_path / "mine", "bert")
    trace = tmp_path / "trace"
    (folder / "evil.py").write_text(f"import os; os.mkdir({str(trace)!r})")
    config = json.loads((folder / "config.json").read_text())
    named = ("AutoConfig", "AutoModelForSequenceClassification")
    config |= {"auto_map": dict.fromkeys(named, "evil.Evil"), "model_type": architecture}
    (folder / "config.json").write_text(json.dumps(config))
    if architecture == "bert":
        assert type(load_network(folder, SPEC)).__module__.startswith("transformers.")
    else:
        with pytest.raises(ValueError, match="trust_remote_code"):
            load_network(folder, SPEC)
    assert not trace.exists()
