"""What a space answers: bounds, conditions, points, grids."""

import pickle

import pytest

from runner.experiment import (
    ChoiceParameter,
    Comparison,
    Condition,
    FixedParameter,
    FloatParameter,
    IntParameter,
    Space,
)

BELOW_MAX = (Condition("freeze_depth", Comparison.BELOW, ("max",)),)
IF_SGD = (Condition("optimizer", Comparison.IN, ("sgd",)),)
SPACE = Space(
    {
        "learning_rate": FloatParameter(1e-4, 1e-2, log=True),
        "freeze_depth": IntParameter(0, "max"),
        "layer_decay": FloatParameter(0.6, 1.0, step=0.2, when=BELOW_MAX),
        "optimizer": ChoiceParameter(("sgd", "adamw")),
        "momentum": FloatParameter(0.8, 0.9, when=IF_SGD),
    }
)


def test_bind_replaces_max_in_ranges_choices_values_and_conditions() -> None:
    space = Space(
        {
            "freeze_depth": IntParameter(0, "max"),
            "layer_decay": FloatParameter(0.6, 1.0, when=BELOW_MAX),
        },
        {"freeze_depth": "max"},
    ).bind(5)
    assert space.parameters["freeze_depth"] == IntParameter(0, 5)
    assert space.parameters["layer_decay"].when[0].values == (5,)
    assert space.outside == {"freeze_depth": 5}
    assert Space({"freeze_depth": FixedParameter("max")}).bind(5).grid_size() == 1
    choice = Space({"freeze_depth": ChoiceParameter((0, 5, "max"))}).bind(5)
    assert choice.parameters["freeze_depth"] == ChoiceParameter((0, 5))


def test_bind_with_a_step_ends_at_the_last_value_it_reaches() -> None:
    space = Space({"freeze_depth": IntParameter(1, "max", step=2)})
    assert space.bind(6).parameters["freeze_depth"] == IntParameter(1, 5, step=2)


def test_bind_to_a_model_with_too_few_groups_names_the_parameter() -> None:
    space = Space({"freeze_depth": IntParameter(4, "max")})
    with pytest.raises(ValueError, match=r"freeze_depth starts at 4, but the model has only 3"):
        space.bind(3)


@pytest.mark.parametrize(
    ("params", "is_active"),
    [({"freeze_depth": 4}, True), ({"freeze_depth": 5}, False), ({}, False)],
)
def test_is_active_follows_the_parent(params: dict[str, int], is_active: bool) -> None:
    assert SPACE.bind(5).is_active("layer_decay", params) is is_active


def test_is_active_before_binding_knows_max_as_the_largest() -> None:
    assert SPACE.is_active("layer_decay", {"freeze_depth": 100})
    assert not SPACE.is_active("layer_decay", {"freeze_depth": "max"})


