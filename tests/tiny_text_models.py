"""Tiny text encoders with random weights, in a folder laid out as the hub lays models out.

Any room's tests may use them: they are made in well under a second and need no network.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SENTENCES = (
    "the red fox jumps over the lazy dog",
    "a quick brown bear sleeps under the old tree",
    "London and Paris are large cities in Europe",
    "Maria Garcia works for Acme in Berlin",
    "what a wonderful film, I liked it very much!",
    "this was a dull and much too long story.",
    "1 2 3 4 5 6 7 8 9 0",
)
"""What a tiny tokenizer learns from unless it is given sentences of its own."""

FAMILIES = (
    "bert",
    "roberta",
    "distilbert",
    "albert",
    "electra",
    "deberta-v2",
    "mpnet",
    "modernbert",
)
"""Families whose layers are known to be frozen and adapted as they should."""

# Whose special tokens stand where; DeBERTa, MPNet and ModernBERT take BERT's kind of tokenizer.
_WORD_PIECE = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BYTE_PAIR = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_BYTE_PAIR_FAMILIES = ("roberta", "xlm-roberta", "camembert")
# What a family calls its sizes, where it does not speak as BERT does.
_SIZES: dict[str, dict[str, str]] = {
    "distilbert": {
        "hidden_size": "dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "intermediate_size": "hidden_dim",
    },
}
_EXTRAS: dict[str, dict[str, Any]] = {
    "roberta": {"max_position_embeddings": 66, "type_vocab_size": 1},
    "xlm-roberta": {"max_position_embeddings": 66, "type_vocab_size": 1},
    "camembert": {"max_position_embeddings": 66, "type_vocab_size": 1},
    "mpnet": {"max_position_embeddings": 66},
    "albert": {"embedding_size": 16},
    "electra": {"embedding_size": 16},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 16},
}


def tiny_arguments(family: str = "bert", **changes: Any) -> dict[str, Any]:
    """Configuration values that make a model of a family tiny: 2 layers, width 32, 64 tokens.

    Args:
        family: transformers' `model_type`.
        changes: Values to set besides, under the family's own names.
    """
    sizes = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    names = _SIZES.get(family, {})
    own = {names.get(name, name): size for name, size in sizes.items()}
    return {**own, "max_position_embeddings": 64, **_EXTRAS.get(family, {}), **changes}


def make_tiny_tokenizer(
    folder: Path,
    family: str = "bert",
    *,
    sentences: Iterable[str] = SENTENCES,
    vocabulary: int = 300,
) -> int:
    """Trains a tokenizer on sentences and writes it as the hub lays it out.

    BERT's kind is lower-casing WordPiece, RoBERTa's byte-level BPE.

    Returns:
        The number of its tokens.
    """
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    is_byte_pair = family in _BYTE_PAIR_FAMILIES
    special = _BYTE_PAIR if is_byte_pair else _WORD_PIECE
    trained = (_byte_pair if is_byte_pair else _word_piece)(list(sentences), special, vocabulary)
    roles = _roles(is_byte_pair=is_byte_pair)
    with_types = not is_byte_pair and family not in ("distilbert", "mpnet", "modernbert")
    inputs = ["input_ids", *(["token_type_ids"] if with_types else []), "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=trained, model_input_names=inputs, model_max_length=64, **roles
    ).save_pretrained(folder)
    return int(trained.get_vocab_size())


def make_tiny_text_model(
    folder: Path,
    family: str = "bert",
    *,
    sentences: Iterable[str] = SENTENCES,
    vocabulary: int = 300,
    seed: int = 0,
    **arguments: Any,
) -> Path:
    """Writes an encoder without a head: config.json, model.safetensors and its tokenizer.

    It has 2 layers of width 32 and takes 64 tokens, dropout as its family has it.

    Args:
        folder: Made if it is not there.
        family: transformers' `model_type`: bert, roberta, distilbert, ...
        sentences: What its tokenizer learns its words from.
        vocabulary: Largest number of tokens.
        seed: Of its weights.
        arguments: Configuration values to set besides, under the family's own names.
    Returns:
        The folder.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    size = make_tiny_tokenizer(folder, family, sentences=sentences, vocabulary=vocabulary)
    values = {**tiny_arguments(family), "vocab_size": size, **_special(family), **arguments}
    config = AutoConfig.for_model(family, **values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(config).save_pretrained(folder)
    return folder


def _special(family: str) -> dict[str, int]:
    """Numbers of the special tokens, as a configuration has them."""
    is_byte_pair = family in _BYTE_PAIR_FAMILIES
    special = _BYTE_PAIR if is_byte_pair else _WORD_PIECE
    roles = _roles(is_byte_pair=is_byte_pair)
    pad = {"pad_token_id": special.index(roles["pad_token"])}
    ends = {"bos": "cls", "eos": "sep", "cls": "cls", "sep": "sep"}
    found = {f"{key}_token_id": special.index(roles[f"{of}_token"]) for key, of in ends.items()}
    return {**pad, **found} if family == "modernbert" or is_byte_pair else pad


def _word_piece(sentences: list[str], special: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import WordPieceTrainer

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=list(special), show_progress=False
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", special.index("[CLS]")), ("[SEP]", special.index("[SEP]"))],
    )
    return tokenizer


def _byte_pair(sentences: list[str], special: Sequence[str], vocabulary: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(models.BPE())
    # With a space in front, as RoBERTa's has it where words come already split.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=max(vocabulary, len(alphabet) + len(special)),
        special_tokens=list(special),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", special.index("<s>")), ("</s>", special.index("</s>"))],
    )
    return tokenizer


def _roles(*, is_byte_pair: bool) -> dict[str, Any]:
    if is_byte_pair:
        roles = {"cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
        roles |= {"bos": "<s>", "eos": "</s>"}
    else:
        roles = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
    return {f"{role}_token": token for role, token in roles.items()}


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration in a model's folder, as plain JSON."""
    found: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return found
