"""Which models there are: timm's registry, and the names it can be asked by."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import timm
from timm.models import (
    get_arch_pretrained_cfgs,
    get_pretrained_cfg,
    is_model,
    split_model_name_tag,
)

from runner.errors import nearest_spelling

HUB_PREFIX = "hf-hub:"
_TIMM_OWNER = "timm/"


def canonical_name(name: str) -> str:
    """The one spelling of a model name: a timm name where timm knows it, else `hf-hub:owner/repo`.

    `timm/resnet18.a1_in1k` and `hf-hub:timm/resnet18.a1_in1k` are `resnet18.a1_in1k`: the same
    weights, and the registry describes them without a network.
    """
    bare = name.removeprefix("hf_hub:").removeprefix(HUB_PREFIX)
    short = bare.removeprefix(_TIMM_OWNER)
    if "/" not in short and is_model(short):
        return short
    return HUB_PREFIX + bare if "/" in bare else bare


def is_on_hub_only(name: str) -> bool:
    """Whether even the model's description must come from the Hugging Face hub."""
    return canonical_name(name).startswith(HUB_PREFIX)


def pretrained_tags(name: str) -> tuple[str, ...]:
    """The tags of published weights of a model, the default first; empty where there are none."""
    architecture, _ = split_model_name_tag(canonical_name(name))
    configs: Mapping[str, Any] = get_arch_pretrained_cfgs(architecture)
    return tuple(split_model_name_tag(key)[1] for key, cfg in configs.items() if cfg.has_weights)


@lru_cache(maxsize=8)
def model_names() -> tuple[str, ...]:
    """Every model timm can build, without tags."""
    return tuple(timm.list_models())


def name_problem(name: str) -> tuple[str, str, tuple[str, ...]] | None:
    """What is wrong with a model name: the rule, what was seen, the spellings closest to it.

    Returns:
        None where the name can be built, or can only be judged by the hub.
    """
    canonical = canonical_name(name)
    if canonical.startswith(HUB_PREFIX):
        return None
    architecture, tag = split_model_name_tag(canonical)
    if not is_model(architecture):
        near = nearest_spelling(architecture, model_names())
        rule = "timm has no model of this name (timm.list_models() has them all)"
        return rule, name, (near,) if near else ()
    known = [split_model_name_tag(key)[1] for key in get_arch_pretrained_cfgs(architecture)]
    if tag and tag not in known:
        tags = tuple(f"{architecture}.{known_tag}" for known_tag in known if known_tag)
        listed = ", ".join(tags) or "none"
        return f"{architecture} has no weights tagged {tag!r}; it has: {listed}", name, tags
    return None


def registry_config(name: str) -> dict[str, Any]:
    """timm's description of a model in its registry: input, head and where its weights are.

    Raises:
        KeyError: If timm has no such model or tag; `name_problem` says it better.
    """
    if name_problem(name) is not None or is_on_hub_only(name):
        raise KeyError(name)
    config = get_pretrained_cfg(canonical_name(name))
    described: dict[str, Any] = {} if config is None else config.to_dict()
    return described


def has_published_weights(name: str) -> bool:
    """Whether `hub` can mean anything for this model; a model of the hub's own is trusted to."""
    if is_on_hub_only(name):
        return True
    config = registry_config(name)
    return any(config.get(key) for key in ("hf_hub_id", "url", "file"))
