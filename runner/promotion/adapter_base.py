"""Where the frozen weights under an adapter come from, so that others can have them again."""

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runner.errors import PromotionRefused
from runner.models import TextFiles, merged_model

_HUB, _PACKAGE = "hub:", "package:"
_INSTEAD = "promote it with --form merged"


@dataclass(frozen=True)
class BaseWeights:
    """The files of a base model.

    Attributes:
        source: `hub:<name>`, `package:<distribution>` or `folder:`.
        path: Where under it they lie: the commit of the hub, the folder inside the package, or an
            absolute folder.
        files: sha256 of each file of weights, by its name.
    """

    source: str
    path: str
    files: dict[str, str]

    @property
    def name(self) -> str:
        """What peft calls the base model: a name on the hub, a package or a folder."""
        if self.source.startswith(_HUB):
            return self.source.removeprefix(_HUB)
        return self.source if self.source.startswith(_PACKAGE) else self.path

    def description(self) -> dict[str, Any]:
        """What the served model reads of it in model.json."""
        return {"source": self.source, "path": self.path, "files": self.files}

    def imports(self) -> tuple[str, ...]:
        """Distributions that a served adapter needs besides those of a whole model."""
        if self.source.startswith(_HUB):
            return ("peft", "huggingface_hub")
        if self.source.startswith(_PACKAGE):
            return ("peft", self.source.removeprefix(_PACKAGE))
        return ("peft",)


def base_weights_of(files: TextFiles) -> BaseWeights:
    """Where a text model's weights come from.

    Raises:
        PromotionRefused: If they are random: nobody could have them again.
    """
    if files.folder is None or not files.weights:
        raise PromotionRefused(
            f"the weights under the adapter of {files.name!r} are random, so an adapter alone is "
            f"of no use; {_INSTEAD}"
        )
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files.weights}
    source = files.description
    if source.startswith(_HUB):
        # In the hub's cache a snapshot's folder is named after its commit.
        return BaseWeights(source.partition("@")[0], files.folder.name, digests)
    if source.startswith(_PACKAGE):
        root = Path(str(metadata.distribution(source.removeprefix(_PACKAGE)).locate_file("")))
        return BaseWeights(source, str(files.folder.relative_to(root)), digests)
    return BaseWeights("folder:", str(files.folder), digests)


def require_rebuilt(trained: nn.Module, rebuilt: nn.Module, *, base: BaseWeights) -> None:
    """Refuse an adapter that, put on its base again, is not the model that was trained.

    Args:
        trained: With adapters.
        rebuilt: As a served model builds it, the adapters merged.
        base: Where the rebuilt one has its frozen weights from.
    Raises:
        PromotionRefused: If tensors differ; they are named.
    """
    wanted, found = merged_model(trained).state_dict(), rebuilt.state_dict()
    different = [
        name
        for name in sorted(wanted.keys() | found.keys())
        if name not in found
        or name not in wanted
        or not torch.allclose(wanted[name].cpu(), found[name].cpu(), rtol=1e-4, atol=1e-5)
    ]
    if different:
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise PromotionRefused(
            f"{different[0]}{more}: neither from {base.name} nor from the adapter, so an adapter "
            f"alone would be another model; {_INSTEAD}"
        )
