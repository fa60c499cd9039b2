"""Settings of the verbs that train."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from albatross.config import variant
from albatross.errors import ConfigError
from albatross.settings.settings import COLUMNS, MODEL, OUT, Settings
from albatross.settings.shape import parse_shape

_SHARDS = tyro.conf.arg(metavar="SHARDS")
_FROM = tyro.conf.arg(aliases=("--from",))
_STAGES = tyro.conf.arg(metavar="VALUE:UNTIL...", help_behavior_hint="(default: none)")
_POSITIONS = tyro.conf.arg(help_behavior_hint="(default: sinusoidal)")
_SHAPE = tyro.conf.arg(metavar="KEY=VALUE...", help_behavior_hint="(default: the variant's)")
_MARKS = tyro.conf.arg(help_behavior_hint="(default: yes for small models)")
_LABELS = tyro.conf.arg(metavar="LABEL...", help_behavior_hint="(default: as in the file)")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """What the verbs that train share."""

    optimizer: Literal["adamw", "stable-adamw", "lamb", "lamb-google", "muon"] = "adamw"
    """`stable-adamw` clips its steps; `muon` moves the layers' matrices along orthogonal ones;
    `lamb` is for large batches; `lamb-google` has Google's numerics, without bias correction."""
    schedule: Literal["linear", "wsd", "cosine"] = "linear"
    """After its rise the rate falls to 0 at once, or (`wsd`) stays and falls at the end."""
    decay: float = 0.2
    """Share of the run in which the rate of `wsd` falls."""
    weight_decay: float = 0.01
    """Decay of weights, not of biases and norms."""
    clip_norm: float = 1.0
    """Largest gradient norm."""
    ema: float = 0.0
    """Keep a running average of the weights with this decay, such as 0.999; 0 keeps none."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """In which products are computed; weights, norms and losses stay in float32. `auto` takes
    bfloat16 where GPU or processor multiply in it, float32 elsewhere."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; `auto` takes a GPU if torch sees one."""
    seed: int = 0
    """Of every random draw."""
    threads: int | None = None
    """Processor threads; all cores when not given."""
    tensorboard: Path | None = None
    """A folder for TensorBoard's files."""
    save_minutes: float = 5.0
    """Minutes between saved states."""
    recipe: Path | None = None
    """A TOML file with these settings; options given beside it win."""

    def __post_init__(self) -> None:
        """Check what does not go together."""
        super().__post_init__()
        self.refuse_unused(decay=(self.schedule == "wsd", "--schedule wsd"))


