"""The experiment: everything that one YAML file asks for, checked and complete."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from runner.errors import ExperimentError, Problem, nearest_spelling
from runner.experiment.checks import check_search
from runner.experiment.data_settings import DataSettings, LargestSeed
from runner.experiment.flaws import flaws_of
from runner.experiment.identity import identity_of
from runner.experiment.marks import MISSING, Flaw, Marks, dotted, key_path
from runner.experiment.recipe import SETTINGS, Recipe
from runner.experiment.scalars import Scalar
from runner.experiment.settings import ModelSettings, SearchSettings, TrackingSettings
from runner.experiment.space import Space

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_LISTED = 20


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "must be letters, digits, '.', '_' and '-', starting with a letter or digit, "
            "at most 100 long (it names folders)"
        )
    return value


class Experiment(BaseModel):
    """What was asked; the same for every trial of a study."""

    model_config = SETTINGS

    name: Annotated[
        str,
        AfterValidator(_name),
        Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$"}),
    ] = Field(description="Name of the experiment and its studies; also a folder's name.")
    description: str = Field("", description="What it is for, in a sentence or more.")
    seed: int = Field(0, ge=0, le=LargestSeed, description="Seed of the search and of training.")
    task: Literal["image_classification"] = Field(
        "image_classification", description="What is learnt."
    )
    data: DataSettings = Field(description="Where the examples come from.")
    model: ModelSettings = Field(description="Which model is fine-tuned.")
    train: Recipe = Field(default_factory=Recipe, description="How to train; see Recipe.")
    search: SearchSettings = Field(
        default_factory=SearchSettings, description="What is searched, how, and for how long."
    )
    tracking: TrackingSettings = Field(
        default_factory=TrackingSettings, description="Where MLflow keeps the runs."
    )

    _space: Space = PrivateAttr()
    _marks: Marks = PrivateAttr(default_factory=lambda: Marks("experiment"))
    _source_file: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _read_space(self) -> Self:
        space, flaws = check_search(
            space=self.search.space,
            train=self.train.model_dump(),
            first=self.search.first,
            sampler=self.search.sampler,
        )
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

    def recipe(self, params: Mapping[str, Scalar]) -> Recipe:
        """The recipe of one trial: `train` with the trial's own parameters on top.

        Raises:
            ExperimentError: If a parameter is not of the recipe, or outside its range.
        """
        try:
            return Recipe.model_validate({**self.train.model_dump(), **params})
        except ValidationError as err:
            flaws = flaws_of(err, Recipe.model_json_schema())
            marks = Marks("parameters of the trial")
            raise ExperimentError(marks.problem(flaw) for flaw in flaws) from err

    def resolved(self) -> dict[str, Any]:
        """Everything asked for, defaults included, JSON-able; itself a valid experiment file."""
        return self.model_dump(mode="json")

    @classmethod
    def from_resolved(cls, resolved: Mapping[str, object]) -> Self:
        """The experiment that `resolved()` described.

        Raises:
            ExperimentError: If it is not a valid experiment.
        """
        try:
            return cls.model_validate(dict(resolved))
        except ValidationError as err:
            marks = Marks("resolved experiment")
            flaws = flaws_of(err, experiment_schema())
            raise ExperimentError(marks.problem(flaw) for flaw in flaws) from err

    def identity(self) -> dict[str, Any]:
        """What makes two searches the same study: the resolved experiment without free keys."""
        return identity_of(self.resolved())

    def problem(
        self, key: str, rule: str, *, seen: object = MISSING, allowed: Iterable[str] = ()
    ) -> Problem:
        """A problem with one key, at the file and line where it was written.

        Args:
            key: Dotted key, e.g. `model.name`; if it was not written, its parent's line counts.
            rule: What is wrong, in one sentence.
            seen: The value seen; left out: what the experiment has at that key.
            allowed: The allowed words, for the rule and the nearest spelling.
        """
        path = key_path(key)
        value = self._at(key) if seen is MISSING or seen is None else seen
        words = list(allowed)
        if words:
            more = f" and {len(words) - _MOST_LISTED} more" if len(words) > _MOST_LISTED else ""
            rule = f"{rule}; allowed: {', '.join(words[:_MOST_LISTED])}{more}"
        near = nearest_spelling(value, words) if isinstance(value, str) else None
        return self._marks.problem(Flaw(path, rule, value, near))

    def loaded_from(self, source_file: Path, *, marks: Marks) -> Self:
        """This experiment, knowing its file and lines; paths in it made absolute."""
        here = self.model_copy(update=self._with_absolute_paths(source_file.parent))
        here._source_file = source_file
        here._marks = marks
        return here

    def _with_absolute_paths(self, base: Path) -> dict[str, object]:
        from runner.experiment.paths import absolute_data, absolute_weights

        return {
            "data": absolute_data(self.data, base),
            "model": absolute_weights(self.model, base),
        }

    def _at(self, key: str) -> object:
        value: object = self.resolved()
        for part in key_path(key):
            if (isinstance(value, Mapping) and part in value) or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
                value = value[part]
            else:
                return MISSING
        return value


def experiment_schema() -> dict[str, Any]:
    """JSON Schema of an experiment as the models have it (the published one adds the space)."""
    return cast(dict[str, Any], Experiment.model_json_schema())


__all__ = ["Experiment", "dotted", "experiment_schema"]
