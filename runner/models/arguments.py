"""Arguments of timm.create_model that no experiment sets, and why."""

# Set by the runner itself; an experiment that sets them too would contradict it.
_RESERVED = {
    "model_name": "set model.name",
    "num_classes": "the data's classes decide it",
    "in_chans": "images are RGB",
    "drop_rate": "set train.dropout",
    "drop_path_rate": "set train.drop_path",
    "features_only": "a classifier is needed",
}
# They load files whose content would be in no fingerprint of the weights.
_LOADING = ("checkpoint_path", "cache_dir", "state_dict")
# pretrained, pretrained_cfg and the others that timm calls so: all say where weights come from.
_LOADING_PREFIX = "pretrained"


def is_loading(argument: str) -> bool:
    """Whether an argument has timm load something."""
    return argument in _LOADING or argument.startswith(_LOADING_PREFIX)


def why_reserved(argument: str) -> str | None:
    """Why an experiment may not set an argument; None if it may."""
    return "model.weights decides it" if is_loading(argument) else _RESERVED.get(argument)
