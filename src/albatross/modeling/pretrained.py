"""What all ALBERT classes share: drawing weights, and reading and writing model folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from albatross.checkpoints.huggingface import fit
from albatross.checkpoints.model_folder import read_config, read_weights, update_model
from albatross.config import AlbertConfig
from albatross.modeling.encoder import AlbertTransformer


class AlbertPreTrainedModel(nn.Module):
    """A model with a configuration that can be drawn, opened and saved."""

    config: AlbertConfig

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        *,
        config: AlbertConfig | None = None,
        initialize: str | Sequence[str] = (),
        seed: int = 0,
        **options: Any,
    ) -> Self:
        """Open a model folder of ours or of transformers, in evaluation mode.

        Args:
            folder: a folder with `config.json` and `model.safetensors`.
            config: takes the place of the folder's own, for instance with another dropout.
            initialize: prefixes of tensors that start anew when the file has none of that shape,
                such as `classifier`. Nothing else ever starts at random.
            seed: for what starts anew.
            options: passed to the class, for instance `num_labels`.

        Raises:
            FolderError: no model folder, or a damaged one.
            WeightsError: the tensors do not fit the configuration.
        """
        path = Path(folder)
        config = config or read_config(path)
        with torch.device("meta"):  # shapes alone: nothing is drawn that the file will replace
            model = cls(config, seed=seed, **options)
        arrays = read_weights(path)
        names = list(model.state_dict())
        prefix = "" if any(name.startswith("albert.") for name in names) else "albert."
        shapes = {prefix + n: tuple(t.shape) for n, t in model.state_dict().items()}
        anew = (initialize,) if isinstance(initialize, str) else tuple(initialize)
        fresh = {
            name: shape
            for name, shape in shapes.items()
            if (name.startswith(anew) or name.removeprefix("albert.").startswith(anew))
            and _shape_of(arrays, name) != shape
        }
        known = {name: array for name, array in arrays.items() if name not in fresh}
        needed = {name: shape for name, shape in shapes.items() if name not in fresh}
        fit(known, needed, source=str(path))
        state = {name: torch.from_numpy(known[name]).float() for name in needed}
        generator = torch.Generator().manual_seed(seed)
        for name, shape in fresh.items():
            state[name] = _draw(name, torch.empty(shape), config.initializer_range, generator)
        model.load_state_dict({n.removeprefix(prefix): t for n, t in state.items()}, assign=True)
        return model.eval()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `config.json` and `model.safetensors` so that transformers opens them too.

        Raises:
            FolderError: the folder cannot be written.
        """
        extra = {**self.config.extra, "architectures": [type(self).__name__]}
        update_model(Path(folder), replace(self.config, extra=extra), self.to_arrays())

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
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                _draw(name, parameter, self.config.initializer_range, generator)

    def activation_checkpointing(self, enabled: bool = True) -> None:
        """Keep one row matrix per depth for the backward pass and compute the rest again."""
        for module in self.modules():
            if isinstance(module, AlbertTransformer):
                module.activation_checkpointing = enabled

    def __repr__(self) -> str:
        """Say the class, the size and the sharing."""
        count = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"{type(self).__name__}(hidden={self.config.hidden_size}, depth={self.config.depth},"
            f" sharing={self.config.cross_layer_sharing!r}, parameters={count:,})"
        )


def _draw(name: str, tensor: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Fill a new tensor by its kind: a bias, a norm's weight, or a matrix."""
    if name.endswith("bias"):
        return nn.init.zeros_(tensor)
    if tensor.dim() == 1:
        return nn.init.ones_(tensor)
    ends = 2 * deviation
    return nn.init.trunc_normal_(tensor, std=deviation, a=-ends, b=ends, generator=generator)


def _shape_of(arrays: Mapping[str, Any], name: str) -> tuple[int, ...] | None:
    """Return the shape of an array, or None when it is absent."""
    return tuple(arrays[name].shape) if name in arrays else None
