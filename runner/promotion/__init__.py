"""From a trial to a served model: test-set evaluation, the gate, the registry, prediction.

Cheap to import: what needs torch and MLflow is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.promotion.form import Form
    from runner.promotion.inputs import InputFile
    from runner.promotion.predicting import predict
    from runner.promotion.promote import Promotion, promote

_HEAVY = {
    "Form": "form",
    "InputFile": "inputs",
    "Promotion": "promote",
    "predict": "predicting",
    "promote": "promote",
}

__all__ = ["Form", "InputFile", "Promotion", "predict", "promote"]


def __getattr__(name: str) -> Any:
    if name in _HEAVY:
        value = getattr(import_module(f"runner.promotion.{_HEAVY[name]}"), name)
        # Importing the module `promote` has put it here; the function is what is meant.
        globals()[name] = value
        return value
    raise AttributeError(f"module 'runner.promotion' has no attribute {name!r}")
