"""ALBERT with a head for a task: Hugging Face's classes, and Google's beam head for questions.

Class names, arguments, tensor names, losses and dropout are those of transformers, where it has the
class: `classifier_dropout_prob` acts on what a `classifier` reads, and nowhere before `qa_outputs`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from albatross.config import AlbertConfig
from albatross.errors import ConfigError, DataError
from albatross.modeling.beam_head import BeamQuestionHead
from albatross.modeling.heads import ClassHead, close, cross_entropy, position_loss
from albatross.modeling.model import AlbertModel
from albatross.modeling.outputs import (
    AlbertForBeamQuestionAnsweringOutput,
    AlbertForQuestionAnsweringOutput,
    AlbertHeadOutput,
    AlbertModelOutput,
)
from albatross.modeling.pretrained import AlbertPreTrainedModel


class AlbertClassifier(AlbertPreTrainedModel):
    """A `classifier` over sequences or tokens: what its two kinds, below, have in common."""

    pools: bool

    def __init__(
        self, config: AlbertConfig, *, num_labels: int | None = None, seed: int = 0
    ) -> None:
        """Make the model; `num_labels` is read from the configuration when not given."""
        super().__init__()
        self.config = _with_labels(config, num_labels)
        self.num_labels = self.config.num_labels
        self.albert = AlbertModel(self.config, add_pooling_layer=self.pools, seed=None)
        self.classifier = ClassHead(self.config, self.num_labels)
        self.initialize(seed)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **options: bool,
    ) -> AlbertHeadOutput:
        """Score padded sequences; arguments as in `AlbertModel`, labels as the class says."""
        encoded = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **options
        )
        logits = self.classifier(encoded.pooler_output if self.pools else encoded.last_hidden_state)
        loss = None if labels is None else self._loss(logits, labels)
        return AlbertHeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy over the labels that are not -100."""
        return cross_entropy(logits.flatten(0, -2), labels.flatten())


class AlbertForSequenceClassification(AlbertClassifier):
    """Classes or scores of a text or a pair; one label means regression, as in transformers.

    The loss follows the configuration's `problem_type`, or the labels: real numbers for one label,
    class numbers (batch,), or a row of zeros and ones (batch, classes).
    """

    pools = True

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of the problem's type."""
        kind = self.config.extra.get("problem_type")
        if kind is None:
            integers = not labels.is_floating_point() and labels.dtype != torch.bool
            kind = "single_label_classification" if integers else "multi_label_classification"
            kind = "regression" if self.num_labels == 1 else kind
        if kind == "regression":
            return functional.mse_loss(logits, labels.to(logits.dtype).reshape(logits.shape))
        if kind == "multi_label_classification":
            return functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        if kind == "single_label_classification":
            return super()._loss(logits, labels)
        raise ConfigError(
            "`problem_type` must be regression, single_label_classification or"
            f" multi_label_classification. Received: {kind!r}."
        )


class AlbertForTokenClassification(AlbertClassifier):
    """A class for every token: logits and labels (batch, tokens), -100 for none.

    Without a pooler. Where the mask hides a token the logits mean nothing; give it no label.
    """

    pools = False


class AlbertForMultipleChoice(AlbertPreTrainedModel):
    """The best of several continuations, each of them a sequence with one score."""

    def __init__(self, config: AlbertConfig, *, seed: int = 0) -> None:
        """Make the model with random weights drawn from `seed`."""
        super().__init__()
        self.config = config
        self.albert = AlbertModel(config, seed=None)
        self.classifier = ClassHead(config, 1)
        self.initialize(seed)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        **options: bool,
    ) -> AlbertHeadOutput:
        """Score choices: logits (batch, choices).

        Args:
            input_ids: (batch, choices, tokens), and the other arguments of `AlbertModel` likewise
            attention_mask: see `input_ids`
            token_type_ids: see `input_ids`
            position_ids: see `input_ids`
            inputs_embeds: (batch, choices, tokens, embedding) in place of `input_ids`
            labels: (batch,), the number of the right choice
            options: `output_hidden_states`, `output_attentions`; of (batch * choices) sequences

        Raises:
            DataError: the tensors have no dimension of choices, or do not fit each other.
        """
        tensors = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        given = inputs_embeds if input_ids is None else input_ids
        if given is None or given.dim() != (4 if input_ids is None else 3):
            raise DataError(
                "`input_ids` must be (batch, choices, tokens), or `inputs_embeds` (batch, choices,"
                f" tokens, embedding). Received: {None if given is None else tuple(given.shape)}."
            )
        encoded = self.albert(*(t if t is None else t.flatten(0, 1) for t in tensors), **options)
        logits = self.classifier(encoded.pooler_output).view(given.shape[:2])
        loss = None if labels is None else cross_entropy(logits, labels.flatten())
        return AlbertHeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)


