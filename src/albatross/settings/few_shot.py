"""Settings of the verb few-shot, and how models learn from few texts unless they say otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from albatross.errors import ConfigError
from albatross.settings.settings import COLUMNS, MODEL, OUT
from albatross.settings.training import TrainingSettings

_LABELS = tyro.conf.arg(metavar="LABEL...", help_behavior_hint="(default: as in the file)")
_PATTERNS = tyro.conf.arg(metavar="PATTERN...", help_behavior_hint="(default: by the labels)")
_WORDS = tyro.conf.arg(metavar="LABEL=WORD,WORD...", help_behavior_hint="(default: the labels)")
# Peak rates by the greatest width of hidden rows. PET has 1e-5 and SetFit 2e-5 for large models;
# those of our small ones were found on TREC and CR, 16 texts a class.
_RATES_BY_WIDTH = {384: 1e-3, 768: 2e-5}
_LEAST_RATE = 1e-5
_SENTIMENTS = {"positive", "negative", "neutral", "good", "bad", "great", "terrible"}
_MOST_ROUNDS, _MOST_COPIES = 10, 100


@dataclass(frozen=True)
class FewShotSettings(TrainingSettings):
    """Learn a classification from a few texts of each class, best beside many without labels.

    Lengths and rates are fixed in advance: with so few texts nothing can be spared to choose them
    by. Texts have one class; they may be pairs.

    Example:
      albatross few-shot runs/pretrained runs/few --train few.tsv --method contrastive
    """

    model: Annotated[Positional[Path], MODEL]
    """A pre-trained model folder, with its head for masked words."""
    out: Annotated[Positional[Path], OUT]
    """The model folder to write."""
    train: Path
    """Records with labels: 2 to 64 of each class."""
    unlabeled: Path | None = None
    """Texts without labels, of the same kind; labels are not looked at."""
    dev: Path | None = None
    """Records that the finished model is scored on; nothing is chosen by them."""
    method: Literal["plain", "cloze", "contrastive"] = "contrastive"
    """`cloze` fills gaps in patterns (PET), `contrastive` brings texts of a class together first
    (SetFit), `plain` fine-tunes; the last two learn from --unlabeled by their own answers."""
    columns: Annotated[tuple[str, ...], COLUMNS] = ()
    """Columns of the files that are not named as usual, such as: text=review label=stars."""
    name: str = "classifier"
    """The task's name in the folder and its files."""
    labels: Annotated[tuple[str, ...], _LABELS] = ()
    """Names for the labels of the file in sorted order, such as: negative positive."""
    pattern: Annotated[tuple[str, ...], _PATTERNS] = ()
    """With cloze: sentences such as "{text} It was [MASK].", or one of sentiment, topic, question,
    pair."""
    verbalizer: Annotated[tuple[str, ...], _WORDS] = ()
    """With cloze: words for each label, such as positive=great,good."""
    models: int = 1
    """With cloze: models of each pattern, by seeds of their own."""
    weighting: Literal["accuracy", "equal"] = "accuracy"
    """With cloze: patterns count by their accuracy before training, or all alike."""
    # PET has 1e-4, for large models; small ones forget more (TREC, 16 a class: 0.47 without, 0.54).
    mlm_weight: float = 1e-2
    """With cloze: weight of masked words of the other texts in the loss."""
    pairs: int = 10
    """With contrastive: pairs of each text with one of its class, and as many with another's."""
    rounds: int = 1
    """With --unlabeled: how often texts are labelled anew and learned from."""
    augment: int = 0
    """Copies of each text with some of its words drawn anew by the model."""
    steps: int | None = None
    """Steps of each model; by the method when not given."""
    batch_size: int = 16
    """Texts of a step."""
    max_length: int = 128
    """Tokens of a sequence, specials included; longer texts are cut into windows."""
    learning_rate: float | None = None
    """Peak learning rate; by the model's size when not given."""
    warmup: float = 0.1
    """Share of the run in which the rate rises."""
    beta2: float = 0.999
    """Decay of the optimizer's second moment."""
    dropout: float = 0.1
    """Dropout of hidden rows and attention."""

    def __post_init__(self) -> None:
        """Check what does not go together, and the limits that this verb alone has."""
        super().__post_init__()
        limits = {
            "models": (1, _MOST_COPIES),
            "rounds": (1, _MOST_ROUNDS),
            "augment": (0, _MOST_COPIES),
            "pairs": (1, 1_000),
            "mlm_weight": (0, 0.99),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                option = name.replace("_", "-")
                raise ConfigError(
                    f"`--{option}` must lie between {least} and {most}. Received:"
                    f" {getattr(self, name)}."
                )
        if self.method == "cloze" and self.unlabeled is None and not self.augment:
            raise ConfigError(
                "`--method cloze` needs texts that its models can label for the last one. Received:"
                " neither --unlabeled nor --augment. Give --unlabeled FILE, or for instance"
                " --augment 8."
            )
        if self.rounds > 1 and self.unlabeled is None:
            raise ConfigError(
                "`--rounds` label texts anew. Received: --rounds"
                f" {self.rounds} without --unlabeled. Give a file of texts, or leave it out."
            )
        of_cloze = ("pattern", "verbalizer", "models", "weighting", "mlm_weight")
        self.refuse_unused(
            **dict.fromkeys(of_cloze, (self.method == "cloze", "--method cloze")),
            pairs=(self.method == "contrastive", "--method contrastive"),
        )


def usual_rate(width: int) -> float:
    """Return the peak learning rate for a width of hidden rows.

    >>> usual_rate(128), usual_rate(4096)
    (0.001, 1e-05)
    """
    return next((rate for most, rate in _RATES_BY_WIDTH.items() if width <= most), _LEAST_RATE)


def usual_patterns(labels: Sequence[str], are_pairs: bool) -> str:
    """Return the name of the patterns for labels, told by their names.

    >>> usual_patterns(["negative", "positive"], are_pairs=False)
    'sentiment'
    """
    if are_pairs:
        return "pair"
    return "sentiment" if {label.lower() for label in labels} <= _SENTIMENTS else "topic"