@pytest.mark.parametrize(
    ("comparison", "values", "value", "holds"),
    [
        (Comparison.IN, (1,), 1.0, True),
        (Comparison.IN, (1,), True, False),
        (Comparison.IN, (True,), True, True),
        (Comparison.NOT, ("a", "b"), "b", False),
        (Comparison.NOT, ("a", "b"), None, True),
        (Comparison.BELOW, (2,), 1, True),
        (Comparison.BELOW, (2,), 2, False),
        (Comparison.ABOVE, (2,), 3, True),
        (Comparison.ABOVE, (2,), None, False),
        (Comparison.BELOW, (2,), None, False),
        (Comparison.ABOVE, (0,), True, False),
    ],
)
def test_holds_compares_as_the_grammar_says(
    comparison: Comparison, values: tuple[int, ...], value: object, holds: bool
) -> None:
    assert Condition("x", comparison, values).holds(value) is holds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("params", "messages"),
    [
        ({}, []),
        ({"learning_rate": 1e-3, "freeze_depth": 5, "optimizer": "adamw"}, []),
        ({"freeze_depth": "max", "momentum": 0.85}, []),
        ({"learning_rate": 1}, ["learning_rate: must lie between 0.0001 and 0.01, not 1.0"]),
        ({"learning_rate": "x"}, ["learning_rate: must be a number, not 'x'"]),
        ({"freeze_depth": 9}, ["freeze_depth: must lie between 0 and 5, not 9"]),
        ({"freeze_depth": 2.0}, ["freeze_depth: must be a whole number, not 2.0"]),
        ({"optimizer": "sdg"}, ["optimizer: must be one of 'sgd', 'adamw', not 'sdg'; did you "
                                "mean 'sgd'?"]),
        ({"layer_decay": 0.7}, ["layer_decay: must be 0.6 plus a multiple of 0.2, not 0.7"]),
        ({"layer_decay": 0.8, "freeze_depth": "max"},
         ["layer_decay: is only used when freeze_depth is below 5; leave it out"]),
        ({"optimizer": "adamw", "momentum": 0.85},
         ["momentum: is only used when optimizer is 'sgd'; leave it out"]),
        ({"epochs": 3}, ["epochs: is not in the space; set it under `train`, or add it to the "
                         "space"]),
        ({"optimiser": "sgd", "momentum": True},
         ["optimiser: is not in the space; did you mean 'optimizer'?",
          "momentum: must be a number, not true"]),
    ],
)  # fmt: skip
def test_check_point_names_everything_that_is_wrong(
    params: dict[str, object], messages: list[str]
) -> None:
    assert SPACE.bind(5).check_point(params) == messages  # type: ignore[arg-type]


def test_check_point_of_a_fixed_parameter_allows_its_value_only() -> None:
    space = Space({"epochs": FixedParameter(3)})
    assert space.check_point({"epochs": 3}) == []
    assert space.check_point({"epochs": 4}) == ["epochs: is fixed at 3 in the space, not 4"]


def test_as_point_gives_the_types_of_the_space() -> None:
    point = SPACE.bind(5).as_point({"freeze_depth": "max", "learning_rate": 1, "other": 1})
    assert point == {"freeze_depth": 5, "learning_rate": 1.0, "other": 1}
    assert isinstance(point["learning_rate"], float)
    assert SPACE.as_point({"freeze_depth": "max"}) == {"freeze_depth": "max"}


def test_grid_of_floats_with_steps_has_no_rounding() -> None:
    assert FloatParameter(0.0, 0.3, step=0.1).values() == (0.0, 0.1, 0.2, 0.3)


def test_grid_holds_each_setting_once_and_leaves_unused_parameters_out() -> None:
    space = Space(
        {
            "schedule": ChoiceParameter(("cosine", "constant")),
            "epochs": IntParameter(1, 3),
            "warmup": ChoiceParameter(
                (0.0, 0.1), when=(Condition("schedule", Comparison.NOT, ("constant",)),)
            ),
        }
    )
    grid = list(space.grid())
    assert len(grid) == space.grid_size() == 2 * 3 + 3
    assert grid[0] == {"schedule": "cosine", "epochs": 1, "warmup": 0.0}
    assert grid[-1] == {"schedule": "constant", "epochs": 3}
    assert [setting for n, setting in enumerate(grid) if setting in grid[:n]] == []


def test_grid_size_of_a_large_free_space_is_counted_without_listing_it() -> None:
    names = ["epochs", "batch_size", "freeze_depth", "unfreeze_every", "early_stopping"]
    space = Space({name: IntParameter(1, 1000) for name in names})
    assert space.grid_size() == 1000**5


def test_grid_without_a_list_of_values_is_refused_with_the_parameter() -> None:
    assert SPACE.bind(5).grid_size() is None
    assert Space({"freeze_depth": IntParameter(0, "max")}).grid_size() is None
    with pytest.raises(ValueError, match="learning_rate has no grid: it needs a step, or a choic"):
        SPACE.grid()


def test_space_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(SPACE)) == SPACE
