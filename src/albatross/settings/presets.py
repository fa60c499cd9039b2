"""How a task is fine-tuned unless the settings say otherwise: by the task and the model's size.

The benchmarks' values are ALBERT's (Lan et al., 2020, table 14), with steps turned into passes over
the full training set. They were found for Google's sizes; for the small ones of our own, rates are
higher, found on SST-2, CoLA and RTE.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from albatross.config import AlbertConfig


@dataclass(frozen=True)
class Preset:
    """How a task is learned.

    Attributes:
        learning_rate: the peak
        batch_size: examples of a step
        epochs: passes over the records; for some tasks more of few, see `preset_of`
        warmup: share of the run in which the rate rises
        dropout: of hidden rows and attention
        max_length: tokens of a sequence
        mark_shared: whether what stands in both texts of a pair is marked
        word_share: how much of two texts' likeness is that of their words alone
    """

    learning_rate: float
    batch_size: int
    epochs: float
    warmup: float
    dropout: float
    max_length: int
    mark_shared: Literal["yes", "no"] = "no"
    word_share: float = 0.0


PRESETS: dict[str, Preset] = {
    "cola": Preset(1e-5, 16, 10, 0.06, 0.0, 512),
    "stsb": Preset(2e-5, 16, 10, 0.06, 0.0, 512),
    "sst2": Preset(1e-5, 32, 10, 0.06, 0.0, 512),
    "mnli": Preset(3e-5, 128, 3.3, 0.1, 0.0, 512),
    "snli": Preset(3e-5, 128, 3.3, 0.1, 0.0, 512),
    "qnli": Preset(1e-5, 32, 10, 0.06, 0.0, 512),
    "qqp": Preset(5e-5, 128, 5, 0.07, 0.1, 512),
    "rte": Preset(3e-5, 32, 10, 0.25, 0.1, 512),
    "mrpc": Preset(2e-5, 32, 7, 0.25, 0.0, 512),
    "wnli": Preset(2e-5, 16, 50, 0.125, 0.1, 512),
    "squad1": Preset(5e-5, 48, 2, 0.1, 0.0, 384),
    "squad2": Preset(3e-5, 48, 3, 0.1, 0.0, 512),
    "race": Preset(1e-5, 32, 4.4, 0.08, 0.0, 512),
    # The paper has no others. What is learned from the same kind of records is learned alike.
    "spans": Preset(3e-5, 48, 3, 0.1, 0.0, 384),
    "choice": Preset(1e-5, 32, 4.4, 0.08, 0.0, 512),
    "tagging": Preset(3e-5, 32, 5, 0.1, 0.1, 256),
    "conll": Preset(3e-5, 32, 5, 0.1, 0.1, 256),
    "regression": Preset(2e-5, 16, 10, 0.06, 0.0, 256),
    "similarity": Preset(2e-5, 64, 4, 0.1, 0.1, 256),
    "generation": Preset(5e-5, 32, 5, 0.1, 0.1, 256),
}
USUAL = Preset(2e-5, 32, 5, 0.1, 0.0, 256)
"""Of every other task."""
# Above base a rate must be lower, or the run collapses (google-research, issue 151: xlarge learned
# at 5e-6 alone): the largest rate, by the least width that it holds for.
_HIGHEST_BY_WIDTH = {2_048: 1e-5, 1_024: 2e-5}
# Of our own small ones, whatever the task: they learn next to nothing at the paper's rates, and
# collapse at twice these (CoLA with albatross-tiny).
_RATES_OF_SMALL = {128: 5e-4, 256: 3e-4, 512: 2e-4}
# The same models need more passes over few records of your own than large ones do: as many as make
# so many records, and at most so many. Found on held-out parts of WikiGold, IMDB, TREC and
# Banking77, and on questions of SQuAD (docs/log.md, 47 and 50).
_READ_IN_ALL, _MOST_EPOCHS = 120_000, 15
_OF_YOUR_OWN = (USUAL, PRESETS["tagging"], PRESETS["conll"], PRESETS["spans"])
# Words tell small models much about how alike sentences are (docs/log.md, 64).
_WORD_SHARE = 0.5
# Where few weights learn, they may go further at once (SST-2, TREC and RTE with albatross-tiny).
_FASTER = {"full": 1, "layers": 1, "frozen": 6, "lora": 4, "adapter": 4}


def preset_of(
    task: str, kind: str, config: AlbertConfig, adapt: str = "full", records: int | None = None
) -> Preset:
    """Return how a benchmark, or else its kind of task, is learned by a model.

    Args:
        task: a benchmark's name, or what else it is called.
        kind: the kind of the task.
        config: of the model.
        adapt: what of it learns.
        records: how many there are to learn from, where that is known: small models read few of
            them more often, unless the paper says how often.

    >>> xlarge = AlbertConfig(hidden_size=2_048, num_attention_heads=16)
    >>> preset_of("rte", "classification", xlarge).learning_rate
    1e-05
    """
    found = PRESETS.get(task) or PRESETS.get(kind) or USUAL
    rate, epochs, width = found.learning_rate, found.epochs, config.hidden_size
    for least, highest in _HIGHEST_BY_WIDTH.items():
        if width >= least:
            rate = min(rate, highest)
    rate = next((own for most, own in _RATES_OF_SMALL.items() if width <= most), rate)
    is_small = width <= max(_RATES_OF_SMALL)
    if records and found in _OF_YOUR_OWN and is_small:
        epochs = min(max(epochs, _READ_IN_ALL // records), _MOST_EPOCHS)
    return replace(
        found,
        learning_rate=rate * _FASTER[adapt],
        epochs=epochs,
        max_length=min(found.max_length, config.max_position_embeddings),
        # The types are learned with the embeddings, or were before.
        mark_shared="yes" if (is_small and adapt == "full") or config.marks_shared else "no",
        word_share=_WORD_SHARE if is_small and kind == "similarity" else 0.0,
    )
