"""A candidate as a model that plain MLflow serves: a trial's parts joined with its packaging."""

from typing import TYPE_CHECKING, cast

from runner.errors import PromotionRefused
from runner.experiment import Recipe, TextDataSettings
from runner.promotion.adapter_base import base_weights_of
from runner.promotion.answers import Answers
from runner.promotion.form import Form
from runner.promotion.image_packaging import image_model_of, serve_images
from runner.promotion.packaging import ServedModel
from runner.promotion.text_packaging import TextModel, serve_texts
from runner.promotion.weights import Candidate
from runner.trial import Bench, ImageModality, TextModality, load_weights_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def served_model_of(
    candidate: Candidate, bench: Bench, *, form: Form = Form.MERGED
) -> ServedModel:
    """What plain MLflow serves of a candidate.

    Raises:
        PromotionRefused: If the form asked for cannot be had of this trial.
    """
    recipe = candidate.experiment.recipe(dict(candidate.trial.params))
    if form == Form.ADAPTER and recipe.adapter == "none":
        raise PromotionRefused(
            f"trial {candidate.trial.number} trained the weights themselves, not an adapter; "
            "promote it with --form merged"
        )
    if bench.build(recipe, candidate.trial.seed).is_partial:
        _require_same_base(candidate, bench)
    modality = bench.modality
    if isinstance(modality, TextModality):
        return serve_texts(_text_model(candidate, bench, modality, recipe, form))
    assert isinstance(modality, ImageModality)  # there are two
    return _image_model(candidate, bench, modality, recipe, form)


def _require_same_base(candidate: Candidate, bench: Bench) -> None:
    """Only what was trained was kept: on other weights it is another model."""
    known = candidate.record.attributes["identity"]["content"]["weights"]
    found = bench.weights.fingerprint if bench.weights is not None else "none"
    if found != known:
        raise PromotionRefused(
            f"what trial {candidate.trial.number} kept was trained beside other weights "
            f"than model.weights {candidate.experiment.model.weights} has today ({known[:12]} "
            f"then, {found[:12]} now). Put those weights back, or search again with --new"
        )


def _answers(bench: Bench) -> Answers:
    labels = bench.experiment.form.labels
    assert labels is not None  # an objective of one's own is promoted elsewhere
    return Answers.from_facts(labels, bench.task.facts())


def _image_model(
    candidate: Candidate, bench: Bench, modality: ImageModality, recipe: Recipe, form: Form
) -> ServedModel:
    if form == Form.ADAPTER:
        raise PromotionRefused(
            "adapters of image models are promoted merged: timm has no layout of its own for "
            "them; use --form merged"
        )
    model = image_model_of(
        candidate.experiment.model.name,
        candidate.experiment.model.arguments,
        image_size=modality.asked.image_size,
        transform=modality.transform,
        answers=_answers(bench),
    )
    state = load_weights_file(candidate.weights)
    kept = bench.build_kept(recipe, candidate.trial.seed, state)
    return serve_images(model, kept.state_dict())


def _text_model(
    candidate: Candidate, bench: Bench, modality: TextModality, recipe: Recipe, form: Form
) -> TextModel:
    settings = candidate.experiment.data
    assert isinstance(settings, TextDataSettings)  # the first pass has checked it
    is_merged = form == Form.MERGED
    state = load_weights_file(candidate.weights)
    kept = bench.build_kept(recipe, candidate.trial.seed, state, merged=is_merged)
    return TextModel(
        network=cast("PreTrainedModel", kept),
        tokenizer=modality.tokenizer,
        answers=_answers(bench),
        max_length=recipe.max_length or modality.limit,
        cleaning=settings.cleaning.model_dump(),
        has_pair=modality.source.is_pair,
        base=None if is_merged else base_weights_of(modality.files),
    )
