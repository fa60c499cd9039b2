"""Replaced-token detection (ELECTRA, Clark et al., 2020).

A small generator proposes words in the place of masked ones, and the model tells for every token
whether it is still the original. Both read the same tables of embeddings: factorisation has made E
common to any width. The losses are made elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from albatross.config import AlbertConfig
from albatross.modeling.encoder import ACTIVATIONS, AlbertTransformer
from albatross.modeling.heads import MaskedLMHead
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.packed import PackedInputs
from albatross.modeling.pretrained import draw_weights


@dataclass(frozen=True)
class ReplacedTokenOutput:
    """What both networks make of a batch.

    Attributes:
        generator_logits: (masked, vocab)
        detector_logits: (total_tokens,), above zero where a token seems replaced
        replaced: (total_tokens,), 1 where another token than the original stands, else 0
        rows: (total_tokens, hidden), the model's last ones over the proposed text
    """

    generator_logits: Tensor
    detector_logits: Tensor
    replaced: Tensor
    rows: Tensor


class DetectorHead(nn.Module):
    """Whether a token was replaced: dense, activation, one number; named as in transformers."""

    def __init__(self, config: AlbertConfig) -> None:
        """Make both maps."""
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.dense_prediction = nn.Linear(config.hidden_size, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Return logits `(total_tokens,)` for rows `(total_tokens, hidden)`."""
        logits: Tensor = self.dense_prediction(self.activation(self.dense(rows)))
        return logits.squeeze(-1)


class ReplacedTokenDetector(nn.Module):
    """A model in training with the generator that sets its exercises.

    No gradient goes from the detector into the generator: words are drawn, which has none. The
    generator learns masked words, and so shapes the common embeddings, too.
    """

    def __init__(self, model: AlbertForPreTraining, *, seed: int) -> None:
        """Put a generator and a detector's head, drawn from `seed`, beside a model."""
        super().__init__()
        small = generator_config(model.config)
        self.model = model
        self.generator = AlbertTransformer(small)
        self.generator_head = MaskedLMHead(small)
        self.discriminator_predictions = DetectorHead(model.config)
        new = nn.ModuleList([self.generator, self.generator_head, self.discriminator_predictions])
        draw_weights(new, model.config.initializer_range, seed)

    def forward(
        self,
        inputs: PackedInputs,
        masked: Tensor,
        targets: Tensor,
        seed: int,
        depths: tuple[int, ...] | None = None,
    ) -> ReplacedTokenOutput:
        """Propose words for the masked rows and look for them.

        Args:
            inputs: the text with its masks.
            masked: (masked,), the rows that are to be predicted
            targets: (masked,), their original ids
            seed: what the proposed words are drawn by.
            depths: the flat depth indices that the model applies; the generator always applies all.
        """
        assert inputs.input_ids is not None
        embeddings = self.model.albert.embeddings
        guessed = self.generator(embeddings(inputs), inputs.layout)[masked]
        generator_logits = self.generator_head(guessed, embeddings.word_embeddings.weight)
        proposed = draw_words(generator_logits, seed)
        replaced = torch.zeros_like(inputs.input_ids)
        replaced[masked] = (proposed != targets).to(replaced.dtype)
        ids = inputs.input_ids.index_copy(0, masked, proposed)
        shown = replace(inputs, input_ids=ids, wanted=None)
        rows = self.model.albert.encode(shown, depths)
        detected = self.discriminator_predictions(rows)
        return ReplacedTokenOutput(generator_logits, detected, replaced, rows)


def generator_config(config: AlbertConfig) -> AlbertConfig:
    """Return the shape of a model's generator: a quarter as wide (ELECTRA, section 3.2), as deep.

    Heads keep their size while a quarter of them is at least one; of two or three, one is left.

    >>> generator_config(AlbertConfig()).hidden_size
    192
    """
    heads = max(1, config.num_attention_heads // 4)
    wide = config.num_attention_heads > 1
    hidden = heads * config.head_size if wide else max(1, config.hidden_size // 4)
    return replace(
        config,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=max(1, config.intermediate_size * hidden // config.hidden_size),
        embedding_projection=True,
        depth_lora_rank=0,
    )


@torch.no_grad()
def draw_words(logits: Tensor, seed: int) -> Tensor:
    """Return a word `(rows,)` for each row of logits `(rows, vocab)`, by its probability.

    By one number a row, looked up in the running sum of probabilities: the paper's Gumbel noise
    draws alike, but wants a number for every word, and takes several times as long.
    """
    generator = torch.Generator(logits.device).manual_seed(seed)
    sums = logits.float().softmax(-1).cumsum(-1)
    place = torch.rand(len(logits), 1, generator=generator, device=logits.device) * sums[:, -1:]
    return torch.searchsorted(sums, place, right=True).squeeze(-1).clamp_(max=logits.shape[-1] - 1)
