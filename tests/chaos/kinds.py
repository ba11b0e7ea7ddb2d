"""The searches that are shaken: small, on bundled data, and each with its own ways to be hurt."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A search.

    Attributes:
        name: What it is called here.
        text: The experiment file, but for the study's name.
        tolerance: How far a metric may be from the uninterrupted search's; 0.0 for the same bits.
        is_fused: Whether its trials are trained together; it would not test that otherwise.
        is_on_ray: Whether its trials run on Ray, whose processes are killed too.
        slow: How many times as long everything takes as without Ray.
    """

    name: str
    text: str
    tolerance: float = 0.0
    is_fused: bool = False
    is_on_ray: bool = False
    slow: float = 1.0


# Trials of their own, which keep a state after every epoch, some of which are stopped early.
PLAIN = Kind(
    "plain",
    """
data: {source: bundled, name: digits, size: 30, image_size: 32}
model: {name: resnet10t, weights: none, arguments: {channels: [8, 8, 16, 16]}}
train: {epochs: 4, batch_size: 16, checkpoint: every}
search:
  trials: 5
  retries: 100
  devices: [cpu]
  slots: 1
  space:
    learning_rate: {float: [1e-3, 1e-1], log: true}
    freeze_depth: {int: [0, max]}
tracking: {keep_weights: 2, pictures: 1}
""",
)

# Heads that are trained as one computation, in waves, on features that are computed once. Which
# of them are trained together depends on where a search was interrupted, and with it the order
# in which sums are rounded.
FUSED = Kind(
    "fused",
    """
data: {source: bundled, name: cat-faces, size: 40, image_size: 64, crop_fraction: 1.0}
model:
  name: resnet10t
  weights: bundled:glyphs
  arguments: {channels: [24, 48, 96, 192], stem_width: 16}
train: {epochs: 20, freeze_depth: max, augmentation: none}
search:
  trials: 48
  retries: 100
  devices: [cpu]
  slots: 1
  pruner: none
  sampler: random
  space:
    learning_rate: {float: [1e-3, 1e-1], log: true}
    batch_size: {choice: [16, 32]}
tracking: {keep_weights: 2, pictures: 1}
""",
    tolerance=1e-4,
    is_fused=True,
)

# The first on Ray: a head, a raylet and an actor between the driver and its trials.
RAY = Kind("ray", PLAIN.text, is_on_ray=True, slow=3.0)

KINDS = {kind.name: kind for kind in (PLAIN, FUSED, RAY)}
