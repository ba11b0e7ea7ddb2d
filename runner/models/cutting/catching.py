"""What goes into and comes out of some of a model's modules, without the rest of the pass."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn


class _Enough(Exception):
    """Everything asked for has been seen; the rest of the forward pass is not needed."""


def caught(
    run: Callable[[], object],
    *,
    entering: Mapping[int, nn.Module] | None = None,
    leaving: Mapping[int, nn.Module] | None = None,
) -> dict[int, Any]:
    """What some modules are given first, and what others give, by the keys of both mappings.

    Args:
        run: A forward pass that runs the modules; it ends once all has been seen.
        entering: Modules whose first argument is wanted.
        leaving: Modules whose result is wanted.
    """
    before, after = entering or {}, leaving or {}
    found: dict[int, Any] = {}

    def keep(key: int, value: Any) -> None:
        found.setdefault(key, value)
        if len(found) == len(before) + len(after):
            raise _Enough

    def enter(key: int) -> Callable[..., None]:
        return lambda _, args, named: keep(key, (*args, *named.values())[0])

    def leave(key: int) -> Callable[..., None]:
        return lambda _, args, result: keep(key, result)

    hooks = [
        *(
            each.register_forward_pre_hook(enter(k), with_kwargs=True)
            for k, each in before.items()
        ),
        *(each.register_forward_hook(leave(k)) for k, each in after.items()),
    ]
    try:
        run()
    except _Enough:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found
