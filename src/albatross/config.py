"""What a model is: its numbers, and the published variants.

Keys are exactly those of Google's and Hugging Face's `config.json`; the few of our own stand at the
end. This file knows no tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from albatross.adapter_spec import AdapterSpec
from albatross.errors import ConfigError

Sharing = Literal["all", "attention", "ffn", "none"]
HIDDEN_ACTS = ("gelu_new", "gelu", "relu", "tanh")
MARKED_TYPES = 4
"""Types of a model that is told which tokens of a pair stand in both texts."""
# Sixteen times xxlarge and more; beyond these a config is a mistake or an attack, not a model.
LARGEST = {
    "vocab_size": 10_000_000,
    "embedding_size": 65_536,
    "hidden_size": 65_536,
    "num_hidden_layers": 1_000,
    "intermediate_size": 262_144,
    "inner_group_num": 100,
    "max_position_embeddings": 1_000_000,
    "type_vocab_size": 10_000,
}
# Where transformers' default is xxlarge's and ours is base's: a file must say which it means.
_SIZES_IN_FILES = ("hidden_size", "num_attention_heads", "intermediate_size")


@dataclass(frozen=True)
class AlbertConfig:
    """Shape of an ALBERT or, un-shared, of a BERT. Defaults are `albert-base-v2`.

    Hugging Face's own defaults describe xxlarge (223 M parameters); ours do not.

    Raises:
        ConfigError: all rules that the values break, in one message.

    >>> AlbertConfig(num_hidden_groups=3).group_of(repeat=11)
    2
    """

    vocab_size: int = 30_000
    embedding_size: int = 128
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_hidden_groups: int = 1
    num_attention_heads: int = 12
    intermediate_size: int = 3_072
    inner_group_num: int = 1
    hidden_act: str = "gelu_new"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    classifier_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    bos_token_id: int = 2
    eos_token_id: int = 3
    cross_layer_sharing: Sharing = "all"
    """Which part of a layer is one for all depths of a group (ALBERT, section 4.5, table 4)."""
    embedding_projection: bool = True
    """Whether E is projected to H; only BERT, where E = H, has none."""
    depth_lora_rank: int = 0
    """Rank of what each depth adds to the weights that it shares; 0 for nothing."""
    adapter: AdapterSpec | None = None
    """Narrow weights that were trained in the place of the model's own, if any."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys of a `config.json` that we do not use; written back untouched."""

    def __post_init__(self) -> None:
        """Check every rule and report all that are broken."""
        broken = list(_broken_rules(self))
        if broken:
            raise ConfigError(" ".join(broken))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> AlbertConfig:
        """Read the keys of a `config.json`; unknown ones are kept in `extra`.

        A token id that is null takes our default, a classifier's dropout the encoder's, as in
        transformers. Whole numbers do for real ones.

        Raises:
            ConfigError: another model's file, a size that is not given, or broken rules.
        """
        model_type = values.get("model_type", "albert")
        if model_type not in ("albert", "albatross"):
            raise ConfigError(
                "A model folder's `model_type` must be albert or albatross."
                f" Received: model_type={model_type!r}. Only ALBERT folders can be opened."
            )
        absent = [name for name in _SIZES_IN_FILES if name not in values]
        if absent:
            raise ConfigError(
                f"A `config.json` must give {', '.join(f'`{name}`' for name in _SIZES_IN_FILES)}."
                f" Received one without {', '.join(absent)}. Copy the model's whole file."
            )
        known = {f.name: f.type for f in fields(cls) if f.name != "extra"}
        ours = {key: value for key, value in values.items() if key in known}
        extra = {k: v for k, v in values.items() if k not in known and k != "model_type"}
        for key, value in list(ours.items()):
            if known[key] == "float" and type(value) is int and abs(value) <= 1_000:
                ours[key] = float(value)
            elif value is None and key.endswith("token_id"):
                del ours[key]
        if ours.get("adapter") is not None:
            ours["adapter"] = AdapterSpec.from_dict(ours["adapter"])
        if "classifier_dropout_prob" in ours and ours["classifier_dropout_prob"] is None:
            ours["classifier_dropout_prob"] = ours.get("hidden_dropout_prob", 0.0)
        return cls(**ours, extra=extra)

    def to_dict(self) -> dict[str, Any]:
        """Return what `config.json` holds, Hugging Face's keys first."""
        values = asdict(self)
        extra = values.pop("extra")
        if not self.depth_lora_rank:  # files without residuals stay as they always were
            del values["depth_lora_rank"]
        if self.adapter is None:
            del values["adapter"]
        model_type = "albert" if self.is_transformers_albert else "albatross"
        return {"model_type": model_type, **values, **extra}

    @property
    def is_transformers_albert(self) -> bool:
        """Whether `transformers`' ALBERT computes the same function from the same file."""
        shares_as_theirs = self.cross_layer_sharing in ("all", "none")
        is_plain = not self.depth_lora_rank and self.adapter is None
        return self.embedding_projection and shares_as_theirs and is_plain

    @property
    def depth(self) -> int:
        """Number of layer applications: repeats times inner layers."""
        return self.num_hidden_layers * self.inner_group_num

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def marks_shared(self) -> bool:
        """Whether tokens that stand in both texts of a pair have types of their own."""
        return self.type_vocab_size >= MARKED_TYPES

    @property
    def num_labels(self) -> int:
        """Number of task labels as transformers reads it: names, else a count, else 2."""
        names = self.extra.get("id2label")
        return len(names) if names else int(self.extra.get("num_labels") or 2)

    def group_of(self, repeat: int) -> int:
        """Return the group that a repeat uses.

        By integer arithmetic: Google's float form goes astray, for instance with 22 groups of 22.
        """
        return repeat * self.num_hidden_groups // self.num_hidden_layers

    def attention_group_of(self, repeat: int) -> int:
        """Return the group whose attention weights a repeat uses."""
        return self.group_of(repeat) if self.cross_layer_sharing in ("all", "attention") else repeat

    def ffn_group_of(self, repeat: int) -> int:
        """Return the group whose feed-forward weights a repeat uses."""
        return self.group_of(repeat) if self.cross_layer_sharing in ("all", "ffn") else repeat

    @property
    def num_attention_groups(self) -> int:
        """How many distinct attention blocks there are per inner layer."""
        return self.attention_group_of(self.num_hidden_layers - 1) + 1

    @property
    def num_ffn_groups(self) -> int:
        """How many distinct feed-forward blocks there are per inner layer."""
        return self.ffn_group_of(self.num_hidden_layers - 1) + 1


