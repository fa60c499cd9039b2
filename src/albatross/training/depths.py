"""How many layers a step applies: a model that grows during a run, and depth drawn at random.

Shared layers make both free: a shallower pass uses the same weights, fewer times.
"""

from __future__ import annotations

from collections.abc import Sequence

from albatross.config import AlbertConfig
from albatross.data.sampling import Stage, stage_value
from albatross.errors import ConfigError
from albatross.rng import stream


class DepthPlan:
    """Which flat depth indices each step applies; a function of the step and of the fraction done.

    >>> DepthPlan(AlbertConfig(), stages=[Stage(4, until=0.5)])(step=0, fraction=0.2)
    (0, 3, 6, 9)
    """

    def __init__(
        self,
        config: AlbertConfig,
        *,
        stages: Sequence[Stage] = (),
        least: int | None = None,
        seed: int = 0,
    ) -> None:
        """Check that the layers can be counted so.

        Args:
            config: of the model.
            stages: fewer layers at first (growth).
            least: draw the layers of every step from so many up to the stage's.
            seed: of the draw.

        Raises:
            ConfigError: more layers than there are, fewer than groups of them, or a model whose
                layers are not shared.
        """
        wanted = [stage.value for stage in stages] + ([least] if least is not None else [])
        if wanted and config.num_attention_groups == config.num_hidden_layers > 1:
            raise ConfigError(
                "`--depth-stages` and `--random-depth` need layers that share weights: those left"
                " out would learn nothing. Received:"
                f" {config.num_hidden_layers} layers of their own. Leave both options out."
            )
        groups = max(config.num_attention_groups, config.num_ffn_groups)
        if wanted and not groups <= min(wanted) <= max(wanted) <= config.num_hidden_layers:
            raise ConfigError(
                f"`--depth-stages` and `--random-depth` must be from {groups}, the model's groups"
                f" of layers, to {config.num_hidden_layers}, its layers. Received:"
                f" {', '.join(map(str, wanted))}."
            )
        self._config, self._stages, self._least, self._seed = config, stages, least, seed

    def __call__(self, step: int, fraction: float) -> tuple[int, ...] | None:
        """Return the flat depth indices of a step; None if no step leaves any out."""
        if not self._stages and self._least is None:
            return None
        layers = self._config.num_hidden_layers
        count = stage_value(self._stages, layers, fraction)
        if self._least is not None and self._least < count:
            rng = stream(self._seed, "depth", step)
            count = int(rng.integers(self._least, count + 1))
        inner = self._config.inner_group_num
        # Spread evenly, so that every group of layers takes part.
        repeats = [index * layers // count for index in range(count)]
        return tuple(repeat * inner + i for repeat in repeats for i in range(inner))
