"""WHAT was asked: the experiment file, its schema, the search-space grammar, the store's layout.

Imports pydantic, PyYAML and the standard library only, so that a wrong file is refused at once.
"""

from runner.experiment.addresses import is_address
from runner.experiment.conditions import Comparison, Condition
from runner.experiment.data_settings import (
    BundledData,
    ConllData,
    DataSettings,
    FolderData,
    HuggingFaceData,
    ManifestData,
    TableData,
    TorchvisionData,
)
from runner.experiment.disk import (
    discard,
    drop_unfinished,
    free_bytes,
    is_of_the_disk,
    is_refusal,
    link_or_copy,
    refusals,
    refused,
    replacing,
    require_writable,
    sync,
    write_whole,
    writing,
)
from runner.experiment.durations import duration_s
from runner.experiment.example_settings import (
    CleaningSettings,
    CommonDataSettings,
    ImageDataSettings,
    RowLabelSettings,
    SplitSettings,
    TextDataSettings,
)
from runner.experiment.experiment import Experiment
from runner.experiment.identity import FREE_KEYS, is_free
from runner.experiment.json_text import json_text
from runner.experiment.loading import load_experiment
from runner.experiment.masking import first_line, without_secrets
from runner.experiment.names import is_name
from runner.experiment.parameters import (
    ChoiceParameter,
    FixedParameter,
    FloatParameter,
    IntParameter,
    Parameter,
)
from runner.experiment.paths import data_paths, model_paths
from runner.experiment.population import PBT
from runner.experiment.ray_settings import RaySettings
from runner.experiment.recipe import MAX, Recipe
from runner.experiment.scalars import Scalar
from runner.experiment.settings import (
    ModelSettings,
    ReuseSettings,
    SearchSettings,
    TrackingSettings,
)
from runner.experiment.space import Space
from runner.experiment.store import HOME_VARIABLE, STORAGE_VARIABLE, Store
from runner.experiment.task_forms import (
    CUSTOM,
    TASK_FORMS,
    Direction,
    LabelKind,
    Modality,
    TaskForm,
)
from runner.experiment.words import parse_setting, parse_size

__all__ = [
    "CUSTOM",
    "FREE_KEYS",
    "HOME_VARIABLE",
    "MAX",
    "PBT",
    "STORAGE_VARIABLE",
    "TASK_FORMS",
    "BundledData",
    "ChoiceParameter",
    "CleaningSettings",
    "CommonDataSettings",
    "Comparison",
    "Condition",
    "ConllData",
    "DataSettings",
    "Direction",
    "Experiment",
    "FixedParameter",
    "FloatParameter",
    "FolderData",
    "HuggingFaceData",
    "ImageDataSettings",
    "IntParameter",
    "LabelKind",
    "ManifestData",
    "Modality",
    "ModelSettings",
    "Parameter",
    "RaySettings",
    "Recipe",
    "ReuseSettings",
    "RowLabelSettings",
    "Scalar",
    "SearchSettings",
    "Space",
    "SplitSettings",
    "Store",
    "TableData",
    "TaskForm",
    "TextDataSettings",
    "TorchvisionData",
    "TrackingSettings",
    "data_paths",
    "discard",
    "drop_unfinished",
    "duration_s",
    "first_line",
    "free_bytes",
    "is_address",
    "is_free",
    "is_name",
    "is_of_the_disk",
    "is_refusal",
    "json_text",
    "link_or_copy",
    "load_experiment",
    "model_paths",
    "parse_setting",
    "parse_size",
    "refusals",
    "refused",
    "replacing",
    "require_writable",
    "sync",
    "without_secrets",
    "write_whole",
    "writing",
]
