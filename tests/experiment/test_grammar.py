"""The grammar of search spaces: what it gives, and every refusal."""

import pytest
import yaml

from runner.experiment import (
    ChoiceParameter,
    Comparison,
    Condition,
    FixedParameter,
    FloatParameter,
    IntParameter,
    Recipe,
)
from runner.experiment.document import parse_text
from runner.experiment.grammar import read_space
from runner.experiment.keys import keys_of
from runner.experiment.marks import Marks

RECIPE = Recipe().model_dump()
SGD = (Condition("optimizer", Comparison.IN, ("sgd",)),)


def read(text: str) -> object:
    return parse_text(text, shown="space.yaml")[0]


def refusals(text: str) -> list[str]:
    value, marks = parse_text(text, shown="s.yaml")
    assert isinstance(value, dict)
    _, flaws = read_space(value, RECIPE, keys=keys_of("image_classification"))
    return [str(marks.problem(flaw)).removeprefix("s.yaml:") for flaw in flaws]


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("learning_rate: {float: [1e-5, 1e-2], log: true}", FloatParameter(1e-5, 1e-2, log=True)),
        ("dropout: {float: [0, 0.5], step: 0.1}", FloatParameter(0.0, 0.5, step=0.1)),
        ("epochs: {int: [2, 6], step: 2}", IntParameter(2, 6, step=2)),
        ("epochs: {int: [1, 64], log: true}", IntParameter(1, 64, log=True)),
        ("freeze_depth: {int: [0, max]}", IntParameter(0, "max")),
        ("batch_size: {choice: [16, 32]}", ChoiceParameter((16, 32))),
        ("ema: {choice: [null, 0.99]}", ChoiceParameter((None, 0.99))),
        ("channels_last: {choice: [true, auto]}", ChoiceParameter((True, "auto"))),
        ("weight_decay: 0.01", FixedParameter(0.01)),
        ("freeze_depth: max", FixedParameter("max")),
        ("grad_clip: null", FixedParameter(None)),
        ("weight_decay: {fixed: 0, when: {optimizer: sgd}}", FixedParameter(0, SGD)),
        ("momentum: {float: [0.8, 0.9], when: {optimizer: sgd}}",
         FloatParameter(0.8, 0.9, when=SGD)),
        ("momentum: {float: [0.8, 0.9], when: {optimizer: [sgd, adam]}}",
         FloatParameter(0.8, 0.9, when=(Condition("optimizer", Comparison.IN, ("sgd", "adam")),))),
        ("layer_decay: {float: [0.6, 1.0], when: {freeze_depth: {above: 0, below: max}}}",
         FloatParameter(0.6, 1.0, when=(Condition("freeze_depth", Comparison.ABOVE, (0,)),
                                        Condition("freeze_depth", Comparison.BELOW, ("max",))))),
        ("warmup: {float: [0, 0.2], when: {schedule: {not: constant}}}",
         FloatParameter(0, 0.2, when=(Condition("schedule", Comparison.NOT, ("constant",)),))),
    ],
)  # fmt: skip
def test_read_space_of_a_form_gives_its_parameter(text: str, parameter: object) -> None:
    value = read(text)
    assert isinstance(value, dict)
    space, flaws = read_space(value, RECIPE, keys=keys_of("image_classification"))
    assert flaws == []
    assert list(space.parameters.values()) == [parameter]
    again, flaws = read_space(
        yaml.safe_load(yaml.safe_dump(space.to_dict())),
        RECIPE,
        keys=keys_of("image_classification"),
    )
    assert (again, flaws) == (space, [])


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("learnin_rate: 1", "'learning_rate'?"),
        ("dropout: {float: [0, 1.5]}", "1: dropout.float.1: dropout must be a number, at least 0, "
         "below 1 (seen: 1.5)"),
        ("dropout: 1.5", "1: dropout: dropout must be a number, at least 0, below 1 (seen: 1.5)"),
        ("optimizer: {choice: [adamw, sdg]}", "1: optimizer.choice.1: optimizer must be 'adamw', "
         "'sgd' or 'adam' (seen: 'sdg'); did you mean 'sgd'?"),
        ("epochs: {float: [1.0, 3]}", "1: epochs.float.0: epochs must be a whole number, at "
         "least 1, at most 100,000 (seen: 1.0)"),
        ("epochs: '3'", "1: epochs: epochs must be a whole number, at least 1, at most 100,000 "
         "(seen: '3')"),
        ("epochs: {int: [1, 2.5]}", "1: epochs.int.1: must be a whole number (seen: 2.5)"),
        ("epochs: {int: [1, max]}", "1: epochs.int.1: max is the model's number of layer groups; "
         "only freeze_depth has it (seen: 'max')"),
        ("epochs: {int: 5}", "1: epochs.int: must be a list of two: [low, high] (seen: 5)"),
        ("epochs: {int: [5, 5]}", "1: epochs.int: the lower end must be below the upper; for one "
         "value, write it bare (seen: [5, 5])"),
        ("epochs: {int: [2, 7], step: 2}", "1: epochs.int: the upper end is not reached from 2 in "
         "steps of 2 (seen: [2, 7])"),
        ("dropout: {float: [0.0, 0.5], step: 0.3}", "1: dropout.float: the upper end is not "
         "reached from 0.0 in steps of 0.3 (seen: [0.0, 0.5])"),
        ("dropout: {float: [0.0, 0.5], step: 0}", "1: dropout.step: must be a finite number "
         "above 0 (seen: 0)"),
        ("dropout: {float: [0.0, 0.5], step: .nan}", "1: dropout.step: must be a finite number "
         "above 0 (seen: nan)"),
        ("dropout: {float: [0.0, 0.5], step: .inf}", "1: dropout.step: must be a finite number "
         "above 0 (seen: inf)"),
        ("epochs: {int: [1, 5], step: 0.5}", "1: epochs.step: must be a whole number, at least 1 "
         "(seen: 0.5)"),
        ("weight_decay: {float: [0, 1], log: true}", "1: weight_decay.float: with log: true the "
         "lower end must be above 0 (seen: [0.0, 1.0])"),
        ("warmup: {float: [0.1, 0.5], log: true, step: 0.1}", "1: warmup.step: log and step "
         "exclude each other (seen: 0.1)"),
        ("warmup: {float: [0.1, 0.5], log: yes}", "1: warmup.log: must be true or false (seen: "
         "'yes')"),
        ("warmup: {float: [0.1, 0.5], lag: true}", "1: warmup.lag: unknown key; beside float "
         "there may be log, step, when; did you mean 'log'?"),
        ("warmup: {choice: [0.1], log: true}", "1: warmup.log: unknown key; beside choice there "
         "may be when"),
        ("batch_size: [16, 32]", "1: batch_size: must be a value, or one of {float: [low, high]}, "
         "{int: [low, high]}, {choice: [...]}; for a choice write {choice: [...]} (seen: [16, "
         "32])"),
        ("batch_size: {choices: [16]}", "1: batch_size: needs exactly one of float, int, choice, "
         "fixed; it must be a value, or one of {float: [low, high]}, {int: [low, high]}, "
         "{choice: [...]}; did you mean 'choice'?"),
        ("batch_size: {choice: []}", "1: batch_size.choice: must be a list of at least one value "
         "(seen: [])"),
        ("batch_size: {choice: [16, 16]}", "1: batch_size.choice.1: is listed twice (seen: 16)"),
        ("batch_size: {choice: [[16]]}", "1: batch_size.choice.0: batch_size must be a whole "
         "number, at least 1, at most 65,536 (seen: [16])"),
        ("momentum: {fixed: 0.9, when: sgd}", "1: momentum.when: must be a mapping such as "
         "{optimizer: sgd} or {freeze_depth: {below: max}} (seen: 'sgd')"),
        ("momentum: {fixed: 0.9, when: {optimiser: sgd}}", "1: momentum.when.optimiser: a "
         "condition may name only a parameter of the space or a key of `train` (seen: "
         "'optimiser'); did you mean 'optimizer'?"),
        ("momentum: {fixed: 0.9, when: {optimizer: sdg}}", "1: momentum.when.optimizer: optimizer "
         "must be 'adamw', 'sgd' or 'adam' (seen: 'sdg'); did you mean 'sgd'?"),
        ("momentum: {fixed: 0.9, when: {optimizer: {is: sgd}}}", "1: momentum.when.optimizer.is: "
         "unknown comparison; there are not, below and above (seen: 'is')"),
        ("momentum: {fixed: 0.9, when: {optimizer: {above: 3}}}", "1: "
         "momentum.when.optimizer.above: optimizer is not a number, so nothing is below or above "
         "it (seen: 3)"),
        ("momentum: {fixed: 0.9, when: {epochs: {above: many}}}", "1: momentum.when.epochs.above: "
         "must be a finite number (or, for freeze_depth, max) (seen: 'many')"),
        ("layer_decay: {float: [0.6, 1.0], when: {freeze_depth: {below: .nan}}}", "1: "
         "layer_decay.when.freeze_depth.below: must be a finite number (or, for freeze_depth, "
         "max) (seen: nan)"),
        ("momentum: {fixed: 0.9, when: {epochs: {above: [1, 2]}}}", "1: "
         "momentum.when.epochs.above: must be one number (seen: [1, 2])"),
        ("momentum: {fixed: 0.9, when: {epochs: {}}}", "1: momentum.when.epochs: must be a value, "
         "a list of values, or not, below or above"),
        ("momentum: {fixed: 0.9, when: {epochs: []}}", "1: momentum.when.epochs: must list at "
         "least one value"),
        ("optimizer: {choice: [adam, adamw]}\nmomentum: {fixed: 0.9, when: {optimizer: sgd}}",
         "2: momentum.when.optimizer: never happens: in this space optimizer is one of 'adam', "
         "'adamw' (seen: 'sgd')"),
        ("epochs: {fixed: 3, when: {epochs: 3}}", "1: epochs.when: its conditions go round in a "
         "circle: epochs -> epochs"),
        ("epochs: {int: [1, 3], when: {warmup: {above: 0}}}\n"
         "warmup: {float: [0, 0.5], when: {epochs: 3}}",
         "1: epochs.when: its conditions go round in a circle: epochs -> warmup -> epochs"),
        ("epochs: {float: [1, 9]}", "1: epochs.float: epochs must be a whole number, at least 1, "
         "at most 100,000 (seen: 1.0)"),
    ],
)  # fmt: skip
def test_read_space_of_a_wrong_form_says_what_and_where(text: str, refusal: str) -> None:
    (message,) = refusals(text)
    if refusal.endswith("'learning_rate'?"):
        assert message.startswith("1: learnin_rate: is not a key of `train`; the space may vary")
        assert message.endswith("did you mean 'learning_rate'?")
    else:
        assert message == refusal


