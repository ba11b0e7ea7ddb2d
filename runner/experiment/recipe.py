"""The training recipe: everything that one trial can set differently from another."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SETTINGS = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
"""How every part of an experiment is checked: no unknown keys, no silent conversions."""

MAX: Literal["max"] = "max"
"""In a space or recipe: the model's own number of layer groups, known once it is loaded."""

Fraction = Annotated[float, Field(ge=0, lt=1)]


class Recipe(BaseModel):
    """How to train; each of these keys may also appear in the search space."""

    model_config = SETTINGS

    epochs: int = Field(5, ge=1, le=100_000, description="Passes over the training split.")
    batch_size: int = Field(
        32,
        ge=1,
        le=65_536,
        description="Examples per optimiser step. Kept by accumulating gradients if it does not "
        "fit into memory.",
    )
    optimizer: Literal["adamw", "sgd", "adam"] = Field("adamw", description="Optimiser.")
    learning_rate: float = Field(
        1e-3, gt=0, description="Peak learning rate, reached after the warm-up."
    )
    head_learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate of the head alone, absolute; null: the same as "
        "`learning_rate`.",
    )
    weight_decay: float = Field(
        0.01, ge=0, description="Weight decay (biases and normalisation are left out)."
    )
    momentum: float = Field(
        0.9, ge=0, lt=1, description="Momentum of sgd; first beta of adamw and adam."
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="How the learning rate falls after the warm-up."
    )
    warmup: float = Field(
        0.1, ge=0, lt=1, description="Length of the linear warm-up, as a fraction of all steps."
    )
    freeze_depth: Annotated[int, Field(ge=0)] | Literal["max"] = Field(
        0,
        description="How many of the model's layer groups, counted from the input, stay frozen; "
        "`max`: all but the head.",
    )
    unfreeze_every: int = Field(
        0,
        ge=0,
        description="Epochs between thawing one more frozen group, from the head down; 0: never.",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor on the learning rate from each layer group to the one before it "
        "(nearer the input); 1: the same rate everywhere.",
    )
    dropout: Fraction = Field(0.0, description="Dropout before the head, as a probability.")
    drop_path: Fraction = Field(
        0.0, description="Stochastic depth, as a probability; only for models that have it."
    )
    loss: Literal[
        "auto", "cross_entropy", "binary_cross_entropy", "focal", "mse", "huber", "mae"
    ] = Field(
        "auto",
        description="Training loss; `auto`: cross_entropy for one class or tag, "
        "binary_cross_entropy for several labels, mse for numbers.",
    )
    label_smoothing: Fraction = Field(0.0, description="Label smoothing, as a fraction.")
    focal_gamma: float = Field(
        2.0, ge=0, le=20, description="How much the focal loss plays down easy examples."
    )
    huber_delta: float = Field(
        1.0,
        gt=0,
        description="Where the huber loss turns from square to linear, in standard deviations of "
        "the training targets.",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="`balanced`: rare classes weigh more in the loss, in proportion."
    )
    sampling: Literal["natural", "balanced"] = Field(
        "natural",
        description="`balanced`: an epoch draws every class equally often, rare ones repeatedly.",
    )
    mixup: float = Field(
        0.0, ge=0, le=100, description="Alpha of mixup's Beta distribution; 0: no mixup."
    )
    grad_clip: float | None = Field(
        None, gt=0, description="Largest norm of the gradient; null: not clipped."
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay per step of an exponential moving average of the weights, which is "
        "then what is evaluated and kept; null: none.",
    )
    early_stopping: int | None = Field(
        None,
        ge=1,
        description="Stop after so many epochs without a better validation metric; null: never.",
    )
    augmentation: Literal["none", "light", "medium", "strong"] = Field(
        "light", description="Random changes to training images; `none`: as in evaluation."
    )
    views: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="How many fixed random views each training image has, taken in turn by the "
        "epochs and the same in every trial, so that frozen layers can be computed once for all; "
        "null: a new view in every epoch of every trial.",
    )
    max_length: int | None = Field(
        None,
        ge=4,
        le=1_000_000,
        description="Longest text in tokens, special ones included; longer ones are cut; null: "
        "what the model can take.",
    )
    adapter: Literal["none", "lora"] = Field(
        "none",
        description="`lora`: train low-rank adapters beside frozen weights, and the head, instead "
        "of the weights themselves.",
    )
    lora_rank: int = Field(8, ge=1, le=1024, description="Rank of the adapters.")
    lora_alpha: float = Field(
        16.0, gt=0, description="Scale of the adapters; their output counts alpha / rank times."
    )
    lora_dropout: Fraction = Field(0.0, description="Dropout before the adapters.")
    lora_targets: Literal["attention", "linear"] = Field(
        "attention",
        description="Layers that get adapters: the attention's projections, or every linear layer "
        "but the head.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number format of the forward pass; `auto`: what the device does best."
    )
    channels_last: Literal["auto"] | bool = Field(
        "auto", description="Channels-last memory layout; `auto`: where it is faster."
    )
    checkpoint: Literal["auto", "every", "off"] = Field(
        "auto",
        description="After which epochs a trial keeps its state, from which it goes on when it "
        "was interrupted: `auto`: all, if it is expected to take more than a minute; `every`: "
        "all; `off`: none. Trials that are trained as one computation keep none.",
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Whether forward and backward pass of training are compiled, which changes "
        "results by rounding alone; `auto`: on CUDA devices, from the second epoch on, where "
        "enough is left to pay for it; `on`: from the first, on the CPU too.",
    )
