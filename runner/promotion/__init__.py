"""From a trial to a served model: test-set evaluation, the gate, the registry, prediction.

Importing this room imports torch and timm.
"""

from runner.promotion.predicting import predict_images
from runner.promotion.promote import Promotion, promote

__all__ = ["Promotion", "predict_images", "promote"]
