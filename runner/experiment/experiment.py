"""The experiment: everything that one YAML file asks for, checked and complete."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from runner.errors import ExperimentError, Problem, nearest_spelling
from runner.experiment.checks import check_whole
from runner.experiment.data_settings import DataSettings
from runner.experiment.example_settings import LargestSeed
from runner.experiment.flaws import flaws_of
from runner.experiment.identity import identity_of
from runner.experiment.keys import TaskKeys, keys_of
from runner.experiment.marks import MISSING, Flaw, KeyPath, Marks, key_path
from runner.experiment.names import NAME, is_name
from runner.experiment.paths import (
    absolute_data,
    absolute_environment,
    absolute_function,
    absolute_weights,
    data_at,
    function_at,
    model_at,
)
from runner.experiment.population import PBT
from runner.experiment.ray_settings import RaySettings
from runner.experiment.recipe import SETTINGS, Recipe
from runner.experiment.recipe_fields import recipe_schema
from runner.experiment.scalars import Scalar
from runner.experiment.settings import (
    ModelSettings,
    ReuseSettings,
    SearchSettings,
    TrackingSettings,
)
from runner.experiment.space import Space
from runner.experiment.task_forms import CUSTOM, TASK_FORMS, Direction, TaskForm

_FUNCTION = re.compile(r".+\.py:[A-Za-z_][A-Za-z0-9_]*")
_MOST_LISTED = 20


def _name(value: str) -> str:
    if not is_name(value):
        raise ValueError(
            "must be letters, digits, '.', '_' and '-', starting with a letter or digit, "
            "at most 100 long (it names folders)"
        )
    return value


def _function(value: str) -> str:
    if not _FUNCTION.fullmatch(value):
        raise ValueError("must be a Python file and a function in it: my_train.py:objective")
    return value


Function = Annotated[
    str,
    AfterValidator(_function),
    Field(json_schema_extra={"pattern": f"^{_FUNCTION.pattern}$"}),
]
Parameters = dict[str, bool | int | float | str | None]


class Experiment(BaseModel):
    """What was asked; the same for every trial of a study."""

    model_config = SETTINGS

    name: Annotated[
        str,
        AfterValidator(_name),
        Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"}),
    ] = Field(description="Name of the experiment and its studies; also a folder's name.")
    description: str = Field("", description="What it is for, in a sentence or more.")
    seed: int = Field(0, ge=0, le=LargestSeed, description="Seed of the search and of training.")
    task: Literal[
        "image_classification",
        "image_multilabel",
        "image_regression",
        "text_classification",
        "text_multilabel",
        "text_regression",
        "token_classification",
        "custom",
    ] = Field("image_classification", description="What is learnt (see The tasks).")
    # None only with task: custom, whose code knows its own data and model.
    data: DataSettings = Field(  # type: ignore[assignment]
        None,
        description="Where the examples come from; `source` says which of the kinds below. "
        "Required, but not with task: custom.",
    )
    model: ModelSettings = Field(  # type: ignore[assignment]
        None,
        description="The model to fine-tune, and its first weights. Required, but not with task: "
        "custom.",
    )
    train: Recipe = Field(
        default_factory=Recipe, description="The training recipe that every trial starts from."
    )
    objective: Function | None = Field(
        None,
        description="task: custom: the function that trains one trial, as file.py:function; the "
        "file is relative to the experiment file.",
    )
    command: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = Field(
        None,
        description="task: custom: a command that trains one trial, as a list; {name} stands for "
        "a parameter's value; it is run in the experiment file's folder.",
    )
    evaluate: Function | None = Field(
        None,
        description="task: custom: the function that measures a trial on test data when it is "
        "promoted, as file.py:function; null: promotion goes by the search metric.",
    )
    params: Parameters = Field(
        default_factory=dict,
        description="task: custom: the parameters that every trial starts from.",
    )
    search: SearchSettings = Field(
        default_factory=SearchSettings,
        description="What is varied between trials, how it is chosen, and the budget.",
    )
    reuse: ReuseSettings = Field(
        default_factory=ReuseSettings,
        description="Which work trials share, and how much room that may take.",
    )
    ray: RaySettings = Field(
        default_factory=RaySettings,
        description="With `--backend ray`: which cluster, and what one trial takes of it.",
    )
    tracking: TrackingSettings = Field(
        default_factory=TrackingSettings,
        description="Where the runs are kept, and how much of each.",
    )

    _space: Space = PrivateAttr()
    _marks: Marks = PrivateAttr(default_factory=lambda: Marks("experiment"))
    _source_file: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _read_space(self) -> Self:
        space, flaws = check_whole(self._as_written())
        if space is None:
            marks = Marks("search")
            raise ValueError("\n".join(str(marks.problem(flaw)) for flaw in flaws))
        self._space = space
        return self

    @property
    def space(self) -> Space:
        """The search space, not yet bound to a model's number of layer groups."""
        return self._space

    @property
    def source_file(self) -> Path | None:
        """The file it was loaded from, absolute; None if it was not loaded from a file."""
        return self._source_file

    @property
    def form(self) -> TaskForm:
        """The task: what it takes, how its examples are labelled, what it reports."""
        return TASK_FORMS[self.task]

    @property
    def keys(self) -> TaskKeys:
        """What the task's trials may set."""
        return keys_of(self.task)

    @property
    def is_custom(self) -> bool:
        """Whether the objective is the user's own."""
        return self.task == CUSTOM

    @property
    def metric(self) -> str:
        """The validation metric that is searched on."""
        return self.search.metric or self.form.default_metric or ""

    @property
    def direction(self) -> Direction:
        """Which way the metric is better."""
        return self.search.direction or self.form.metrics[self.metric]

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """With pbt: the epochs after which each segment begins and ends; otherwise none."""
        if self.search.sampler != PBT:
            return ()
        epochs = self.train.epochs
        length = self.search.segment or -(-epochs // 10)
        return tuple((at, min(at + length, epochs)) for at in range(0, epochs, length))

    @property
    def trials(self) -> int:
        """How many trials the study has; with pbt each segment of each member is one."""
        return self.search.trials * max(1, len(self.segments))

    def recipe(self, params: Mapping[str, Scalar]) -> Recipe:
        """The recipe of one trial: `train` with the trial's own parameters on top.

        Raises:
            ExperimentError: If a parameter is not of the recipe, or outside its range.
        """
        try:
            return Recipe.model_validate({**self.train.model_dump(), **params})
        except ValidationError as err:
            flaws = flaws_of(err, recipe_schema())
            marks = Marks("parameters of the trial")
            raise ExperimentError(marks.problem(flaw) for flaw in flaws) from err

    def settings(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Everything that one trial is set to: the recipe's keys that its task has, or `params`.

        Raises:
            ExperimentError: As `recipe`.
        """
        if self.is_custom:
            return {**self.params, **params}
        return self.keys.applied(self.recipe(params).model_dump(mode="json"))

    def epochs(self, params: Mapping[str, Scalar]) -> int | None:
        """The last step that a trial with these parameters reports; None if it is not known."""
        # Said for this purpose, so it wins over a parameter that happens to be called epochs.
        asked = self.search.max_steps or self.settings(params).get("epochs")
        return asked if isinstance(asked, int) and not isinstance(asked, bool) else None

    def resolved(self) -> dict[str, Any]:
        """Everything asked for, defaults included, JSON-able; itself a valid experiment file."""
        resolved = self._as_written()
        # The space and points in one spelling, so that 1 and 1.0 are the same experiment.
        search = resolved["search"]
        search["space"] = self._space.to_dict()
        search["first"] = [self._space.as_point(p) for p in search["first"]]
        search["metric"], search["direction"] = self.metric, self.direction
        return resolved

    def _as_written(self) -> dict[str, Any]:
        """The experiment as a file might have it: without the parts that its task has not."""
        absent = (
            {"train", "reuse"}
            if self.is_custom
            else {"objective", "command", "evaluate", "params"}
        )
        absent |= {name for name in ("data", "model") if getattr(self, name) is None}
        return self.model_dump(mode="json", exclude=absent)

    @classmethod
    def from_resolved(cls, resolved: Mapping[str, object], *, folder: Path | None = None) -> Self:
        """The experiment that `resolved()` described.

        Args:
            resolved: What it gave.
            folder: Of the file that it was loaded from: where a command runs. None: not known,
                and the working directory takes its place.
        Raises:
            ExperimentError: If it is not a valid experiment.
        """
        try:
            experiment = cls.model_validate(dict(resolved))
            experiment._source_file = folder and folder / f"{experiment.name}.yaml"
            return experiment
        except ValidationError as err:
            marks = Marks("resolved experiment")
            flaws = flaws_of(err, experiment_schema())
            raise ExperimentError(marks.problem(flaw) for flaw in flaws) from err

    def identity(self) -> dict[str, Any]:
        """What makes two searches the same study: the resolved experiment without free keys."""
        return identity_of(self.resolved())

    def problem(
        self, key: str, rule: str, *, seen: object = None, allowed: Iterable[str] = ()
    ) -> Problem:
        """A problem with one key, at the file and line where it was written.

        Args:
            key: Dotted key, e.g. `model.name`; if it was not written, its parent's line counts.
            rule: What is wrong, in one sentence.
            seen: The value seen; None: what the experiment has at that key.
            allowed: The allowed words, for the rule and the nearest spelling.
        """
        path = key_path(key)
        value = self._at(path) if seen is None else seen
        words = list(allowed)
        if words:
            more = f" and {len(words) - _MOST_LISTED} more" if len(words) > _MOST_LISTED else ""
            rule = f"{rule}; allowed: {', '.join(words[:_MOST_LISTED])}{more}"
        near = nearest_spelling(value, words) if isinstance(value, str) else None
        return self._marks.problem(Flaw(path, rule, value, near))

    def loaded_from(self, source_file: Path, *, marks: Marks) -> Self:
        """This experiment, knowing its file and lines; paths in it made absolute."""
        base = source_file.parent
        paths: dict[str, object] = {
            name: absolute_function(function, base)
            for name, function in (("objective", self.objective), ("evaluate", self.evaluate))
            if function is not None
        }
        environment = absolute_environment(self.ray.runtime_env, base)
        paths["ray"] = self.ray.model_copy(update={"runtime_env": environment})
        if not self.is_custom:
            paths["data"] = absolute_data(self.data, base)
            paths["model"] = absolute_weights(self.model, base)
        here = self.model_copy(update=paths)
        here._source_file = source_file
        here._marks = marks
        return here

    def relocated(self, places: Mapping[str, str]) -> Self:
        """This experiment on a machine where files that it names lie elsewhere.

        Args:
            places: Where each lies there, by its path here; of an objective of one's own, where
                its folder lies. What is not listed is where it was.
        """

        def where(path: str) -> str:
            return places.get(path, path)

        changed: dict[str, object] = {
            name: function_at(function, where)
            for name, function in (("objective", self.objective), ("evaluate", self.evaluate))
            if function is not None
        }
        if not self.is_custom:
            changed["data"] = data_at(self.data, where)
            changed["model"] = model_at(self.model, where)
        there = self.model_copy(update=changed)
        file = self._source_file
        there._source_file = file and Path(where(str(file.parent)), file.name)
        return there

    def _at(self, path: KeyPath) -> object:
        value: Any = self.resolved()
        for part in path:
            is_item = isinstance(value, list) and isinstance(part, int) and part < len(value)
            if not is_item and not (isinstance(value, dict) and part in value):
                return MISSING
            value = value[part]
        return value


@cache
def experiment_schema() -> dict[str, Any]:
    """JSON Schema of an experiment as the models have it (the published one adds the space)."""
    return Experiment.model_json_schema()