def _broken_rules(config: AlbertConfig) -> list[str]:
    """Return a sentence for every rule that the configuration breaks."""
    by_field = {
        f.name: _broken_value(f.name, f.type, getattr(config, f.name)) for f in fields(config)
    }
    broken = [sentence for sentence in by_field.values() if sentence]
    parts = {"num_hidden_layers": "num_hidden_groups", "hidden_size": "num_attention_heads"}
    for whole, part in parts.items():
        sizes = getattr(config, whole), getattr(config, part)
        if not by_field[whole] and not by_field[part] and sizes[0] % sizes[1]:
            broken.append(
                f"`{whole}` must be divisible by `{part}`."
                f" Received: {whole}={sizes[0]}, {part}={sizes[1]}."
            )
    return broken + _broken_choices(config) + _broken_extra(config)


def _broken_value(name: str, kind: Any, value: Any) -> str | None:
    """Return a sentence when a value is not of its field's kind or out of range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    rule = None
    least = 0 if name.endswith(("_id", "_rank")) else 1
    if kind == "int" and (type(value) is not int or value < least):
        rule = "a positive whole number" if least else "a whole number of at least 0"
    elif kind == "int" and value > LARGEST.get(name, value):
        rule = f"at most {LARGEST[name]:,}"
    elif kind == "bool" and type(value) is not bool:
        rule = "true or false"
    elif name.endswith("dropout_prob"):
        rule = None if number and 0 <= value < 1 else "a number of at least 0 and below 1"
    elif kind == "float" and not (number and 0 < value <= 1_000):
        rule = "a number above 0 and at most 1,000"
    return rule and f"`{name}` must be {rule}. Received: {value!r}."


def _broken_choices(config: AlbertConfig) -> list[str]:
    """Return a sentence for every choice that is not offered or does not go with another."""
    broken = []
    if config.hidden_act not in HIDDEN_ACTS:
        choices = ", ".join(HIDDEN_ACTS)
        broken.append(f"`hidden_act` must be one of {choices}. Received: {config.hidden_act!r}.")
    if config.cross_layer_sharing not in get_args(Sharing):
        choices = ", ".join(get_args(Sharing))
        broken.append(
            f"`cross_layer_sharing` must be one of {choices}."
            f" Received: {config.cross_layer_sharing!r}."
        )
    if (
        config.cross_layer_sharing == "none"
        and config.num_hidden_groups != config.num_hidden_layers
    ):
        broken.append(
            "With `cross_layer_sharing` none every layer is a group of its own: set"
            f" `num_hidden_groups` to {config.num_hidden_layers}."
            f" Received: num_hidden_groups={config.num_hidden_groups}."
        )
    if not config.embedding_projection and config.embedding_size != config.hidden_size:
        broken.append(
            "Without `embedding_projection`, `embedding_size` must equal `hidden_size`. Received:"
            f" embedding_size={config.embedding_size}, hidden_size={config.hidden_size}."
        )
    sizes = config.depth_lora_rank, config.hidden_size
    if all(type(size) is int for size in sizes) and sizes[0] > sizes[1] > 0:
        broken.append(
            "`depth_lora_rank` must be at most `hidden_size`, where nothing is lost any more."
            f" Received: depth_lora_rank={sizes[0]}, hidden_size={sizes[1]}."
        )
    if config.adapter is not None and config.adapter.rank > config.hidden_size:
        broken.append(
            "An adapter's `rank` must be at most `hidden_size`, where nothing is lost any more."
            f" Received: rank={config.adapter.rank}, hidden_size={config.hidden_size}."
        )
    return broken


def _broken_extra(config: AlbertConfig) -> list[str]:
    """Return a sentence for every foreign key that would change what the model is."""
    broken = []
    own = {"model_type", *(f.name for f in fields(config))} - {"extra"}
    if doubled := sorted(own & set(config.extra)):
        broken.append(
            f"`extra` must not hold keys of the configuration. Received: {', '.join(doubled)}."
        )
    position_type = config.extra.get("position_embedding_type") or "absolute"
    if position_type != "absolute":
        broken.append(
            f"`position_embedding_type` must be absolute. Received: {position_type!r}."
            " Relative positions are not built; no published ALBERT uses them."
        )
    labels, count = config.extra.get("id2label"), config.extra.get("num_labels")
    if not isinstance(labels or {}, Mapping):
        broken.append(f"`id2label` must map numbers to names. Received: {labels!r}.")
    if count is not None and (type(count) is not int or count < 1):
        broken.append(f"`num_labels` must be a positive whole number. Received: {count!r}.")
    return broken


# === Variants ===


def _size(hidden: int, layers: int, heads: int) -> dict[str, int]:
    """Return the sizes of an encoder; the feed-forward block is four times as wide everywhere."""
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }


_BASE, _LARGE = _size(768, 12, 12), _size(1_024, 24, 16)
_XLARGE, _XXLARGE = _size(2_048, 24, 16), _size(4_096, 12, 64)
_DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
_BERT = {**_DROPOUT, "vocab_size": 30_522}
# Google's Chinese models: WordPiece, and relu (google-research/albert, issue 154).
_CHINESE = {
    "vocab_size": 21_128,
    "hidden_act": "relu",
    "pad_token_id": 0,
    "bos_token_id": 101,
    "eos_token_id": 102,
}
_TABLE: dict[str, dict[str, Any]] = {
    "albert-base-v1": {**_BASE, **_DROPOUT},
    "albert-large-v1": {**_LARGE, **_DROPOUT},
    "albert-xlarge-v1": {**_XLARGE, **_DROPOUT},
    "albert-xxlarge-v1": _XXLARGE,
    "albert-base-v2": _BASE,
    "albert-large-v2": _LARGE,
    "albert-xlarge-v2": _XLARGE,
    "albert-xxlarge-v2": _XXLARGE,
    "albert-base-zh": {**_BASE, **_CHINESE},
    "albert-large-zh": {**_LARGE, **_CHINESE},
    "albert-xlarge-zh": {**_XLARGE, **_CHINESE, "initializer_range": 0.014},
    "albert-xxlarge-zh": {**_XXLARGE, **_CHINESE},
    "bert-base": {**_BASE, **_BERT},
    "bert-large": {**_LARGE, **_BERT},
    # Small ones of our own: few pieces, so that the embeddings do not outweigh the layer (as many
    # as the shards have, in fact); base's initial deviation scaled by sqrt(768 / H), so that
    # attention does not start flat. Mini is what a search found for two cores (docs/log.md, 32).
    "albatross-tiny": {**_size(128, 4, 2), "vocab_size": 8_192, "initializer_range": 0.05},
    "albatross-mini": {**_size(192, 4, 3), "vocab_size": 16_384, "initializer_range": 0.04},
    "albatross-small": {**_size(384, 12, 6), "vocab_size": 16_384, "initializer_range": 0.028},
}
VARIANTS: tuple[str, ...] = tuple(_TABLE)


def variant(name: str, **overrides: Any) -> AlbertConfig:
    """Return the configuration of a named variant, with single values replaced.

    Raises:
        ConfigError: the name is not in the table, or the values break a rule.

    >>> variant("albert-xlarge-v2").head_size
    128
    """
    if name not in _TABLE:
        raise ConfigError(f"A variant must be one of {', '.join(VARIANTS)}. Received: {name!r}.")
    values = {**_TABLE[name], **overrides}
    config = AlbertConfig(**values)
    return unshared(config) if name.startswith("bert-") else config


def published_names(config: AlbertConfig) -> list[str]:
    """Return the variants that have this shape; what dropout tells apart may leave two.

    >>> published_names(AlbertConfig(hidden_dropout_prob=0.1))
    ['albert-base-v1', 'albert-base-v2']
    """
    shape = _shape(config)
    return [name for name in VARIANTS if _shape(variant(name)) == shape]


def _shape(config: AlbertConfig) -> tuple[Any, ...]:
    """Return what a configuration's tensors follow from, and how they are shared."""
    names = [
        *("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers", "num_hidden_groups"),
        *("num_attention_heads", "intermediate_size", "inner_group_num", "cross_layer_sharing"),
        *("max_position_embeddings", "type_vocab_size", "embedding_projection", "depth_lora_rank"),
        "adapter",
    ]
    return tuple(getattr(config, name) for name in names)


def unshared(config: AlbertConfig) -> AlbertConfig:
    """Return the BERT of this size: every layer its own, embeddings as wide as the layers."""
    return replace(
        config,
        embedding_size=config.hidden_size,
        embedding_projection=False,
        cross_layer_sharing="none",
        num_hidden_groups=config.num_hidden_layers,
        depth_lora_rank=0,
    )


def without_labels(config: AlbertConfig) -> AlbertConfig:
    """Return it without an earlier head's labels, which transformers would believe."""
    left = ("num_labels", "id2label", "label2id", "problem_type")
    return replace(config, extra={k: v for k, v in config.extra.items() if k not in left})
