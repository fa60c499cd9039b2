from pathlib import Path

import numpy as np

from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.packing import IGNORED_LABEL
from albatross.tokenizer.unigram import UnigramTokenizer
from albatross.training.masked_text import LABEL, masked_examples

TOKENIZER = UnigramTokenizer.from_file(Path(__file__).parents[1] / "tokenizer" / "tiny.model")
RULE = MaskingRule(rate=0.3, mask_fraction=1.0, random_fraction=0.0)
TEXTS = [TOKENIZER.encode(text) for text in ("the gull flew over the harbour", "it was bad", "a")]


def masked(key=(0, "x"), texts=TEXTS):
    table = PieceTable.from_tokenizer(TOKENIZER)
    return masked_examples(texts, TOKENIZER, table, RULE, key)


def test_what_was_masked_is_the_label_and_all_else_is_as_it_was():
    for text, example in zip(TEXTS, masked(), strict=True):
        wanted = example.labels[LABEL]
        gaps = wanted != IGNORED_LABEL
        assert gaps.sum() == max(1, round(0.3 * len(text)))
        assert (example.input_ids[gaps] == TOKENIZER.mask_id).all()
        whole = np.where(gaps, wanted, example.input_ids).tolist()
        assert whole == [TOKENIZER.cls_id, *text, TOKENIZER.sep_id]


def test_masks_are_a_function_of_the_key():
    def ids(key):
        return [example.input_ids.tolist() for example in masked(key)]

    assert ids((0, "x")) == ids((0, "x")) != ids((1, "x"))
