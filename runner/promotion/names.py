"""Names of registered models and their aliases."""

import re

from runner.errors import PromotionRefused


def require_names(model: str, alias: str) -> None:
    """Find out what MLflow would refuse at the very end, before anything is looked at.

    Raises:
        PromotionRefused: If a model or an alias cannot be called so.
    """
    if not model.strip() or set("/:") & set(model):
        raise PromotionRefused(f"--name {model}: a model's name has neither `/` nor `:`")
    is_kept = alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias)
    if is_kept or not re.fullmatch(r"[\w-]{1,255}", alias):
        raise PromotionRefused(
            f"--alias {alias}: has letters, digits, `_` and `-`, and is neither `latest` nor "
            "`v` with a number, which MLflow keeps for itself"
        )


def predict_command(model: str, example: str, *, alias: str, address: str | None) -> str:
    """What asks the model that has just been promoted; empty where nothing can.

    Args:
        model: The registered model.
        example: An input, as the command line has it; empty if it takes none.
        alias: What was moved to it.
        address: MLflow's, without secrets; None where `predict` looks there anyway.
    """
    if not example:
        return ""
    name = model if alias == "champion" else f"{model}@{alias}"
    where = "" if address is None else f" --tracking-uri {address}"
    return f"python -m runner predict {name} {example}{where}"