@dataclass(frozen=True)
class PretrainSettings(TrainingSettings):
    """Pre-train an ALBERT or a BERT on shards; once stopped, the same command goes on.

    Several processes: torchrun --nproc-per-node 8 -m albatross pretrain ...

    Example:
      albatross pretrain runs/shards runs/pretrained --variant albatross-tiny --steps 1000
    """

    alternatives = ("steps", "tokens", "budget")

    shards: Annotated[Positional[Path], _SHARDS]
    """A folder that build-shards wrote."""
    out: Annotated[Positional[Path], OUT]
    """The model folder to write."""
    optimizer: Literal["adamw", "stable-adamw", "lamb", "lamb-google", "muon"] = field(
        default="muon", kw_only=True
    )
    """`muon` moves the layers' matrices along orthogonal ones, and the rest by `adamw`; `lamb` is
    for large batches; `lamb-google` has Google's numerics, without bias correction; `stable-adamw`
    clips its steps."""
    variant: str = "albatross-mini"
    """Of a new model: one of the table that `albatross info` prints."""
    shape: Annotated[tuple[str, ...], _SHAPE] = ()
    """Values of the variant's `config.json` to replace, such as: hidden_size=192
    num_hidden_groups=2."""
    from_model: Annotated[Path | None, _FROM] = None
    """Go on from this model folder or hub name instead of a new variant; the shards must be of its
    tokenizer."""
    steps: int | None = None
    """Length of the run in optimizer steps; 10,000 when no other length is given."""
    tokens: int | None = None
    """Length of the run in tokens, instead of steps."""
    budget: str | None = None
    """Length of the run in time, such as 45m: the rate reaches 0 when it is up."""
    batch_tokens: int = 4_096
    """Tokens of a step, all sequences and processes together."""
    batch_start: float = 0.125
    """With --batch-warmup: share of `--batch-tokens` that the first step has."""
    batch_warmup: float = 0.0
    """Share of the run in which steps grow to `--batch-tokens`."""
    micro_tokens: int = 16_384
    """Tokens that go through the model at once; larger steps add up their gradients."""
    max_length: int = 128
    """Tokens of a sample, specials included."""
    length_stages: Annotated[tuple[str, ...], _STAGES] = ()
    """Shorter samples first: 64:0.9 is 64 tokens until 0.9 of the run, `--max-length` after;
    without a value none are."""
    depth_stages: Annotated[tuple[str, ...], _STAGES] = ()
    """Fewer layers first: 4:0.5 is 4 until half of the run, all after."""
    random_depth: int | None = None
    """Draw the layers of every step from this many to all, for inference at any depth."""
    objective: Literal["sop", "nsp", "none", "rtd"] = "sop"
    """Beside masked words: sentence order, BERT's next sentence, or nothing; `rtd` detects what a
    small generator replaced (ELECTRA), beside sentence order."""
    masking_rate: float = 0.3
    """Share of tokens to predict; ALBERT's is 0.15."""
    max_ngram: int = 1
    """Longest run of whole words masked together; ALBERT's is 3."""
    max_predictions: int | None = None
    """Most tokens predicted in a sample; none when not given (Google's code: 20)."""
    position_start: Annotated[Literal["normal", "sinusoidal"] | None, _POSITIONS] = None
    """How the learned position table of a new model starts: as sines and cosines, or at random, as
    published."""
    word_vectors: Path | None = None
    """Word vectors as text (GloVe, word2vec, fastText; .gz and others) that the embeddings of a new
    model start from."""
    text_share: float = 1.0
    """Share of the training documents to learn from, drawn at random: what less text would give."""
    short_fraction: float = 0.1
    """Share of samples cut at a random shorter length."""
    replay: Path | None = None
    """Shards of older text that is mixed in, against forgetting."""
    replay_share: float = 0.1
    """With --replay: share of the samples that are older text."""
    learning_rate: float = 2e-3
    """Peak learning rate; with LAMB the share of its own norm that a tensor moves by."""
    warmup: float = 0.06
    """Share of the run in which the rate rises."""
    beta2: float = 0.98
    """Decay of the optimizer's second moment."""
    spike_factor: float = 10.0
    """Skip a step whose gradient norm is above so many medians of those before; 0 skips none."""
    activation_checkpointing: bool = False
    """Compute activations twice to keep fewer: less memory, a third more time."""
    compile: bool = False
    """Compile the shared layer: a minute at the start, then faster steps."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Of several processes, each holds all weights, or (FSDP2) a part of them."""
    evaluations: int = 10
    """Measurements on held-out text, the last one at the end of the run."""
    dry_run: bool = False
    """Say what the run would do, plot its schedules, and stop."""

    def __post_init__(self) -> None:
        """Look the variant up, and check what does not go together."""
        super().__post_init__()
        variant(self.variant, **parse_shape(self.shape))
        self.refuse_unused(
            batch_start=(self.batch_warmup > 0, "--batch-warmup"),
            replay_share=(self.replay is not None, "--replay"),
        )
        if self.from_model is not None:
            self._check_no_start()
        lengths = {name: getattr(self, name) for name in self.alternatives}
        given = [f"--{name} {value}" for name, value in lengths.items() if value is not None]
        if len(given) > 1:
            raise ConfigError(
                "A run has one length: `--steps`, `--tokens` or `--budget`. Received:"
                f" {' '.join(given)}. Leave all but one out."
            )

    def _check_no_start(self) -> None:
        """Refuse what says how a new model starts."""
        starts = {
            "--position-start": self.position_start,
            "--shape": self.shape[0] if self.shape else None,
            "--word-vectors": self.word_vectors,
        }
        for option, value in starts.items():
            if value is not None:
                raise ConfigError(
                    f"`{option}` is for new models; one that goes on keeps its own. Received:"
                    f" {option} {value} with --from-model. Leave one out."
                )


