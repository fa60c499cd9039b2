"""ALBERT that makes one sequence of another, with a decoder or through its encoder alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor

from albatross.config import AlbertConfig
from albatross.errors import ConfigError, DataError
from albatross.modeling.decoder import (
    AlbertDecoder,
    DecoderState,
    DepthBlocks,
    Memory,
    blocks_of,
    sight,
    visible_keys,
    walk,
)
from albatross.modeling.heads import MaskedLMHead
from albatross.modeling.model import AlbertModel
from albatross.modeling.packed import PackedInputs, PackedLayout
from albatross.modeling.pretrained import AlbertPreTrainedModel

DecoderKind = Literal["cross", "prefix"]
DECODER_KEY, TIED_KEY = "generation_decoder", "generation_tied"
"""Keys of `config.json`. Not `decoder`: transformers would take that for a configuration."""
_ENCODER_GROUPS = "albert.encoder.albert_layer_groups."
_DECODER_GROUPS = "decoder.albert_layer_groups."


@dataclass(frozen=True)
class Decoded:
    """What is said of the next token, logits (sequences, vocab), and the state to go on from."""

    logits: Tensor
    state: DecoderState


class AlbertForGeneration(AlbertPreTrainedModel):
    """Sequence to sequence on ALBERT, in one of two ways.

    `cross`: a decoder whose layers, shared as the encoder's are, attend to the words so far and to
    the encoder's rows. Opened from a folder without one it starts warm: self-attention,
    feed-forward and norms from the encoder, cross-attention from self-attention (Rothe et al.,
    2020, without what they draw anew); `initialize="decoder"` draws all of it. `tied` leaves it
    cross-attention alone; the rest is the encoder's.

    `prefix`: nothing beside the encoder. It reads the target after the source, and a mask lets
    target tokens see those before them alone (UniLM, Dong et al., 2019).

    Words come from the masked-word head over the tied table in either. A fine-tuned folder is
    opened exactly as it was saved.
    """

    def __init__(
        self,
        config: AlbertConfig,
        *,
        decoder: DecoderKind | None = None,
        tied: bool | None = None,
        seed: int = 0,
    ) -> None:
        """Make the model with random weights drawn from `seed`.

        Args:
            config: of the encoder; it keeps the choices below.
            decoder: how targets are read; by default what the configuration says, else `cross`.
            tied: whether a `cross` decoder shares the encoder's layers; likewise, else not.
            seed: of the draw.

        Raises:
            ConfigError: no such decoder, or one that the configuration has no place for.
        """
        super().__init__()
        self.config = _with_choice(config, decoder, tied)
        self.albert = AlbertModel(self.config, add_pooling_layer=False, seed=None)
        if self.config.extra[DECODER_KEY] == "cross":
            self.decoder = AlbertDecoder(self.config, tied=bool(self.config.extra[TIED_KEY]))
        self.predictions = MaskedLMHead(self.config)
        self.initialize(seed)

    @property
    def decoder_kind(self) -> DecoderKind:
        """How targets are read."""
        return "cross" if hasattr(self, "decoder") else "prefix"

    def forward(self, inputs: PackedInputs, target: PackedInputs | None = None) -> Tensor:
        """Return logits over the word after each token: (total_tokens, vocab); see `decode`."""
        return self.predict_words(self.decode(inputs, target))

    def decode(self, inputs: PackedInputs, target: PackedInputs | None = None) -> Tensor:
        """Return the last rows of targets: (total_tokens, hidden).

        Args:
            inputs: the sources; for `prefix` with their targets behind them, as token type 1.
            target: for `cross`, the targets, one a source.

        Raises:
            DataError: targets are missing.
        """
        prefix = self.decoder_kind == "prefix"
        read = inputs if prefix else target
        if read is None:
            raise DataError(
                "A decoder with cross-attention needs targets beside their sources. Received: none."
                " Give examples a `target`."
            )
        blocks, memory = self._blocks(), None
        if not prefix:
            sources = self.albert.encode(inputs)
            memory = Memory.of_rows(blocks, sources, inputs.layout)
        rows = self.albert.encoder.project(self.albert.embeddings(read))
        mask = sight(visible_keys(read, prefix=prefix), read.layout)
        return walk(blocks, rows, read.layout, mask, memory).rows

    def begin(self, inputs: PackedInputs) -> Decoded:
        """Read sources, and tell the first word of each target.

        Raises:
            DataError: a source is longer than the table of positions.
        """
        blocks, layout = self._blocks(), inputs.layout
        if self.decoder_kind == "prefix":
            rows = self.albert.encoder.project(self.albert.embeddings(inputs))
            walked = walk(blocks, rows, layout, layout.key_mask)
            last = layout.cu_seqlens[1:].long() - 1
            lengths = layout.cu_seqlens.diff().long()
            state = DecoderState(walked.kept, layout.key_mask, lengths, None)
            return Decoded(self.predict_words(walked.rows[last]), state)
        memory = Memory.of_rows(blocks, self.albert.encode(inputs), layout)
        assert inputs.input_ids is not None
        empty = DecoderState((), None, torch.zeros_like(layout.first), memory)
        return self.advance(empty, inputs.input_ids[layout.first])  # a target begins with [CLS]

    def advance(self, state: DecoderState, ids: Tensor) -> Decoded:
        """Read one more token of every target, ids `(sequences,)`, and tell the word after it.

        Raises:
            DataError: there are no positions left.
        """
        config = self.config
        if len(ids) and int(state.positions.max()) >= config.max_position_embeddings:
            raise DataError(
                f"A sequence must have at most {config.max_position_embeddings} tokens"
                " (`max_position_embeddings`). Received: one that goes on. Generate fewer tokens,"
                " or cut the source."
            )
        layout = PackedLayout.from_cu_seqlens(np.arange(len(ids) + 1), ids.device)  # a token each
        kind = int(self.decoder_kind == "prefix")
        inputs = PackedInputs(ids, torch.full_like(ids, kind), state.positions, layout)
        rows = self.albert.encoder.project(self.albert.embeddings(inputs))
        mask = state.mask
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(ids), 1, 1, 1)], dim=3)
        walked = walk(self._blocks(), rows, layout, mask, state.memory, state.kept)
        after = DecoderState(walked.kept, mask, state.positions + 1, state.memory)
        return Decoded(self.predict_words(walked.rows), after)

    def predict_words(self, rows: Tensor) -> Tensor:
        """Return logits over the vocabulary for rows `(rows, hidden)`."""
        logits: Tensor = self.predictions(rows, self.albert.embeddings.word_embeddings.weight)
        return logits

    def _blocks(self) -> tuple[DepthBlocks, ...]:
        """Return the blocks that read targets, by depth."""
        return blocks_of(self.albert.encoder, getattr(self, "decoder", None))

    @classmethod
    def _opened(
        cls,
        config: AlbertConfig,
        arrays: Mapping[str, Any],
        anew: tuple[str, ...],
        seed: int,
        source: str,
        options: Mapping[str, Any],
    ) -> Self:
        """Make a model with these arrays, after giving them the decoder that they may lack."""
        chosen = _with_choice(config, options.get("decoder"), options.get("tied"))
        if chosen.extra[DECODER_KEY] == "cross" and "decoder" not in anew:
            arrays = warm_started(arrays, tied=bool(chosen.extra[TIED_KEY]))
        return super()._opened(config, arrays, anew, seed, source, options)


def warm_started(arrays: Mapping[str, Any], *, tied: bool) -> dict[str, Any]:
    """Return an encoder's arrays with a decoder of its weights; unchanged where there is one.

    Self-attention, feed-forward and norms are the encoder's, cross-attention is its self-attention.
    """
    if any(name.startswith(_DECODER_GROUPS) for name in arrays):
        return dict(arrays)
    made: dict[str, Any] = {}
    for name, array in arrays.items():
        if not name.startswith(_ENCODER_GROUPS):
            continue
        own = _DECODER_GROUPS + name.removeprefix(_ENCODER_GROUPS)
        if not tied:
            made[own] = np.array(array)
        if ".attention." in own:
            made[own.replace(".attention.", ".cross_attention.")] = np.array(array)
    return {**arrays, **made}


def _with_choice(
    config: AlbertConfig, decoder: DecoderKind | None, tied: bool | None
) -> AlbertConfig:
    """Return a configuration that says how targets are read."""
    kind = config.extra.get(DECODER_KEY, "cross") if decoder is None else decoder
    is_tied = config.extra.get(TIED_KEY, False) if tied is None else tied
    if kind not in get_args(DecoderKind):
        raise ConfigError(
            f"A decoder must be one of {', '.join(get_args(DecoderKind))}. Received: {kind!r}."
        )
    if kind == "cross" and config.depth_lora_rank:
        raise ConfigError(
            "A `cross` decoder needs layers without residuals of their depths. Received:"
            f" depth_lora_rank={config.depth_lora_rank}. Take the decoder `prefix`."
        )
    if kind == "prefix" and config.type_vocab_size < 2:
        raise ConfigError(
            "The decoder `prefix` tells source and target by their token types. Received:"
            f" type_vocab_size={config.type_vocab_size}. Take the decoder `cross`."
        )
    chosen = {DECODER_KEY: kind, TIED_KEY: kind == "cross" and bool(is_tied)}
    return replace(config, extra={**config.extra, **chosen})
