from pathlib import Path

import numpy as np
import pytest

from albatross.data.masking import PieceTable
from albatross.data.packing import IGNORED_LABEL, Example
from albatross.inspection.shown import Span, label_name, show_sample
from albatross.tokenizer.folder import open_tokenizer
from albatross.tokenizer.unigram import UnigramTokenizer

TINY = Path(__file__).parents[1] / "tokenizer"
TOKENIZER = UnigramTokenizer.from_file(TINY / "tiny.model")
CLS, SEP, MASK = TOKENIZER.cls_id, TOKENIZER.sep_id, TOKENIZER.mask_id


def example(first, second=(), *, change=(), order=0) -> Example:
    """A sample of two texts; `change` holds (place in the sample, id that stands there)."""
    ids = [CLS, *first, SEP, *second, *([SEP] if len(second) else [])]
    types = [0] * (len(first) + 2) + [1] * (len(ids) - len(first) - 2)
    labels = np.full(len(ids), IGNORED_LABEL)
    now = np.array(ids)
    for place, number in change:
        labels[place], now[place] = ids[place], number
    return Example(now, np.array(types), {"labels": labels, "sentence_order_label": order})


def shown(*parts, tokenizer=TOKENIZER, objective="sop", **options):
    made = example(*parts, **options)
    return show_sample(7, made, tokenizer, PieceTable.from_tokenizer(tokenizer), objective)


def test_text_comes_back_as_it_was():
    text = "the gull flew over the sea, and the old sailor slept."
    ids = TOKENIZER.encode(text)
    (spans,) = shown(ids).segments
    assert spans == [Span(text, "plain", text, False)]


def test_each_fate_of_a_word_is_told():
    the, sea = TOKENIZER.encode("the"), TOKENIZER.encode("sea")
    ids = [*the, *sea, *the, *sea]
    places = [[n + 1 for n, number in enumerate(ids) if number == piece] for piece in the]
    assert (len(the), len(places[0])) == (1, 2)
    found = shown(ids + the, change=[(1, MASK), (places[0][1], sea[0]), (len(ids) + 1, the[0])])
    marked = [span for span in found.segments[0] if span.kind != "plain"]
    assert [(span.kind, span.text) for span in marked] == [
        ("masked", "the"),
        ("random", "the"),
        ("kept", "the"),
    ]
    assert [span.now for span in marked] == ["[MASK]", TOKENIZER.decode(sea[:1]), "the"]
    assert (found.predicted, found.length, found.index) == (3, len(ids) + 3, 7)


def test_words_masked_one_after_the_other_stay_words():
    ids = TOKENIZER.encode("the sea the sea")
    masked = [(place + 1, MASK) for place in range(len(ids))]
    (spans,) = shown(ids, change=masked).segments
    assert [span.text for span in spans] == ["the", "sea", "the", "sea"]
    assert [span.space for span in spans] == [False, True, True, True]


@pytest.mark.parametrize("order", [0, 1])
def test_segments_stand_in_the_order_in_which_a_model_reads_them(order):
    first, second = TOKENIZER.encode("the sea"), TOKENIZER.encode("the gull")
    found = shown(first, second, order=order)
    assert ["".join(span.text for span in part) for part in found.segments] == [
        "the sea",
        "the gull",
    ]
    assert found.label == ("in order", "swapped")[order]


def test_pieces_of_one_word_stand_together_in_wordpiece_too(tmp_path):
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "alba", "##tross", "flew"])
    )
    tokenizer = open_tokenizer(tmp_path)
    ids = tokenizer.encode("flew albatross flew")
    (spans,) = shown(ids, change=[(2, MASK), (3, MASK)], tokenizer=tokenizer).segments
    assert [(span.text, span.now) for span in spans] == [
        ("flew", "flew"),
        ("albatross", "[MASK][MASK]"),
        ("flew", "flew"),
    ]


@pytest.mark.parametrize(
    ("order", "objective", "name"),
    [
        (0, "sop", "in order"),
        (1, "sop", "swapped"),
        (0, "nsp", "next"),
        (1, "nsp", "from elsewhere"),
        (-100, "sop", "one segment"),
        (-100, "none", "one segment"),
    ],
)
def test_labels_have_names(order, objective, name):
    assert label_name(order, objective) == name
