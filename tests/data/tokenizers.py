"""Real tokenizers and texts that the tests of the token store share."""

import hashlib
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from runner.data.example import Example, Text, TextSource
from runner.experiment import LabelKind
from tests.tiny_text_models import SENTENCES, make_tiny_tokenizer

# Known and unknown words, other scripts, what looks like a special token, nothing to tokenise.
_VOCABULARY = (
    *(word for sentence in SENTENCES for word in sentence.split()),
    *("unbelievably", "naïve", "东京", "[SEP]", "</s>", "don't", "x" * 120, "\u200b", "…"),
)
SHAPES = ("single", "pair", "words")


def tiny_tokenizer(
    folder: Path, family: str = "bert", **options: str | bool
) -> PreTrainedTokenizerBase:
    """A tokenizer trained on a few sentences, loaded as transformers loads any."""
    make_tiny_tokenizer(folder, family)
    return AutoTokenizer.from_pretrained(folder, **options)


def text_source(texts: list[Text], *, kind: LabelKind = LabelKind.CLASS) -> TextSource:
    """These texts, each with a label that says nothing."""
    examples = []
    for number, text in enumerate(texts):
        label = (0,) * len(text) if kind is LabelKind.TAGS else number % 2
        digest = hashlib.sha256(repr(text).encode()).hexdigest()
        examples.append(Example(f"{number:04d}", label, digest))
    return TextSource("some texts", kind, ("O", "B-x"), tuple(examples), (), tuple(texts))


def random_source(shape: str, *, count: int = 60, seed: int = 0) -> TextSource:
    """Texts of 0 to 30 words: single ones, pairs, or lists of words some of which are empty."""
    random = np.random.default_rng(seed)

    def words(least: int = 0) -> list[str]:
        return random.choice(_VOCABULARY, random.integers(least, 31)).tolist()

    if shape == "single":
        return text_source([" ".join(words()) for _ in range(count)])
    if shape == "pair":
        return text_source([(" ".join(words()), " ".join(words())) for _ in range(count)])
    return text_source([("", *words(1), "\x00", "fox") for _ in range(count)], kind=LabelKind.TAGS)


def columns_of(source: TextSource) -> list[list]:
    """What a tokenizer is called with to tokenise a whole source."""
    if source.is_pair:
        return [[text[0] for text in source.texts], [text[1] for text in source.texts]]
    if source.kind is LabelKind.TAGS:
        return [[list(text) for text in source.texts]]
    return [list(source.texts)]