def test_read_space_names_every_flaw_and_keeps_the_sound_parameters() -> None:
    text = "dropout: {float: [-1, 2], step: x}\nepochs: 3\nmixup: {choice: [a, b], when: 3}\n"
    value = read(text)
    assert isinstance(value, dict)
    space, flaws = read_space(value, RECIPE, keys=keys_of("image_classification"))
    keys = [Marks("f").problem(flaw).key for flaw in flaws]
    assert keys == ["dropout.float.0", "dropout.float.1", "dropout.step",
                    "mixup.when", "mixup.choice.0", "mixup.choice.1"]  # fmt: skip
    assert space.parameters == {"epochs": FixedParameter(3)}


def test_read_space_puts_parents_before_what_depends_on_them() -> None:
    value = read(
        "layer_decay: {float: [0.6, 1.0], when: {freeze_depth: {below: max}}}\n"
        "drop_path: {float: [0.0, 0.2], when: {layer_decay: {below: 0.9}}}\n"
        "epochs: 3\n"
        "freeze_depth: {int: [0, max]}\n"
    )
    assert isinstance(value, dict)
    space, flaws = read_space(value, RECIPE, keys=keys_of("image_classification"))
    assert flaws == []
    assert list(space.parameters) == ["epochs", "freeze_depth", "layer_decay", "drop_path"]


def test_read_space_keeps_the_recipe_values_that_conditions_name() -> None:
    value = {"momentum": {"float": [0.8, 0.9], "when": {"optimizer": "sgd"}}}
    space, _ = read_space(
        value, {**RECIPE, "optimizer": "adam"}, keys=keys_of("image_classification")
    )
    assert space.outside == {"optimizer": "adam"}
    assert not space.is_active("momentum", {})
    space, _ = read_space(
        value, {**RECIPE, "optimizer": "sgd"}, keys=keys_of("image_classification")
    )
    assert space.is_active("momentum", {})
