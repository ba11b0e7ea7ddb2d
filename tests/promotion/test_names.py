"""Names of models and aliases, and the command that asks for what was promoted."""

from types import SimpleNamespace
from typing import Any

import pytest

from runner.errors import PromotionRefused
from runner.promotion.promote import _predict_command, _require_names


@pytest.mark.parametrize("alias", ["v2", "V10", "latest", "Latest", "", "a b", "a" * 256])
def test_alias_that_mlflow_refuses_is_refused_before_a_look(alias: str) -> None:
    """Fails where MLflow is asked at the end: the look was spent and a version registered."""
    with pytest.raises(PromotionRefused, match="which MLflow keeps for itself"):
        _require_names("cats", alias)


@pytest.mark.parametrize("name", ["a/b", "a:b", " "])
def test_model_s_name_that_mlflow_refuses_is_refused_before_a_look(name: str) -> None:
    with pytest.raises(PromotionRefused, match="neither `/` nor `:`"):
        _require_names(name, "champion")


@pytest.mark.parametrize("alias", ["champion", "staging", "v2_old", "version-2"])
def test_other_names_are_taken(alias: str) -> None:
    _require_names("cats and dogs", alias)


def test_command_asks_for_the_alias_and_the_server_of_the_promotion() -> None:
    """Fails where it always asks for the champion in the local store."""
    subject: Any = SimpleNamespace(example="photo.jpg")
    server: Any = SimpleNamespace(shown_uri="http://there:5000")
    asked = "python -m runner predict cats"
    assert _predict_command(subject, "cats", "champion", None) == f"{asked} photo.jpg"
    assert _predict_command(subject, "cats", "staging", server) == (
        f"{asked}@staging photo.jpg --tracking-uri http://there:5000"
    )
