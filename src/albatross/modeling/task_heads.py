"""The heads of tasks: what each makes of an encoder's last rows, and what it learns by.

Losses are summed over labels, as the trainer wants them; a label of -100 is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.config import AlbertConfig
from albatross.data.packing import IGNORED_LABEL, SHARED_TYPE, IntArray, PackedBatch
from albatross.head_spec import HeadSpec
from albatross.modeling.beam_head import BeamQuestionHead
from albatross.modeling.heads import ClassHead, MaskedLMHead, close
from albatross.modeling.losses import (
    SEQUENCE_LOSSES,
    Labels,
    LossOptions,
    known_labels,
    summed_cross_entropy,
    weight_of,
)
from albatross.modeling.packed import PackedLayout

# Google's numbers of starts, and of ends of each (`run_squad_v2.py`).
STARTS, ENDS = 5, 5
# What an absent one of them scores.
_IMPOSSIBLE = -1e30
# Of cosines in the contrastive loss (SimCSE, section 3: 0.05).
_TEMPERATURE = 0.05


@dataclass(frozen=True)
class Reading:
    """What heads look at.

    Attributes:
        rows: (total_tokens, hidden), the last ones
        pooled: (sequences, hidden); empty where no head reads it
        layout: where the sequences lie among the rows
        batch: the sequences
        words: (vocab, embedding), the table of words
    """

    rows: Tensor
    pooled: Tensor
    layout: PackedLayout
    batch: PackedBatch
    words: Tensor

    @property
    def closed(self) -> Tensor:
        """(total_tokens,), True where no answer may lie: the question and the separators.

        [CLS] is open, where Google puts the span of a question without an answer.
        """
        closed = self.batch.token_type_ids % SHARED_TYPE == 0
        closed[self.batch.cu_seqlens[:-1]] = False
        closed[self.batch.cu_seqlens[1:] - 1] = True
        return torch.from_numpy(closed).to(self.rows.device)

    @property
    def records(self) -> IntArray:
        """(sequences,), the record of each, counted from 0."""
        return np.unique(self.batch.example_to_record, return_inverse=True)[1].astype(np.int64)


class TaskHead(Protocol):
    """What every head can do; `name` is its own, by which labels are found.

    A head is a module, too; its tensors begin with its name.
    """

    def outputs(self, reading: Reading) -> dict[str, Tensor]:
        """Return the outputs by what is put after the head's name."""
        ...

    def loss(self, reading: Reading, name: str, labels: Labels, options: LossOptions) -> Tensor:
        """Return the summed loss; zero, with a gradient, without any label."""
        ...

    def count(self, name: str, batch: PackedBatch, options: LossOptions) -> float:
        """Return what the sum is divided by: the labels, as they are weighed."""
        ...


class SequenceHead(ClassHead):
    """Classes, several classes at once, ranks or a value of every sequence."""

    def __init__(self, config: AlbertConfig, spec: HeadSpec) -> None:
        """Make the linear map."""
        super().__init__(config, spec.size)
        self.kind_of_loss = spec.loss

    def outputs(self, reading: Reading) -> dict[str, Tensor]:
        """Return logits `(sequences, size)`."""
        return {"": self(reading.pooled)}

    def loss(self, reading: Reading, name: str, labels: Labels, options: LossOptions) -> Tensor:
        """Return the sum of the losses that the specification names."""
        return self.loss_of(self(reading.pooled), labels[name], options)

    def loss_of(self, logits: Tensor, labels: Tensor, options: LossOptions) -> Tensor:
        """Return the summed loss of logits `(sequences, size)`."""
        return SEQUENCE_LOSSES[self.kind_of_loss](logits.float(), labels, options)

    def count(self, name: str, batch: PackedBatch, options: LossOptions) -> float:
        """Count sequences, or what their classes weigh."""
        if self.kind_of_loss == "cross_entropy":
            return weight_of(batch.labels[name], options)
        return float(batch.num_sequences)


class ChoiceHead(ClassHead):
    """One score for every continuation; the best of a record's choices is its answer.

    The windows of a long context are averaged, as they are in answering.
    """

    def __init__(self, config: AlbertConfig, spec: HeadSpec) -> None:
        """Make the linear map."""
        super().__init__(config, 1)

    def outputs(self, reading: Reading) -> dict[str, Tensor]:
        """Return scores `(sequences, 1)`."""
        return {"": self(reading.pooled)}

    def loss(self, reading: Reading, name: str, labels: Labels, options: LossOptions) -> Tensor:
        """Return the summed cross entropy of the right choices among their records'."""
        logits = self(reading.pooled).float().squeeze(1)
        records, choices = reading.records, reading.batch.labels[f"{name}.choice"]
        table, cells = np.unique(np.stack([records, choices]), axis=1, return_inverse=True)
        cell = torch.from_numpy(cells.reshape(-1)).to(logits.device)
        of_record = torch.from_numpy(table[0]).to(logits.device)
        scores = logits.new_zeros(table.shape[1]).scatter_reduce(
            0, cell, logits, "mean", include_self=False
        )
        right = torch.zeros_like(scores).index_put((cell,), labels[name].to(scores))
        block = scores.new_full((len(np.unique(records)), int(choices.max()) + 1), _IMPOSSIBLE)
        column = torch.from_numpy(table[1]).to(logits.device)
        block = block.index_put((of_record, column), scores)
        losses: Tensor = (block.logsumexp(1)[of_record] - scores) * right
        return losses.sum()

    def count(self, name: str, batch: PackedBatch, options: LossOptions) -> float:
        """Count records with a right choice."""
        return float(len(np.unique(batch.example_to_record[batch.labels[name] == 1])))


