"""One value against one key of the recipe, as the search space needs it."""

from functools import cache
from typing import Any

from pydantic import ValidationError

from runner.experiment.flaws import flaws_of
from runner.experiment.marks import Flaw
from runner.experiment.recipe import Recipe


@cache
def recipe_schema() -> dict[str, Any]:
    """JSON Schema of the recipe."""
    return Recipe.model_json_schema()


def flaw_of_value(name: str, value: object) -> Flaw | None:
    """Why a key of the recipe cannot have a value, its path empty; None if it can."""
    try:
        Recipe.model_validate({name: value})
    except ValidationError as err:
        flaw = flaws_of(err, recipe_schema())[0]
        return Flaw(flaw.path[1:], f"{name} {flaw.rule}", flaw.seen, flaw.nearest)
    return None