@dataclass(frozen=True)
class FinetuneSettings(TrainingSettings):
    """Fine-tune a model on labelled records; once stopped, the same command goes on.

    What is not given comes from the task and the model's size; the values are printed.

    Example:
      albatross finetune runs/pretrained runs/rte --task rte --data glue
    """

    model: Annotated[Positional[Path], MODEL]
    """A model folder; with --from-scratch its configuration and tokenizer alone are taken."""
    out: Annotated[Positional[Path], OUT]
    """The model folder to write."""
    task: str = "classification"
    """A kind: classification, multi-label, ordinal, regression, choice, spans, tagging, similarity,
    generation, fill-mask. Or a benchmark: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli, snli,
    squad1, squad2, race, dream, swag, conll."""
    data: Path | None = None
    """Folder with the files of the benchmark, or of all benchmarks."""
    train: Path | None = None
    """Records to learn from, such as .tsv, .csv, .jsonl or .parquet."""
    dev: Path | None = None
    """Records that the model is scored on; not trained on."""
    hold_out: float = 0.1
    """Without --dev: share of the records that the model is scored on instead; 0 for none."""
    format: str = ""
    """Layout of the files; the task's own when not given."""
    columns: Annotated[tuple[str, ...], COLUMNS] = ()
    """Columns of a table that are not named as usual, such as: text=review label=stars."""
    tasks: Path | None = None
    """A TOML file of tasks that are learned together, one table [[task]] each, with options of its
    own: name, task, data or train and dev, epochs, batch_size, limit and others."""
    temperature: float = 2.0
    """With --tasks: 1 draws them by the steps of their own epochs, 2 by its root, more the more
    alike."""
    name: str = ""
    """The task's name in the folder and its files; the benchmark's or the kind's when not given."""
    labels: Annotated[tuple[str, ...], _LABELS] = ()
    """Names for the labels of the file in sorted order, such as: negative positive."""
    positive: str = ""
    """Of two labels, the one that F1 is of."""
    calibrate: bool = False
    """Hold out records (--hold-out) and choose a temperature by them, so that a class said with 0.9
    is right nine times in ten."""
    otherwise: str = ""
    """The label of texts that belong to no other class; it is answered, too, where no class is
    likely, by a threshold that held-out records choose."""
    metric: str = ""
    """The figure that runs are compared by; the task's own when not given."""
    limit: int | None = None
    """Use so many training records, drawn by the seed with classes in proportion."""
    max_length: int | None = None
    """Tokens of a sequence, specials included; longer texts are cut into windows."""
    stride: int | None = None
    """Tokens from the start of one window of a long text to the next."""
    mark_shared: Annotated[Literal["yes", "no"] | None, _MARKS] = None
    """Mark what stands in both texts of a pair, by two more token types that the model gets; small
    models learn little of pairs without."""
    word_share: float | None = None
    """Of similarity: how much of it is that of the words alone, which need no learning; 0.5 for
    small models, 0 for others."""
    no_answer: bool = False
    """Questions may have no answer; seen from the records when not given."""
    beam: bool = False
    """Look for answers by Google's head for SQuAD 2.0."""
    decoder: Literal["cross", "prefix"] = "cross"
    """How texts are written: by a decoder that attends to the source, or by the encoder itself with
    a mask, which needs no weights of its own."""
    fresh_decoder: bool = False
    """Draw a decoder's weights in place of the encoder's, as pays where targets are in another
    language than the encoder learned."""
    target_length: int = 64
    """Tokens of a text that is written, specials included."""
    adapt: Literal["full", "layers", "frozen", "lora", "adapter"] = "full"
    """What learns: all weights; all but the embeddings, which are most of a small model; the heads
    and the pooler alone; or beside these low-rank additions to the layers' matrices, or a narrow
    block in them. All but `full` give a small folder that stands on the model it comes from."""
    rank: int = 8
    """Width of `lora` or of the `adapter`."""
    per_depth: bool = False
    """Give every depth an adapter of its own, where layers share their weights."""
    keep_pooler: bool = False
    """Where not all weights learn, leave the pooler as it is, too, for a still smaller folder."""
    epochs: float | None = None
    """Passes over the training records; the task's own when not given, more of few records where
    the model is small."""
    batch_size: int | None = None
    """Examples of a step; records where a record has several, such as choices."""
    micro_tokens: int | None = None
    """Tokens that go through the model at once; larger steps add up their gradients."""
    learning_rate: float | None = None
    """Peak learning rate."""
    layer_decay: float = 1.0
    """Rate of a depth as a share of the one above; of a shared layer, the mean over its depths."""
    warmup: float | None = None
    """Share of the run in which the rate rises."""
    beta2: float = 0.999
    """Decay of the optimizer's second moment."""
    dropout: float | None = None
    """Dropout of hidden rows and attention."""
    label_smoothing: float | None = None
    """Of texts that are written: share of the certainty that goes to all words; 0.1 by default."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` lets all classes weigh the same, however many records they have."""
    early_exit: bool = False
    """Train a classifier after every depth, too, so that answers can come early."""
    quantization_aware: bool = False
    """Learn, and be measured, with weights and rows rounded as `export --dtype int8` rounds them,
    for a model that loses too much by it."""
    evaluations: int = 0
    """Measurements on the dev part, the last one at the end of the run; 0 leaves that one alone."""
    patience: int | None = None
    """Stop after so many measurements without gain."""
    keep: Literal["last", "best"] = "last"
    """`best` keeps the weights of the best measurement, whose figure is a little too good."""
    seeds: int = 1
    """Train with so many seeds from --seed on, and keep the one with the median figure."""
    fresh_pooler: bool = False
    """Draw the pooler anew, too, which few records may profit from."""
    from_scratch: bool = False
    """Start from random weights, to see what pre-training gave."""

    def __post_init__(self) -> None:
        """Check what does not go together."""
        super().__post_init__()
        if self.tasks is not None:
            alone = [n for n in ("train", "dev", "data") if getattr(self, n)]
            if alone:
                raise ConfigError(
                    "With `--tasks` the file names every task's records. Received:"
                    f" --{alone[0]} beside it. Put it into the file."
                )
        elif self.train is None and self.data is None:
            raise ConfigError(
                "Records to learn from must be given: `--train FILE`, or a benchmark by `--task`"
                f" with its folder as `--data`. Received: --task {self.task} alone. Give one."
            )
        is_beside = self.adapt in ("lora", "adapter")
        self.refuse_unused(
            rank=(is_beside, "--adapt lora or adapter"),
            per_depth=(is_beside, "--adapt lora or adapter"),
            keep_pooler=(self.adapt != "full", "an --adapt other than full"),
            temperature=(self.tasks is not None, "--tasks"),
        )
        for option in ("from_scratch", "quantization_aware"):
            if getattr(self, option) and self.adapt != "full":
                raise ConfigError(
                    f"`--{option.replace('_', '-')}` needs all weights to learn. Received: --adapt"
                    f" {self.adapt}. Leave one out."
                )
        if (self.patience is not None or self.keep == "best") and self.evaluations < 2:
            raise ConfigError(
                "`--patience` and `--keep best` need measurements during the run. Received:"
                f" --evaluations {self.evaluations}. Give, for instance, --evaluations 10."
            )