class TokenHead(ClassHead):
    """A class of every token; only the first piece of a word has a label."""

    def __init__(self, config: AlbertConfig, spec: HeadSpec) -> None:
        """Make the linear map."""
        super().__init__(config, spec.size)

    def outputs(self, reading: Reading) -> dict[str, Tensor]:
        """Return logits `(total_tokens, size)`."""
        return {"": self(reading.rows)}

    def loss(self, reading: Reading, name: str, labels: Labels, options: LossOptions) -> Tensor:
        """Return the summed cross entropy of the labelled tokens, the only ones computed."""
        asked = (labels[name] != IGNORED_LABEL).nonzero().squeeze(1)
        return summed_cross_entropy(self(reading.rows[asked]).float(), labels[name][asked], options)

    def count(self, name: str, batch: PackedBatch, options: LossOptions) -> float:
        """Count labelled tokens, or what their classes weigh."""
        return weight_of(batch.labels[name], options)


class SpanHead(nn.Linear):
    """First and last token of an answer (BERT, section 4.2); SQuAD 1.1's head, without dropout."""

    def __init__(self, config: AlbertConfig, spec: HeadSpec) -> None:
        """Make the linear map with two outputs."""
        super().__init__(config.hidden_size, 2)

    def outputs(self, reading: Reading) -> dict[str, Tensor]:
        """Return logits `(total_tokens, 2)`."""
        return {"": self(reading.rows)}

    def loss(self, reading: Reading, name: str, labels: Labels, options: LossOptions) -> Tensor:
        """Return half the summed cross entropies of starts and ends, over a sequence's tokens."""
        block = _block(reading.layout, self(reading.rows).float())
        starts, ends = block.unbind(-1)
        losses = [_positions(starts, labels[f"{name}.start"])]
        losses.append(_positions(ends, labels[f"{name}.end"]))
        return torch.stack(losses).sum() / 2

    def count(self, name: str, batch: PackedBatch, options: LossOptions) -> float:
        """Count sequences with a span."""
        return known_labels(batch.labels[f"{name}.start"])


