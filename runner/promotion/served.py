"""A candidate as a model that plain MLflow serves: a trial's parts joined with its packaging."""

from runner.experiment import LabelKind
from runner.promotion.answers import Answers
from runner.promotion.image_packaging import image_model_of, serve_images
from runner.promotion.packaging import ServedModel
from runner.promotion.weights import Candidate
from runner.trial import Bench, load_weights_file


def served_model_of(candidate: Candidate, bench: Bench) -> ServedModel:
    """What plain MLflow serves of a candidate."""
    asked = candidate.experiment.model
    model = image_model_of(
        asked.name,
        asked.arguments,
        image_size=candidate.experiment.data.image_size,
        transform=bench.transform,
        answers=Answers(LabelKind.CLASS, bench.source.classes),
    )
    return serve_images(model, load_weights_file(candidate.weights))
