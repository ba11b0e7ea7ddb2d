"""The `ray` part of an experiment: what one trial takes of a Ray cluster."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from runner.experiment.example_settings import Text
from runner.experiment.recipe import SETTINGS

Amount = Annotated[float, Field(gt=0, le=1_000_000)]


def _ours(value: dict[str, Any]) -> dict[str, Any]:
    if reserved := [name for name in ("CPU", "GPU") if name in value]:
        raise ValueError(f"must not name {reserved[0]}: that is what cpus and gpus are for")
    return value


class RaySettings(BaseModel):
    """What one trial takes of a Ray cluster, and what is shipped there."""

    model_config = SETTINGS

    address: Text | None = Field(
        None,
        description="Address of a Ray cluster, host:port, or `auto` on one of its machines; null: "
        "RAY_ADDRESS if set, else Ray is started on this machine alone.",
    )
    cpus: Amount | None = Field(
        None,
        description="Cores of one trial, which are also its threads; null: on this machine alone "
        "as with `--backend local`; on a cluster one, or where there are GPUs what falls to a "
        "GPU, at most 8.",
    )
    gpus: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of a GPU that one trial takes; it counts places, Ray does not watch "
        "memory; 0: none; null: `search.gpus_per_trial` where there are any.",
    )
    resources: Annotated[dict[str, Amount], AfterValidator(_ours)] = Field(
        default_factory=dict,
        description="Further resources of one trial, by the names that the cluster gives them, "
        "e.g. {big_memory: 1}.",
    )
    accelerator: Text | None = Field(
        None, description="Type of accelerator that a trial needs, as Ray calls it, e.g. H100."
    )
    files: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        (),
        description="task: custom: files and folders that its code reads, to be sent with it "
        "to machines that do not see them; relative to the experiment file, in the code's folder.",
    )
    runtime_env: dict[str, Any] = Field(
        default_factory=dict,
        description="Ray's runtime environment: working_dir, pip, env_vars and so on, as Ray "
        "documents it; paths are relative to the experiment file.",
    )
