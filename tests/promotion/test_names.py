"""Names of models and aliases, and the command that asks for what was promoted."""

import pytest

from runner.errors import PromotionRefused
from runner.promotion.names import predict_command, require_names


@pytest.mark.parametrize("alias", ["v2", "V10", "latest", "Latest", "", "a b", "a" * 256])
def test_alias_that_mlflow_refuses_is_refused_before_a_look(alias: str) -> None:
    """Fails where MLflow is asked at the end: the look was spent and a version registered."""
    with pytest.raises(PromotionRefused, match="which MLflow keeps for itself"):
        require_names("cats", alias)


@pytest.mark.parametrize("name", ["a/b", "a:b", " "])
def test_model_s_name_that_mlflow_refuses_is_refused_before_a_look(name: str) -> None:
    with pytest.raises(PromotionRefused, match="neither `/` nor `:`"):
        require_names(name, "champion")


@pytest.mark.parametrize("alias", ["champion", "staging", "v2_old", "version-2"])
def test_other_names_are_taken(alias: str) -> None:
    require_names("cats and dogs", alias)


def test_command_asks_for_the_alias_and_the_server_of_the_promotion() -> None:
    """Fails where it always asks for the champion in the local store."""
    asked = "python -m runner predict cats"
    assert predict_command("cats", "photo.jpg", alias="champion", address=None) == (
        f"{asked} photo.jpg"
    )
    there = predict_command("cats", "photo.jpg", alias="staging", address="http://there:5000")
    assert there == f"{asked}@staging photo.jpg --tracking-uri http://there:5000"
    assert predict_command("cats", "", alias="champion", address=None) == ""
