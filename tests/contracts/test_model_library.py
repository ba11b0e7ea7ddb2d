"""What every model of the library keeps to, run over one of each family that is promised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from runner.experiment import LabelKind
from runner.models import (
    LayerGroups,
    TextFiles,
    build_model,
    build_text_model,
    expected_model,
    expected_text_model,
    freeze,
    has_regulariser,
    keep_frozen_in_eval,
    layer_groups,
    load_text_weights,
    text_files,
    text_logits,
)
from tests.tiny_text_models import make_tiny_text_model

_CLASSES = 3
_Inputs = Tensor | dict[str, Tensor]


@dataclass(frozen=True)
class _Image:
    """One model of timm's, small enough to train a few steps in a test.

    Attributes:
        name: timm's name.
        groups: Layer groups it has without the head, counted by hand from its architecture.
        side: Side of its images in pixels.
        arguments: Constructor arguments that make it small.
        head: Parameters of its head.
    """

    name: str
    groups: int
    side: int = 32
    arguments: dict[str, Any] = field(default_factory=dict)
    head: int = 2

    def prepare(self, folder: Path) -> None:
        """Nothing: timm has it."""

    def build(self) -> nn.Module:
        """The model with all the randomness it can have."""
        drop_path = 0.4 if has_regulariser(self.name, "drop_path") else 0.0
        return build_model(
            self.name,
            num_classes=_CLASSES,
            weights=None,
            arguments=self.arguments,
            dropout=0.4,
            drop_path=drop_path,
            seed=0,
        )

    def expected(self) -> nn.Module:
        """The same on the meta device."""
        return expected_model(self.name, num_classes=_CLASSES, arguments=self.arguments)

    def inputs(self, *, seed: int) -> _Inputs:
        """Four images."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(4, 3, self.side, self.side, generator=generator)

    def outputs(self, model: nn.Module, inputs: _Inputs) -> Tensor:
        """Scores [4, C]."""
        scores: Tensor = model(inputs)
        return scores


@dataclass
class _Text:
    """One tiny model of transformers', with random weights in a folder in the hub's layout.

    Attributes:
        name: transformers' `model_type`.
        groups: Layer groups it has without the head, counted by hand from its architecture.
        head: Parameters of its head.
    """

    name: str
    groups: int
    head: int = 2
    _files: TextFiles | None = None

    def prepare(self, folder: Path) -> None:
        """Writes the model's folder."""
        made = make_tiny_text_model(folder, self.name)
        self._files = text_files(self.name, str(made), base=folder)

    def build(self) -> nn.Module:
        """The model with all the randomness it can have."""
        assert self._files is not None
        return build_text_model(
            self._files,
            kind=LabelKind.CLASS,
            outputs=_CLASSES,
            weights=load_text_weights(self._files),
            arguments={},
            dropout=0.4,
            seed=0,
        )

    def expected(self) -> nn.Module:
        """The same on the meta device."""
        assert self._files is not None
        return expected_text_model(
            self._files, kind=LabelKind.CLASS, outputs=_CLASSES, arguments={}
        )

    def inputs(self, *, seed: int) -> _Inputs:
        """Four texts of six tokens, the last of one of them padding."""
        generator = torch.Generator().manual_seed(seed)
        tokens = torch.randint(5, 150, (4, 6), generator=generator)
        mask = torch.ones_like(tokens)
        mask[seed % 4, -1] = 0
        return {"input_ids": tokens, "attention_mask": mask}

    def outputs(self, model: nn.Module, inputs: _Inputs) -> Tensor:
        """Scores [4, C]."""
        assert isinstance(inputs, dict)
        return text_logits(model, inputs)


_Case = _Image | _Text
_CASES: list[_Case] = [
    _Image("resnet18", 5),
    _Image("tf_efficientnet_lite0", 8),
    _Image("mobilenetv3_small_100", 8),
    _Image("mobilenetv2_100", 8),
    _Image("vit_tiny_patch16_224", 13, arguments={"img_size": 32, "attn_drop_rate": 0.2}),
    _Image("convnext_atto", 6),
    _Image("vgg11_bn", 17, arguments={"mlp_ratio": 0.01}),
    _Text("bert", 4),
    _Text("roberta", 3, head=4),
    _Text("distilbert", 3, head=4),
    _Text("albert", 3),
    _Text("electra", 3, head=4),
    _Text("deberta-v2", 3, head=4),
    _Text("mpnet", 3, head=4),
    _Text("modernbert", 4, head=4),
]


@pytest.fixture(scope="module", params=_CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Case:
    found: _Case = request.param
    found.prepare(tmp_path_factory.mktemp("model"))
    return found


def _train(model: nn.Module, case: _Case, *, steps: int) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9, weight_decay=0.1)
    for step in range(steps):
        logits = case.outputs(model, case.inputs(seed=step))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()


