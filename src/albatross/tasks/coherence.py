"""Whether texts stand in their order: what the sentence-order head was trained to tell.

ALBERT, section 3.1; of a BERT's next-sentence head, whether the second follows the first at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from albatross.data.packing import Example
from albatross.data.records import TextRecord
from albatross.data.sentences import split_sentences
from albatross.errors import DataError
from albatross.tasks.classification import ClassificationTask
from albatross.tasks.inputs import PAIR_SPECIALS, Inputs, labelled
from albatross.tasks.options import in_place

ORDERS = ("in order", "out of order")
"""What the head says, by the number of its class."""
HEAD = "sop_classifier.classifier"


@dataclass(frozen=True)
class CoherenceTask(ClassificationTask):
    """Say whether two texts, or the sentences of one, stand in order.

    One text is asked about at the end of each sentence, with as much on both sides as has room, and
    answered by the mean of the logits.
    """

    kind: ClassVar[str] = "coherence"

    @classmethod
    def of(cls, inputs: Inputs) -> CoherenceTask:
        """Return the task of a pre-trained model."""
        return cls("coherence", ORDERS, ORDERS, inputs, head=HEAD)

    def features(self, record: TextRecord) -> list[Example]:
        """Return a pair for two texts; for one, a pair for each end of a sentence inside it.

        Raises:
            DataError: a single sentence.
        """
        if record.text_pair is not None:
            return super().features(record)
        sentences = [self.inputs.tokenizer.encode(each) for each in split_sentences(record.text)]
        if len(sentences) < 2:
            raise DataError(
                "Order is asked about two texts, or about one of several sentences. Received:"
                f" {record.text[:40]!r}{in_place(record.place)}. Give the second text as a pair."
            )
        ids = [number for each in sentences for number in each]
        examples = [self._at(ids, end) for end in accumulate(map(len, sentences[:-1]))]
        if record.label is None:
            return examples
        return labelled(examples, **{self.head: self.class_of(record.label, record.place)})

    def _at(self, ids: Sequence[int], end: int) -> Example:
        """Return the pair of what lies before and behind the end of a sentence."""
        room = self.inputs.max_length - PAIR_SPECIALS
        second = ids[end : end + max(room // 2, room - end)]
        return self.inputs.pair(ids[max(0, end + len(second) - room) : end], second)
