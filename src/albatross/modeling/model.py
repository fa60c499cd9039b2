"""ALBERT with Hugging Face's class names, arguments and outputs; packed at heart.

Every class reads padded tensors in `forward` and packed ones through its parts. Training and
engines take the packed way: `AlbertModel.encode` and the heads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from albatross.config import AlbertConfig
from albatross.errors import ConfigError
from albatross.modeling.embeddings import AlbertEmbeddings
from albatross.modeling.encoder import AlbertTransformer
from albatross.modeling.heads import MaskedLMHead, SentenceOrderHead, cross_entropy
from albatross.modeling.outputs import (
    AlbertForPreTrainingOutput,
    AlbertHeadOutput,
    AlbertModelOutput,
)
from albatross.modeling.packed import PackedInputs, PackedLayout, PaddedInputs
from albatross.modeling.pretrained import AlbertPreTrainedModel
from albatross.modeling.vocabulary_loss import vocabulary_loss


class AlbertModel(AlbertPreTrainedModel):
    """Embeddings, shared encoder and pooler.

    >>> from albatross.config import variant
    >>> AlbertModel(variant("albatross-tiny"))
    AlbertModel(hidden=128, depth=4, sharing='all', parameters=1,345,920)
    """

    optional_parts: ClassVar[Mapping[str, str]] = {"albert.pooler.": "add_pooling_layer"}

    def __init__(
        self, config: AlbertConfig, *, add_pooling_layer: bool = True, seed: int | None = 0
    ) -> None:
        """Make the model with random weights drawn from `seed`; None leaves that to an owner."""
        super().__init__()
        self.config = config
        self.embeddings = AlbertEmbeddings(config)
        self.encoder = AlbertTransformer(config)
        if add_pooling_layer:
            self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        if seed is not None:
            self.initialize(seed)

    def encode(self, inputs: PackedInputs, depths: Sequence[int] | None = None) -> Tensor:
        """Return the last rows of packed sequences: (total_tokens, hidden), or (wanted, hidden).

        Args:
            inputs: the packed sequences; where they say which rows are wanted, those alone come.
            depths: the flat depth indices to be applied, in order; all of them by default.
        """
        embeddings = self.embeddings(inputs)
        rows: Tensor = self.encoder(embeddings, inputs.layout, depths, inputs.wanted)
        return rows

    def pool(self, rows: Tensor, layout: PackedLayout) -> Tensor:
        """Return tanh of the dense map of each sequence's first row: (sequences, hidden)."""
        return torch.tanh(self.pooler(rows[layout.first]))

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> AlbertModelOutput:
        """Encode padded sequences.

        Args:
            input_ids: (batch, tokens)
            attention_mask: (batch, tokens), nonzero where there is a token
            token_type_ids: (batch, tokens)
            position_ids: (batch, tokens)
            inputs_embeds: (batch, tokens, embedding) in place of `input_ids`
            output_hidden_states: return the rows of every depth too.
            output_attentions: return attention probabilities too; they are computed a second time.

        Raises:
            DataError: the tensors do not fit each other or the model's tables.
        """
        padded = PaddedInputs.from_tensors(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds
        )
        layout = padded.packed.layout
        self.embeddings.check(padded.packed)
        all_states = self.encoder.states(self.embeddings(padded.packed), layout)
        keep_all = output_hidden_states or output_attentions
        states = deque(all_states, maxlen=None if keep_all else 1)
        pooled = self.pool(states[-1], layout) if hasattr(self, "pooler") else None
        attentions = None
        if output_attentions:
            attentions = tuple(
                padded.pad_attention(self.encoder.probabilities(states[d], layout, d))
                for d in range(self.config.depth)
            )
        return AlbertModelOutput(
            padded.pad(states[-1]),
            pooled,
            tuple(padded.pad(rows) for rows in states) if output_hidden_states else None,
            attentions,
        )