class BeamSpanHead(BeamQuestionHead):
    """Google's head for SQuAD 2.0, over packed rows."""

    def __init__(self, config: AlbertConfig, spec: HeadSpec) -> None:
        """Make the maps."""
        super().__init__(config)

    def outputs(self, reading: Reading) -> dict[str, Tensor]:
        """Return the best starts, the best ends of each, and the logit of there being no answer."""
        states, closed, starts, answers = self._read(reading)
        best = self.beams(states, starts, closed, starts=STARTS, ends=ENDS)
        found = len(best.start_top_index[0])
        # A sequence of few tokens has fewer: the rest is impossible.
        of_start = best.end_top_log_probs.unflatten(1, (found, -1))
        at = best.end_top_index.unflatten(1, (found, -1))
        rest = (0, ENDS - of_start.shape[2], 0, STARTS - found)
        return {
            ".start_log_probs": functional.pad(
                best.start_top_log_probs, (0, STARTS - found), value=_IMPOSSIBLE
            ),
            ".start_index": functional.pad(best.start_top_index, (0, STARTS - found)),
            ".end_log_probs": functional.pad(of_start, rest, value=_IMPOSSIBLE).flatten(1),
            ".end_index": functional.pad(at, rest).flatten(1),
            ".no_answer": answers,
        }

    def loss(self, reading: Reading, name: str, labels: Labels, options: LossOptions) -> Tensor:
        """Return half of starts and ends, and half of whether there is an answer, summed."""
        states, closed, starts, answers = self._read(reading)
        first = labels[f"{name}.start"]
        ends = self.end_logits(states, first.clamp(min=0)[:, None], closed).squeeze(1)
        known = first != IGNORED_LABEL
        spans = _positions(starts, first) + _positions(ends, labels[f"{name}.end"])
        impossible = labels[f"{name}.impossible"].to(answers.dtype)
        told = functional.binary_cross_entropy_with_logits(answers, impossible, reduction="none")
        return (spans + (told * known).sum()) / 2

    def count(self, name: str, batch: PackedBatch, options: LossOptions) -> float:
        """Count sequences with a span."""
        return known_labels(batch.labels[f"{name}.start"])

    def _read(self, reading: Reading) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return states, closed cells, start logits and answer logits, by sequence."""
        layout = reading.layout
        states = layout.to_block(reading.rows.float())
        closed = layout.to_block(reading.closed[:, None].float()).squeeze(-1) > 0
        if layout.key_mask is not None:
            closed = closed | ~layout.key_mask[:, 0, 0]
        starts = self.start_logits(states, closed)
        first = torch.zeros(layout.num_sequences, dtype=torch.long, device=states.device)
        return states, closed, starts, self.answer_logits(states, starts, first)


class EmbeddingHead(nn.Module):
    """The mean of a sequence's rows, of unit length (Sentence-BERT, section 3)."""

    def __init__(self, config: AlbertConfig, spec: HeadSpec) -> None:
        """Nothing is learned here."""
        super().__init__()
        self.kind_of_loss = spec.loss
        self.temperature = float(spec.options.get("temperature", _TEMPERATURE))

    def outputs(self, reading: Reading) -> dict[str, Tensor]:
        """Return vectors `(sequences, hidden)`."""
        lengths = torch.diff(reading.layout.cu_seqlens.long())
        of_row = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        rows = reading.rows.float()
        summed = rows.new_zeros(len(lengths), rows.shape[1]).index_add(0, of_row, rows)
        return {"": functional.normalize(summed / lengths[:, None], dim=1)}

    def loss(self, reading: Reading, name: str, labels: Labels, options: LossOptions) -> Tensor:
        """Return squared differences of cosines, or cross entropies among the other records' texts.

        The label `side` tells the windows of a record's first text from those of its second.
        """
        first, second = self._vectors(reading, labels[f"{name}.side"])
        if self.kind_of_loss == "cosine":
            # All windows of a record carry the same label.
            at = torch.from_numpy(np.unique(reading.records, return_index=True)[1])
            wanted = labels[name].to(first)[at.to(first.device)]
            differences: Tensor = (first * second).sum(1) - wanted
            return differences.square().sum()
        scores = first @ second.T / self.temperature
        own = torch.arange(len(scores), device=scores.device)
        both = functional.cross_entropy(scores, own, reduction="sum")
        return (both + functional.cross_entropy(scores.T, own, reduction="sum")) / 2

    def count(self, name: str, batch: PackedBatch, options: LossOptions) -> float:
        """Count records."""
        return float(len(np.unique(batch.example_to_record)))

    def _vectors(self, reading: Reading, sides: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of first and second texts `(records, hidden)`, windows averaged."""
        vectors = self.outputs(reading)[""]
        records = torch.from_numpy(reading.records).to(vectors.device)
        table = vectors.new_zeros(2, int(records.max()) + 1, vectors.shape[1])
        summed = table.index_put((sides.long(), records), vectors, accumulate=True)
        first, second = functional.normalize(summed, dim=2).unbind(0)
        return first, second


class WordsHead(MaskedLMHead):
    """Which words may stand at the token that is asked about."""

    def __init__(self, config: AlbertConfig, spec: HeadSpec) -> None:
        """Make the masked-word head."""
        super().__init__(config)

    def outputs(self, reading: Reading) -> dict[str, Tensor]:
        """Return logits `(sequences, vocab)`."""
        asked = torch.from_numpy(reading.batch.asked).to(reading.rows.device)
        return {"": self(reading.rows[asked], reading.words)}

    def loss(self, reading: Reading, name: str, labels: Labels, options: LossOptions) -> Tensor:
        """Return the summed cross entropy of the right pieces."""
        return summed_cross_entropy(self.outputs(reading)[""].float(), labels[name], options)

    def count(self, name: str, batch: PackedBatch, options: LossOptions) -> float:
        """Count sequences with a right piece."""
        return weight_of(batch.labels[name], options)


HEADS: dict[str, Callable[[AlbertConfig, HeadSpec], nn.Module]] = {
    "sequence": SequenceHead,
    "choice": ChoiceHead,
    "token": TokenHead,
    "span": SpanHead,
    "beam_span": BeamSpanHead,
    "embedding": EmbeddingHead,
    "words": WordsHead,
}


def _block(layout: PackedLayout, logits: Tensor) -> Tensor:
    """Lay logits `(total_tokens, size)` into `(sequences, max_seqlen, size)`, pads impossible."""
    block = layout.to_block(logits)
    return block if layout.key_mask is None else close(block, ~layout.key_mask[:, 0, 0, :, None])


def _positions(logits: Tensor, positions: Tensor) -> Tensor:
    """Return the summed cross entropy of positions `(sequences,)` among `(sequences, tokens)`."""
    return functional.cross_entropy(
        logits, positions.long(), ignore_index=IGNORED_LABEL, reduction="sum"
    )
