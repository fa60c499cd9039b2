"""Single values of a variant, replaced on the command line: `--shape hidden_size=192`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from albatross.config import AlbertConfig
from albatross.errors import ConfigError

# What follows from the tokenizer, and what a new model has not got.
_NOT_ASKED = {"vocab_size", "adapter", "extra", "pad_token_id", "bos_token_id", "eos_token_id"}


def parse_shape(words: Sequence[str]) -> dict[str, Any]:
    """Read values of a configuration as they are typed; `AlbertConfig` checks what they say.

    Raises:
        ConfigError: a word is no KEY=VALUE, or its key is not of a shape.

    >>> parse_shape(["hidden_size=192", "cross_layer_sharing=none", "embedding_projection=false"])
    {'hidden_size': 192, 'cross_layer_sharing': 'none', 'embedding_projection': False}
    """
    known = [f.name for f in fields(AlbertConfig) if f.name not in _NOT_ASKED]
    values = {}
    for word in words:
        key, separator, text = word.partition("=")
        if not separator or key not in known:
            raise ConfigError(
                f"`--shape` takes KEY=VALUE with a key of {', '.join(known)}. Received: {word!r}."
                " Write, for example, hidden_size=192."
            )
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values