class AlbertForPreTraining(AlbertPreTrainedModel):
    """Masked words and sentence order; either loss may be absent."""

    optional_parts: ClassVar[Mapping[str, str]] = {
        **AlbertModel.optional_parts,
        "sop_classifier.": "add_sentence_order_head",
    }

    def __init__(
        self,
        config: AlbertConfig,
        *,
        add_pooling_layer: bool = True,
        add_sentence_order_head: bool = True,
        seed: int = 0,
    ) -> None:
        """Make the model with random weights drawn from `seed`.

        The sentence-order head stands on the pooler: without it there is neither.
        """
        super().__init__()
        self.config = config
        self.albert = AlbertModel(config, add_pooling_layer=add_pooling_layer, seed=None)
        self.predictions = MaskedLMHead(config)
        if add_pooling_layer and add_sentence_order_head:
            self.sop_classifier = SentenceOrderHead(config)
        self.initialize(seed)

    def predict_words(self, rows: Tensor) -> Tensor:
        """Return logits over the vocabulary for rows `(rows, hidden)`."""
        logits: Tensor = self.predictions(rows, self.albert.embeddings.word_embeddings.weight)
        return logits

    def words_loss(self, rows: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of words `(rows,)`, summed, without keeping their logits."""
        told = self.predictions.transformed(rows)
        table = self.albert.embeddings.word_embeddings.weight
        return vocabulary_loss(told, table, self.predictions.bias, targets)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        sentence_order_label: Tensor | None = None,
        **options: bool,
    ) -> AlbertForPreTrainingOutput:
        """Predict masked words and sentence order of padded sequences.

        Args:
            input_ids: (batch, tokens), and the other arguments of `AlbertModel`
            attention_mask: see `AlbertModel`
            token_type_ids: see `AlbertModel`
            position_ids: see `AlbertModel`
            inputs_embeds: see `AlbertModel`
            labels: (batch, tokens), the words to be predicted, -100 elsewhere
            sentence_order_label: (batch,), 0 for the original order, 1 for switched, -100 for none
            options: `output_hidden_states`, `output_attentions`

        Raises:
            ConfigError: a label for a head that the model was made without.
        """
        encoded = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **options
        )
        logits = self.predict_words(encoded.last_hidden_state)
        order = self._sentence_order(encoded.pooler_output, sentence_order_label)
        losses = []
        if labels is not None:
            losses.append(cross_entropy(logits.flatten(0, 1), labels.flatten()))
        if order is not None and sentence_order_label is not None:
            losses.append(cross_entropy(order, sentence_order_label.flatten()))
        loss = torch.stack(losses).sum() if losses else None
        return AlbertForPreTrainingOutput(
            loss, logits, order, encoded.hidden_states, encoded.attentions
        )

    def _sentence_order(self, pooled: Tensor | None, label: Tensor | None) -> Tensor | None:
        """Return the logits of the sentence-order head, if there is one."""
        if hasattr(self, "sop_classifier"):
            logits: Tensor = self.sop_classifier(pooled)
            return logits
        if label is not None:
            raise ConfigError(
                "`sentence_order_label` needs the sentence-order head. Received: a model without"
                ' it. Open it with `initialize="sop_classifier"`, and `"albert.pooler"` where that'
                " is missing, too."
            )
        return None


class AlbertForMaskedLM(AlbertPreTrainedModel):
    """Masked words alone, without a pooler."""

    def __init__(self, config: AlbertConfig, *, seed: int = 0) -> None:
        """Make the model with random weights drawn from `seed`."""
        super().__init__()
        self.config = config
        self.albert = AlbertModel(config, add_pooling_layer=False, seed=None)
        self.predictions = MaskedLMHead(config)
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
        """Predict masked words; arguments as in `AlbertForPreTraining`."""
        encoded = self.albert(
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds, **options
        )
        words = self.albert.embeddings.word_embeddings.weight
        logits = self.predictions(encoded.last_hidden_state, words)
        loss = None
        if labels is not None:
            loss = cross_entropy(logits.flatten(0, 1), labels.flatten())
        return AlbertHeadOutput(loss, logits, encoded.hidden_states, encoded.attentions)