@contextmanager
def _recorded(model: nn.Module, groups: LayerGroups, depth: int) -> Iterator[list[Tensor]]:
    """Collects what every module of the frozen prefix puts out."""
    outputs: list[Tensor] = []
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output: outputs.extend(_tensors(output))
        )
        for name in groups.frozen_modules(depth)
    ]
    yield outputs
    for hook in hooks:
        hook.remove()


def _tensors(output: object) -> list[Tensor]:
    leaves = tree_leaves(output)
    return [leaf.detach().clone() for leaf in leaves if isinstance(leaf, Tensor)]


def _prefix(
    model: nn.Module, case: _Case, groups: LayerGroups, depth: int, inputs: _Inputs
) -> list[Tensor]:
    with _recorded(model, groups, depth) as outputs, torch.no_grad():
        case.outputs(model, inputs)
    return outputs


def _flipped(inputs: _Inputs) -> _Inputs:
    if isinstance(inputs, Tensor):
        return inputs.flip(0)
    return {name: tensor.flip(0) for name, tensor in inputs.items()}


def _state(model: nn.Module, groups: LayerGroups, depth: int) -> dict[str, Tensor]:
    """Parameters and buffers of the first groups."""
    parameters = set(groups.frozen_parameters(depth))
    modules = groups.frozen_modules(depth)
    owned = {name for name, _ in model.named_buffers() if name.rpartition(".")[0] in modules}
    state = model.state_dict()
    return {name: state[name].clone() for name in state if name in parameters | owned}


def _depths(groups: LayerGroups) -> list[int]:
    return sorted({1, 2, groups.count // 2, groups.count})


def test_groups_have_the_expected_count_and_hold_every_parameter_once(case: _Case) -> None:
    model = case.expected()
    groups = layer_groups(model)
    assert groups.unordered is None
    assert groups.count == case.groups
    named = [name for group in (*groups.names, groups.head) for name in group]
    assert sorted(named) == sorted(name for name, _ in model.named_parameters())
    assert all(groups.names)


def test_head_is_the_classifier_and_what_starts_fresh_with_it(case: _Case) -> None:
    model = case.expected()
    shapes = [tuple(model.get_parameter(name).shape) for name in layer_groups(model).head]
    features = shapes[-2][1]
    assert shapes[-2:] == [(_CLASSES, features), (_CLASSES,)]
    assert len(shapes) == case.head


def test_groups_of_a_real_model_are_those_planned_on_the_meta_device(case: _Case) -> None:
    meta = case.expected()
    planned, real = layer_groups(meta), layer_groups(case.build())
    assert (planned.names, planned.head, planned.unordered) == (real.names, real.head, None)


def test_frozen_prefix_gives_the_same_bits_whatever_the_rest_does(case: _Case) -> None:
    for depth in _depths(layer_groups(case.build())):
        model = case.build()
        groups = layer_groups(model)
        freeze(model, groups, depth=depth)
        model.train()
        keep_frozen_in_eval(model, groups, depth=depth)
        probe = case.inputs(seed=99)
        before, state = _prefix(model, case, groups, depth, probe), _state(model, groups, depth)
        _train(model, case, steps=2)
        after = _prefix(model, case, groups, depth, probe)
        assert before
        assert len(before) == len(after)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)), depth
        now = _state(model, groups, depth)
        assert all(torch.equal(state[name], now[name]) for name in state), depth


def test_frozen_prefix_of_one_example_does_not_depend_on_its_batch(
    case: _Case,
) -> None:
    model = case.build()
    groups = layer_groups(model)
    freeze(model, groups, depth=groups.count)
    probe = case.inputs(seed=99)
    with torch.no_grad():
        together = _prefix(model, case, groups, groups.count, probe)
        swapped = _prefix(model, case, groups, groups.count, _flipped(probe))
    # What has no row for each example (a table of relative positions) is the same as it was.
    pairs = zip(together, swapped, strict=True)
    assert all(torch.allclose(a, b.flip(0) if len(a) == 4 else b, atol=1e-5) for a, b in pairs)


def test_thawed_groups_and_the_head_do_train(case: _Case) -> None:
    model = case.build()
    groups = layer_groups(model)
    depth = groups.count // 2
    freeze(model, groups, depth=depth)
    model.train()
    keep_frozen_in_eval(model, groups, depth=depth)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    _train(model, case, steps=2)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    for names in (*groups.names[depth:], groups.head):
        assert changed & set(names), names
    assert not changed & set(groups.frozen_parameters(depth))


def test_unfrozen_model_is_random_in_training(case: _Case) -> None:
    model = case.build()
    groups = layer_groups(model)
    freeze(model, groups, depth=0)
    model.train()
    probe = case.inputs(seed=99)
    with torch.no_grad():
        assert not torch.equal(case.outputs(model, probe), case.outputs(model, probe))


def test_every_parameter_has_a_group_index_that_grows_to_the_head(case: _Case) -> None:
    model = case.expected()
    groups = layer_groups(model)
    index = groups.group_index_by_parameter()
    assert set(index) == {name for name, _ in model.named_parameters()}
    assert {index[name] for name in groups.head} == {groups.count}
    assert sorted(set(index.values())) == list(range(groups.count + 1))
