"""A vocabulary from text, by the recipe of the published English ALBERT models.

Unigram pieces (Kudo 2018), `<pad>` 0, `<unk>` 1, then [CLS], [SEP], [MASK] and eight marks that
always stand alone. Two deviations from `spm_train`: a corpus too large is sampled here, because
SentencePiece's own draw depends on what the process did before, and a long line is cut at a space
instead of being left out.
"""

import io
import random
import re
from collections.abc import Iterable, Iterator, Sequence

import sentencepiece

from albatross.errors import TokenizerError
from albatross.tokenizer.normalization import Normalizer, checked_texts
from albatross.tokenizer.presets import USER_DEFINED_SYMBOLS, CharacterRule
from albatross.tokenizer.unigram import UnigramTokenizer

CONTROL_SYMBOLS = ("[CLS]", "[SEP]", "[MASK]")
# SentencePiece leaves out sentences above 4,192 bytes; a character takes four at most.
LONGEST_SENTENCE = 1000
# Fixed, because the sums of the EM steps depend on it in their last digits.
NUM_THREADS = 2


def train_unigram(
    lines: Iterable[str],
    vocab_size: int,
    *,
    normalizer: Normalizer | None = None,
    character_rule: CharacterRule = "nmt_nfkc",
    character_coverage: float = 0.99995,
    max_sentences: int = 10_000_000,
    seed: int = 0,
    user_defined_symbols: Sequence[str] = USER_DEFINED_SYMBOLS,
) -> UnigramTokenizer:
    """Train a unigram vocabulary; the same lines and seed give the same bytes.

    Args:
        lines: text, a sentence or a paragraph each; read once, `max_sentences` kept at most.
        vocab_size: pieces in all, special ones included; 30,000 in the published models.
        normalizer: the clean-up before training, kept by the tokenizer; the default is uncased.
        character_rule: SentencePiece's own clean-up of characters, kept by its model.
        character_coverage: share of the characters that get a piece; the rest become `<unk>`.
        max_sentences: a larger corpus is sampled down to this many, each line as likely as any.
        seed: decides the sample.
        user_defined_symbols: texts that always are one token.

    Raises:
        TokenizerError: no text, or too little or too varied for this many pieces.
    """
    normalizer = normalizer or Normalizer()
    sentences = _sample(_sentences(lines, normalizer), max_sentences, seed)
    if not sentences:
        raise TokenizerError(
            "A vocabulary needs text. Received: no line with a character in it."
            " Check the corpus files."
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            normalization_rule_name=character_rule,
            character_coverage=character_coverage,
            control_symbols=list(CONTROL_SYMBOLS),
            user_defined_symbols=list(user_defined_symbols),
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            num_threads=NUM_THREADS,
            minloglevel=4,  # silent: what goes wrong comes back as an exception
        )
    except RuntimeError as error:
        raise TokenizerError(_explain(str(error), vocab_size)) from error
    return UnigramTokenizer(model.getvalue(), normalizer)


def _sentences(lines: Iterable[str], normalizer: Normalizer) -> Iterator[str]:
    """Normalise each line and cut it where it is too long, between words if it can be."""
    for line in checked_texts(lines) if isinstance(lines, str | bytes) else lines:
        text = normalizer.normalize(line).replace("\0", " ")  # NUL ends the sentence in C++
        start = 0
        while len(text) - start > LONGEST_SENTENCE:
            space = text.rfind(" ", start + 1, start + LONGEST_SENTENCE)
            cut = space if space > 0 else start + LONGEST_SENTENCE
            yield text[start:cut]
            start = cut
        if text[start:].strip():
            yield text[start:]


def _sample(sentences: Iterable[str], size: int, seed: int) -> list[str]:
    """Keep `size` sentences, each with the same chance (Vitter 1985, algorithm R)."""
    kept: list[str] = []
    draws = random.Random(seed)
    for index, sentence in enumerate(sentences):
        if index < size:
            kept.append(sentence)
        elif (place := draws.randrange(index + 1)) < size:
            kept[place] = sentence
    return kept


def _explain(message: str, vocab_size: int) -> str:
    """Put SentencePiece's complaint into one line that names a size that works."""
    if largest := re.search(r"value <= (\d+)", message):
        return (
            "A vocabulary cannot hold more pieces than the text gives. Received:"
            f" vocab_size={vocab_size} for a text that gives {largest[1]}."
            f" Ask for {largest[1]} or fewer, or give more text."
        )
    if least := re.search(r"\d+ vs (\d+)", message):
        return (
            "A vocabulary must hold every character it is to cover. Received:"
            f" vocab_size={vocab_size} for a text that needs {least[1]}."
            f" Ask for {least[1]} or more, or lower `character_coverage`."
        )
    reason = re.sub(r"^INTERNAL: \S+ ", "", message).strip()
    return (
        f"SentencePiece must be able to train on the text. Received: vocab_size={vocab_size},"
        f" refused with: {reason}. Check the text, the size and the symbols."
    )
