"""The verb pretrain: masked words and sentence order over shards (ALBERT, sections 3.1 and 4.1)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from albatross.atomic import made_by_one
from albatross.checkpoints.locate import find_model
from albatross.checkpoints.model_folder import read_config, read_weights, weight_files
from albatross.config import AlbertConfig, variant, without_labels
from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.masking_rate import MaskingFigures, effective_masking
from albatross.data.sampling import PretrainingBatches, parse_stages
from albatross.data.segments import SampleRule, SampleSource
from albatross.data.shards import INDEX, Shard, ShardFolder
from albatross.engine.open import open_tokenizer
from albatross.errors import ConfigError, DataError
from albatross.modeling.embeddings import sinusoidal_positions
from albatross.modeling.model import AlbertForPreTraining
from albatross.modeling.replaced_tokens import ReplacedTokenDetector
from albatross.report import file_digest
from albatross.rng import stream
from albatross.settings.shape import parse_shape
from albatross.settings.training import PretrainSettings
from albatross.training.depths import DepthPlan
from albatross.training.distributed import World, joined
from albatross.training.heap import tune_heap
from albatross.training.held_out import HeldOutText, frequency_bands
from albatross.training.objectives import MaskedWords, Objective, ReplacedTokens
from albatross.training.plan import show_plan
from albatross.training.precision import on_devices
from albatross.training.schedules import Extent, parse_budget
from albatross.training.speed import Speedometer
from albatross.training.trainer import Optimization, Trainer
from albatross.training.word_vectors import read_piece_vectors, start_embeddings
from albatross.training.workspace import (
    Workspace,
    check_length,
    check_place,
    optimization_of,
    set_threads,
)

DEFAULT_STEPS = 10_000
# What nothing has trained is not in the folder.
_UNTRAINED = {"rtd": ("predictions.",), "none": ("sop_classifier.",)}
_POOLER = "albert.pooler."
_TRAINED_FOR = {"none": "AlbertForMaskedLM"}
# Text that figures are measured on, at once and in all: enough for the second digit of the loss.
_EVALUATION_BATCH, _EVALUATION_TOKENS = 8_192, 98_304


def pretrain(settings: PretrainSettings) -> Path:
    """Pre-train a variant, or go on from a model, on shards and write a model folder.

    Returns:
        The folder; with `dry_run` the page with the plan, and nothing is trained.

    Raises:
        FolderError: no shard folder, no such model, or the output's place is taken or worked at.
        ConfigError: samples longer than the model's positions, shards of another tokenizer than its
            own, or an interrupted run of other settings in the output's place.
        DataError: the text is too little for a sample, or no word vectors are in the file of them.
        TrainingError: the run was interrupted (its state is saved) or has diverged.
    """
    set_threads(settings.threads)
    tune_heap("memory" if settings.activation_checkpointing else "speed")
    with joined(settings.device) as world:
        run = _Run(on_devices(settings, world), world)
        trains = world.is_first and not settings.dry_run
        with made_by_one(settings.out) if trains else nullcontext():
            return run.run()


class _Run:
    """Everything that a run is put together from."""

    def __init__(self, settings: PretrainSettings, world: World) -> None:
        """Open shards and models, and refuse what does not go together before anything is long."""
        self.settings, self.world = settings, world
        self.start = None if settings.from_model is None else find_model(settings.from_model)
        sources = [settings.shards, self.start, settings.replay]
        check_place(settings.out, [source for source in sources if source is not None])
        if settings.word_vectors is not None and not settings.word_vectors.is_file():
            raise DataError(
                "`--word-vectors` must be a file. Received:"
                f" {str(settings.word_vectors)!r}, which is not there. Copy one, such as GloVe's."
            )
        self.shards = ShardFolder(settings.shards, verify=world.is_first)
        if settings.text_share < 1:
            draw = stream(0, "text share")  # the same text for every seed
            self.shards.train = [
                shard.drawn(draw.random(len(shard.documents) - 1) < settings.text_share)
                for shard in self.shards.train
            ]
        self.tokenizer = self.shards.tokenizer()
        self.replay = self._replayed()
        self.config = self._config()
        check_length(settings.max_length, self.config)
        self.depths = DepthPlan(
            self.config,
            stages=parse_stages(settings.depth_stages),
            least=settings.random_depth,
            seed=settings.seed,
        )
        self.batches = self._batches()

    def run(self) -> Path:
        """Train, measure, and write the folder; or only say what would be done."""
        settings, optimization = self.settings, self._optimization()
        if self.shards.held_out:  # too little text is refused before training, not after
            self.source(self.shards.held_out, settings.max_length).plan(0)
        if settings.dry_run:
            return self._plan(optimization)
        workspace = Workspace(
            "pretrain",
            settings,
            self._data_record(),
            self.tokenizer,
            {"architectures": [_TRAINED_FOR.get(settings.objective, "AlbertForPreTraining")]},
            world=self.world,
            left_out=self._untrained(),
        )
        workspace.say(f"Masking: {self._masking()}.")
        trainer = workspace.train(
            self.objective(),
            self.batches,
            optimization,
            evaluate=self._evaluation(),
        )
        return workspace.finish(trainer, trainer.measure())

    def objective(self) -> Objective:
        """Make the model, or open the one to go on from, with what it is trained for."""
        settings = self.settings
        model = self._new_model() if self.start is None else self._started(self.start)
        model.activation_checkpointing(settings.activation_checkpointing)
        model.compile_layer(settings.compile)
        pairs = settings.objective != "none"
        if settings.objective == "rtd":
            return ReplacedTokens(ReplacedTokenDetector(model, seed=settings.seed), pairs=pairs)
        return MaskedWords(model, pairs=pairs)

    def source(
        self, shards: Sequence[Shard], length: int, *, held_out: bool = True
    ) -> SampleSource:
        """Return the samples of shards: for training by the settings' masking, else the paper's."""
        settings, tokenizer = self.settings, self.tokenizer
        masking = MaskingRule()
        if not held_out:
            masking = MaskingRule(
                rate=settings.masking_rate,
                max_ngram=settings.max_ngram,
                max_predictions=settings.max_predictions,
            )
        rule = SampleRule(
            max_length=length,
            short_fraction=settings.short_fraction,
            objective="sop" if settings.objective == "rtd" else settings.objective,
            masking=masking,
            seed=settings.seed,
        )
        table = PieceTable.from_tokenizer(tokenizer)
        return SampleSource(shards, table, rule, tokenizer.cls_id, tokenizer.sep_id)

    def _plan(self, optimization: Optimization) -> Path:
        """Say what the run would do, and return the page with its schedules."""
        settings = self.settings
        return show_plan(
            settings,
            self.config,
            self.batches,
            optimization,
            self.objective().to(self.world.device),
            train_tokens=self.shards.num_tokens,
            masking=self._masking(),
        )

    def _masking(self) -> MaskingFigures:
        """Measure how much of the text is predicted."""
        source = self.source(self.shards.train, self.settings.max_length, held_out=False)
        return effective_masking(source)

    # === Parts ===

    def _config(self) -> AlbertConfig:
        """Return the model's shape."""
        if self.start is not None:
            return without_labels(read_config(self.start))
        shape = parse_shape(self.settings.shape)
        return variant(self.settings.variant, vocab_size=self.tokenizer.vocab_size, **shape)

    def _replayed(self) -> ShardFolder | None:
        """Open the old text.

        Raises:
            ConfigError: it was cut by another tokenizer.
        """
        if self.settings.replay is None:
            return None
        folder = ShardFolder(self.settings.replay, verify=self.world.is_first)
        if folder.tokenizer().sha256 != self.tokenizer.sha256:
            raise ConfigError(
                "`--replay` needs shards cut by the same tokenizer as the new ones. Received:"
                f" {str(self.settings.replay)!r}. Run `albatross build-shards` with --tokenizer"
                f" {str(self.settings.shards)!r}."
            )
        return folder

    def _batches(self) -> PretrainingBatches:
        """Return the steps of the run.

        Raises:
            ConfigError: so few tokens that a process would have none.
        """
        settings, world = self.settings, self.world
        start = settings.batch_start if settings.batch_warmup else 1.0
        if settings.batch_tokens * start < world.size * settings.max_length and world.size > 1:
            raise ConfigError(
                "Every step needs a sample for each process. Received: steps from"
                f" {settings.batch_tokens * start:,.0f} tokens for {world.size} processes with"
                f" samples of {settings.max_length}. Raise `--batch-tokens`."
            )
        folders = [self.shards, *([self.replay] if self.replay else [])]
        return PretrainingBatches(
            lambda length: [self.source(f.train, length, held_out=False) for f in folders],
            batch_tokens=settings.batch_tokens,
            max_length=settings.max_length,
            length_stages=parse_stages(settings.length_stages),
            micro_tokens=settings.micro_tokens,
            batch_start=start,
            batch_warmup=settings.batch_warmup,
            replay_share=settings.replay_share if self.replay else 0.0,
            rank=world.rank,
            world=world.size,
        )

    def _optimization(self) -> Optimization:
        """Return how the run learns."""
        settings = self.settings
        budget = None if settings.budget is None else parse_budget(settings.budget)
        has_length = settings.tokens is not None or budget is not None
        steps = settings.steps or (None if has_length else DEFAULT_STEPS)
        return optimization_of(
            settings,
            Extent(steps=steps, tokens=settings.tokens, seconds=budget),
            parallel=settings.parallel,
            spike_factor=settings.spike_factor,
            evaluations=settings.evaluations,
            depths_at=self.depths,
        )

    def _evaluation(self) -> Callable[[Trainer], Mapping[str, float]]:
        """Return what measures the model on held-out text, if there is any."""
        if not self.shards.held_out:
            return lambda trainer: {}
        held_out = HeldOutText(
            self.source(self.shards.held_out, self.settings.max_length),
            frequency_bands(self.shards.train, self.tokenizer.vocab_size),
            batch_tokens=min(_EVALUATION_BATCH, self.settings.micro_tokens),
            most_tokens=_EVALUATION_TOKENS,
        )
        speedometer = Speedometer(
            self.config,
            length=self.settings.max_length,
            masking_rate=self.settings.masking_rate,
        )

        def evaluate(trainer: Trainer) -> dict[str, float]:
            figures = held_out.measure(trainer.objective, trainer.world)
            return {**figures, **speedometer.figures(trainer)}

        return evaluate

    def _started(self, folder: Path) -> AlbertForPreTraining:
        """Open the model to go on from; heads that it lacks start anew, and are named.

        Raises:
            ConfigError: the shards were made with another tokenizer.
        """
        own = open_tokenizer(folder, self.config)
        if own.sha256 != self.tokenizer.sha256:
            raise ConfigError(
                "A model goes on with text cut by its own tokenizer. Received: shards of"
                f" {self.tokenizer!r} for {own!r}. Run `albatross build-shards` with --tokenizer"
                f" {str(folder)!r}."
            )
        names = read_weights(folder)
        parts = ("albert.pooler", "predictions", "sop_classifier")
        anew = [part for part in parts if not any(name.startswith(f"{part}.") for name in names)]
        if anew and self.world.is_first:
            print(f"Starting anew: {', '.join(anew)}, which the model lacks.", file=sys.stderr)
        return AlbertForPreTraining.from_pretrained(
            folder, config=self.config, initialize=anew, seed=self.settings.seed
        )

    def _untrained(self) -> tuple[str, ...]:
        """Return prefixes of weights that are not kept.

        Heads that no loss reaches, and a pooler that nothing has trained, before this run either.
        """
        parts: tuple[str, ...] = _UNTRAINED.get(self.settings.objective, ())
        known = () if self.start is None else tuple(read_weights(self.start))
        if self.settings.objective == "none" and not any(n.startswith(_POOLER) for n in known):
            parts += (_POOLER,)
        return parts

    def _new_model(self) -> AlbertForPreTraining:
        """Make the variant with random weights and, unless refused, waves for positions."""
        config = self.config
        model = AlbertForPreTraining(config, seed=self.settings.seed)
        if self.settings.position_start != "normal":
            table = model.albert.embeddings.position_embeddings.weight
            waves = sinusoidal_positions(config.max_position_embeddings, config.embedding_size)
            # The waves' variance is one half: as strong as the random start would be.
            table.data.copy_(waves * config.initializer_range * 2**0.5)
        if self.settings.word_vectors is not None:
            self._start_words(model, self.settings.word_vectors)
        return model

    def _start_words(self, model: AlbertForPreTraining, file: Path) -> None:
        """Give the pieces their word vectors, and say how many have one."""
        pieces = read_piece_vectors(file, self.tokenizer)
        start_embeddings(
            model.albert.embeddings.word_embeddings.weight,
            pieces,
            spread=self.config.initializer_range,
            seed=self.settings.seed,
        )
        if self.world.is_first:
            whole, found = int(pieces.is_whole.sum()), int(pieces.is_found.sum())
            print(
                f"Word vectors: {whole:,} of {len(pieces.is_found):,} pieces are words of"
                f" {file.name}, {found - whole:,} are parts of some.",
                file=sys.stderr,
            )

    def _data_record(self) -> dict[str, Any]:
        """Return what `run.json` says of the data; an index holds the checksums of its shards."""
        parts = {"train": self.shards.train, "held_out": self.shards.held_out}
        record: dict[str, Any] = {
            "shards": file_digest(self.shards.folder / INDEX),
            **{
                name: {
                    "shards": len(part),
                    "documents": sum(len(shard.documents) - 1 for shard in part),
                    "tokens": sum(len(shard.tokens) for shard in part),
                }
                for name, part in parts.items()
            },
        }
        if self.replay is not None:
            record["replay"] = file_digest(self.replay.folder / INDEX)
        if self.settings.word_vectors is not None:
            record["word_vectors"] = file_digest(self.settings.word_vectors)
        if self.start is not None:
            record["model"] = [file_digest(path) for path in weight_files(self.start)]
        return {**record, "tokenizer_sha256": self.tokenizer.sha256}
