"""What all ALBERT classes share: drawing weights, and reading and writing model folders."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from albatross.checkpoints.huggingface import fit
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import (
    read_config,
    read_weights,
    update_model,
    warn_of_activation,
)
from albatross.config import AlbertConfig
from albatross.errors import AlbatrossWarning
from albatross.modeling.adapters import starts_at_zero
from albatross.modeling.encoder import AlbertTransformer


class AlbertPreTrainedModel(nn.Module):
    """A model with a configuration that can be drawn, opened and saved."""

    config: AlbertConfig
    optional_parts: ClassVar[Mapping[str, str]] = {}
    """The constructor's option, by prefix of the tensors, for each part it can do without."""

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        config: AlbertConfig | None = None,
        initialize: str | Sequence[str] = (),
        revision: str | None = None,
        base: str | Path | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Self:
        """Open a model of ours or of transformers, in evaluation mode.

        Args:
            model: a folder with `config.json` and `model.safetensors` or `pytorch_model.bin`, a
                built-in name, or a name on the hub such as `albert-base-v2`.
            config: takes the place of the folder's own, for instance with another dropout.
            initialize: prefixes of tensors that start anew when the file has none of that shape,
                such as `classifier`. Nothing else ever starts at random: of the parts in
                `optional_parts` those that the file lacks are left out, with a warning.
            revision: branch, tag or commit of a model on the hub.
            base: where the base of a delta folder is, when it is not where the folder says.
            seed: for what starts anew.
            options: passed to the class, for instance `num_labels`.

        Raises:
            FolderError: no such model, or a damaged one.
            WeightsError: the tensors do not fit the configuration.
        """
        path = find_model(model, revision)
        own_config = read_config(path) if config is None else config
        arrays = read_weights(path, base)
        if config is None:
            warn_of_activation(path, own_config, arrays)
        anew = (initialize,) if isinstance(initialize, str) else tuple(initialize)
        absent = cls._absent_parts(arrays, anew, options)
        if absent:
            _warn_of_absent_parts(cls.__name__, absent, path)
        parts = dict.fromkeys(absent.values(), False)
        return cls._opened(own_config, arrays, anew, seed, str(path), {**options, **parts})

    @classmethod
    def from_arrays(
        cls,
        config: AlbertConfig,
        arrays: Mapping[str, Any],
        *,
        initialize: Sequence[str] = (),
        seed: int = 0,
        **options: Any,
    ) -> Self:
        """Make a model of named arrays, in evaluation mode; parts that they lack are left out.

        Args:
            config: of the model.
            arrays: its tensors; those of 32-bit floats are used as they are, not copied.
            initialize: prefixes of tensors that start anew; see `from_pretrained`.
            seed: for what starts anew.
            options: passed to the class.

        Raises:
            WeightsError: the arrays do not fit the configuration.
        """
        anew = tuple(initialize)
        parts = dict.fromkeys(cls._absent_parts(arrays, anew, options).values(), False)
        return cls._opened(config, arrays, anew, seed, "these arrays", {**options, **parts})

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
        """Make a model with these arrays in it; what is named anew is drawn by the seed."""
        with torch.device("meta"), _Undrawn():  # shapes alone: the arrays bring the values
            model = cls(config, seed=seed, **options)
        model._fill(arrays, anew, seed, source)
        return model.eval()

    @classmethod
    def _absent_parts(
        cls, arrays: Mapping[str, Any], anew: tuple[str, ...], options: Mapping[str, Any]
    ) -> dict[str, str]:
        """Return, by prefix, the options that leave out what is lacking and not wanted anew."""
        return {
            prefix: option
            for prefix, option in cls.optional_parts.items()
            if option not in options
            and not _is_named(prefix, anew)
            and not any(name.startswith(prefix) for name in arrays)
        }

    def _fill(
        self, arrays: Mapping[str, Any], anew: tuple[str, ...], seed: int, source: str
    ) -> None:
        """Put a file's arrays in the place of all tensors, and draw those that start anew."""
        tensors = self.state_dict()
        prefix = "" if any(name.startswith("albert.") for name in tensors) else "albert."
        shapes = {prefix + name: tuple(tensor.shape) for name, tensor in tensors.items()}
        fresh = {
            name: shape
            for name, shape in shapes.items()
            if _is_named(name, anew) and _shape_of(arrays, name) != shape
        }
        known = {name: array for name, array in arrays.items() if name not in fresh}
        needed = {name: shape for name, shape in shapes.items() if name not in fresh}
        fit(known, needed, source=source)
        # Over the mapped file itself where that holds 32-bit floats: nothing is copied.
        state = {name: torch.from_numpy(known[name]).float().contiguous() for name in needed}
        generator = torch.Generator().manual_seed(seed)
        for name, shape in fresh.items():
            state[name] = _draw(name, torch.empty(shape), self.config.initializer_range, generator)
        self.load_state_dict({n.removeprefix(prefix): t for n, t in state.items()}, assign=True)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors` so that transformers opens them too.

        Raises:
            FolderError: the folder cannot be written.
        """
        extra = {**self.config.extra, "architectures": [type(self).__name__]}
        update_model(Path(folder), replace(self.config, extra=extra), self.to_arrays())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def to_arrays(self) -> dict[str, Any]:
        """Return the weights as numpy arrays by Hugging Face's names; bfloat16 as float32."""
        state = {name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}
        return {
            name: (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
            for name, tensor in state.items()
        }

    def initialize(self, seed: int) -> None:
        """Draw all weights anew: normal, cut off at two deviations, as in Google's code.

        Norms start at 1 and biases at 0.
        """
        draw_weights(self, self.config.initializer_range, seed)

    def activation_checkpointing(self, enabled: bool = True) -> None:
        """Keep one row matrix per depth for the backward pass and compute the rest again."""
        for module in self.modules():
            if isinstance(module, AlbertTransformer):
                module.activation_checkpointing = enabled

    def compile_layer(self, enabled: bool = True) -> None:
        """Run the layer through `torch.compile`: once for all depths and any number of tokens.

        The first step takes longer for it. Needs what torch's compiler needs: on a processor a C++
        compiler, on CUDA Triton.
        """
        for module in self.modules():
            if isinstance(module, AlbertTransformer):
                module.compiled = enabled

    def __repr__(self) -> str:
        """Say the class, the size and the sharing."""
        count = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"{type(self).__name__}(hidden={self.config.hidden_size}, depth={self.config.depth},"
            f" sharing={self.config.cross_layer_sharing!r}, parameters={count:,})"
        )


def draw_weights(module: nn.Module, deviation: float, seed: int) -> None:
    """Draw a module's weights as `AlbertPreTrainedModel.initialize` says."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            _draw(name, parameter, deviation, generator)


class _Undrawn(TorchFunctionMode):
    """Leaves out what `torch.nn.init` would do.

    Of tensors without memory that changes nothing but the time: for a normal distribution of them
    torch imports its compiler, for most of a second.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the tensor as it is, in place of drawing it."""
        named = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return named["tensor"] if "tensor" in named else args[0]
        return func(*args, **named)


def _draw(name: str, tensor: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Fill a new tensor by its kind: a bias or residual, a norm's weight, or a matrix."""
    if starts_at_zero(name):
        return nn.init.zeros_(tensor)
    if tensor.dim() == 1:
        return nn.init.ones_(tensor)
    ends = 2 * deviation
    return nn.init.trunc_normal_(tensor, std=deviation, a=-ends, b=ends, generator=generator)


def _shape_of(arrays: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    """Return the shape of an array, or None when it is absent."""
    return tuple(arrays[name].shape) if name in arrays else None


def _is_named(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a tensor or a part falls under one of the prefixes, given with `albert.` or without.

    A part falls under a prefix that names something in it, too.
    """
    bare = name.removeprefix("albert.")
    inside = any(prefix.startswith((name, bare)) for prefix in prefixes)
    return inside or name.startswith(prefixes) or bare.startswith(prefixes)


def _warn_of_absent_parts(kind: str, absent: Mapping[str, str], path: Path) -> None:
    """Say which parts a file lacks."""
    names = ", ".join(prefix.rstrip(".") for prefix in absent)
    warnings.warn(
        f"{kind} should be opened from a file with all its parts. Received: {str(path)!r} without"
        f" {names}; what they would compute is None. Name them in `initialize` to start them anew"
        " for training.",
        AlbatrossWarning,
        stacklevel=3,
    )