class AlbertForQuestionAnswering(AlbertPreTrainedModel):
    """The first and the last token of an answer in the text; SQuAD 1.1's head."""

    def __init__(
        self, config: AlbertConfig, *, num_labels: int | None = None, seed: int = 0
    ) -> None:
        """Make the model; its two outputs are the two labels that the configuration counts."""
        super().__init__()
        self.config = _with_labels(config, num_labels)
        if self.config.num_labels != 2:
            raise ConfigError(
                "Question answering has two outputs, a start and an end: `num_labels` must be 2."
                f" Received: {self.config.num_labels}. Pass `num_labels=2`."
            )
        self.albert = AlbertModel(self.config, add_pooling_layer=False, seed=None)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.initialize(seed)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **options: bool,
    ) -> AlbertForQuestionAnsweringOutput:
        """Score every token as start and as end.

        Cells that the mask hides are no answer; in transformers pads compete with the tokens.

        Args:
            input_ids: (batch, tokens), and the other arguments of `AlbertModel`
            attention_mask: see `AlbertModel`
            token_type_ids: see `AlbertModel`
            position_ids: see `AlbertModel`
            inputs_embeds: see `AlbertModel`
            start_positions: (batch,), columns; one beyond the tokens or hidden is ignored
            end_positions: (batch,), likewise
            options: `output_hidden_states`, `output_attentions`
        """
        encoded = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **options
        )
        closed = _hidden_cells(attention_mask, encoded)
        both = close(self.qa_outputs(encoded.last_hidden_state), closed[:, :, None])
        start_logits, end_logits = both.unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = position_loss(start_logits, start_positions, closed)
            loss = (loss + position_loss(end_logits, end_positions, closed)) / 2
        return AlbertForQuestionAnsweringOutput(
            loss, start_logits, end_logits, encoded.hidden_states, encoded.attentions
        )


class AlbertForBeamQuestionAnswering(AlbertPreTrainedModel):
    """Answers, or that there is none: Google's head for SQuAD 2.0.

    Its published scores rest on this head; transformers has it for XLNet only.
    """

    def __init__(
        self,
        config: AlbertConfig,
        *,
        start_n_top: int = 5,
        end_n_top: int = 5,
        seed: int = 0,
    ) -> None:
        """Make the model; it looks for `end_n_top` ends of each of `start_n_top` starts."""
        super().__init__()
        if min(start_n_top, end_n_top) < 1:
            raise ConfigError(
                "`start_n_top` and `end_n_top` must be at least 1."
                f" Received: {start_n_top}, {end_n_top}. Google's are 5 and 5."
            )
        self.config = config
        self.start_n_top, self.end_n_top = start_n_top, end_n_top
        self.albert = AlbertModel(config, add_pooling_layer=False, seed=None)
        self.beam_qa = BeamQuestionHead(config)
        self.initialize(seed)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        p_mask: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        is_impossible: Tensor | None = None,
        **options: bool,
    ) -> AlbertForBeamQuestionAnsweringOutput:
        """Return the loss where positions are given, else the best spans; always `cls_logits`.

        Args:
            input_ids: (batch, tokens), and the other arguments of `AlbertModel`
            attention_mask: see `AlbertModel`
            token_type_ids: see `AlbertModel`
            position_ids: see `AlbertModel`
            inputs_embeds: see `AlbertModel`
            p_mask: (batch, tokens), 1 where no answer may lie: in the question, at separators;
                Google leaves [CLS] open, where the spans of questions without an answer lie
            start_positions: (batch,), columns; one beyond the tokens or closed is ignored
            end_positions: (batch,), likewise
            is_impossible: (batch,), 1 where there is no answer
            options: `output_hidden_states`, `output_attentions`
        """
        encoded = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **options
        )
        states, hidden = encoded.last_hidden_state, _hidden_cells(attention_mask, encoded)
        closed = hidden if p_mask is None else hidden | p_mask.bool()
        start_logits = self.beam_qa.start_logits(states, closed)
        first = (~hidden).int().argmax(1)
        answer = self.beam_qa.answer_logits(states, start_logits, first)
        found: dict[str, Any] = {"cls_logits": answer}
        if start_positions is not None and end_positions is not None:
            starts = start_positions.long().view(-1, 1).clamp(0, states.shape[1] - 1)
            end_logits = self.beam_qa.end_logits(states, starts, closed).squeeze(1)
            loss = position_loss(start_logits, start_positions, closed)
            loss = (loss + position_loss(end_logits, end_positions, closed)) / 2
            found["loss"] = loss + _answer_loss(answer, is_impossible)
        else:
            counts = {"starts": self.start_n_top, "ends": self.end_n_top}
            found |= vars(self.beam_qa.beams(states, start_logits, closed, **counts))
        return AlbertForBeamQuestionAnsweringOutput(
            **found, hidden_states=encoded.hidden_states, attentions=encoded.attentions
        )


def _hidden_cells(attention_mask: Tensor | None, encoded: AlbertModelOutput) -> Tensor:
    """Return (batch, tokens), True where the mask hides a token."""
    states = encoded.last_hidden_state
    if attention_mask is None:
        return torch.zeros(states.shape[:2], dtype=torch.bool, device=states.device)
    return ~attention_mask.bool()


def _answer_loss(logits: Tensor, is_impossible: Tensor | None) -> Tensor | float:
    """Return half the loss of telling questions without an answer; the half is Google's weight."""
    if is_impossible is None:
        return 0.0
    labels = is_impossible.to(logits.dtype).view_as(logits)
    return functional.binary_cross_entropy_with_logits(logits, labels) / 2


def _with_labels(config: AlbertConfig, num_labels: int | None) -> AlbertConfig:
    """Return the configuration with transformers' keys for so many labels without names."""
    if num_labels is None or num_labels == config.num_labels:
        return config
    names = {str(index): f"LABEL_{index}" for index in range(num_labels)}
    numbers = {name: int(index) for index, name in names.items()}
    keys = {"id2label": names, "label2id": numbers, "num_labels": num_labels}
    return replace(config, extra={**config.extra, **keys})
