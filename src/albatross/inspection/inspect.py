"""The verb inspect: what a model would see of a shard folder, and what would give labels away."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from albatross.atomic import write_file
from albatross.data.masking import MaskingRule, PieceTable
from albatross.data.masking_rate import effective_masking
from albatross.data.packing import IGNORED_LABEL
from albatross.data.segments import SampleRule, SampleSource
from albatross.data.shards import Shard, ShardFolder
from albatross.errors import ConfigError
from albatross.inspection.findings import LengthFigures
from albatross.inspection.page import page
from albatross.inspection.probe import ProbeResult, bags_of, googles_mixture, pairs_of, probe
from albatross.inspection.shown import label_name, show_sample
from albatross.inspection.terminal import PrintedInspection
from albatross.progress import Progress
from albatross.settings.inspection import InspectSettings
from albatross.tokenizer.folder import AnyTokenizer

# Pairs a probe is given: its interval is then 2 % wide.
_PAIRS = 20_000
_BARS = 8
# Above this a label is told from topic; an interval may miss 50 % by chance, one time in 20.
_NEAR_CHANCE = 0.51


def inspect(settings: InspectSettings) -> PrintedInspection:
    """Show the samples of a shard folder; write a page if one is asked for.

    Raises:
        FolderError: no shard folder, or a damaged one.
        DataError: no document is long enough for a sample.
        ConfigError: the page's folder does not exist.
    """
    if settings.page is not None and not settings.page.absolute().parent.is_dir():
        raise ConfigError(
            f"`--page` must lie in a folder that exists. Received: {str(settings.page)!r}."
            " Make the folder, or name another place."
        )
    with Progress("inspecting", total=None):
        found = _inspect(settings)
    if settings.page is not None:
        write_file(settings.page, page(found).encode("utf-8", "backslashreplace"))
        print(f"Wrote {settings.page}", file=sys.stderr)
    return found


def _inspect(settings: InspectSettings) -> PrintedInspection:
    """Read the folder, make samples and measure."""
    folder = ShardFolder(settings.shards)
    tokenizer = folder.tokenizer()
    table = PieceTable.from_tokenizer(tokenizer)
    rule = SampleRule(
        max_length=settings.max_length,
        short_fraction=settings.short_fraction,
        objective=settings.objective,
        masking=MaskingRule(
            rate=settings.masking_rate,
            max_ngram=settings.max_ngram,
            max_predictions=settings.max_predictions,
        ),
        seed=settings.seed,
    )
    source = SampleSource(folder.train, table, rule, tokenizer.cls_id, tokenizer.sep_id)
    plan = source.plan(0)
    examples = source.samples(0, range(min(settings.samples, len(plan))))
    probes = _probes(source, tokenizer)
    return PrintedInspection(
        folder=settings.shards.as_posix(),
        objective=settings.objective,
        facts=_facts(folder, tokenizer, source),
        lengths=_lengths(plan.lengths.astype(np.int64), rule.max_length),
        labels={
            label_name(order, rule.objective): float((plan.order == order).mean())
            for order in (0, 1, IGNORED_LABEL)
        },
        masking=effective_masking(source),
        samples=[
            show_sample(index, example, tokenizer, table, rule.objective)
            for index, example in enumerate(examples)
        ],
        probes=probes,
        verdict=_verdict(settings.objective, probes),
    )


def _facts(folder: ShardFolder, tokenizer: AnyTokenizer, source: SampleSource) -> dict[str, str]:
    """Return what the folder holds, in words."""
    train, held_out = _counts(folder.train), _counts(folder.held_out)
    facts = {
        "training": _held(train),
        "held out": _held(held_out) if held_out["documents"] else "nothing",
        "vocabulary": f"{tokenizer!r}",
        "samples": f"{len(source.plan(0)):,}"
        + (f" in the first of {source.parts_per_epoch} parts" * (source.parts_per_epoch > 1))
        + " an epoch" * (source.parts_per_epoch == 1),
    }
    cleaning = folder.index.get("cleaning")
    if isinstance(cleaning, dict):
        facts["cleaning"] = ", ".join(_flat(cleaning)) or "none"
    return facts


def _counts(shards: list[Shard]) -> dict[str, int]:
    """Return how much some shards hold."""
    return {
        "documents": sum(len(shard.documents) - 1 for shard in shards),
        "sentences": sum(len(shard.sentences) - 1 for shard in shards),
        "tokens": sum(len(shard.tokens) for shard in shards),
    }


def _held(counts: dict[str, int]) -> str:
    """Say how much that is."""
    documents, sentences, tokens = counts.values()
    return (
        f"{documents:,} documents of {tokens / documents:,.0f} tokens,"
        f" {sentences:,} sentences of {tokens / sentences:,.1f}, {tokens:,} tokens"
    )


def _flat(counts: dict[str, Any], before: str = "") -> list[str]:
    """Return the figures of nested counts as words."""
    words: list[str] = []
    for name, value in counts.items():
        label = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            words += _flat(value, f"{label}: ")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            words.append(f"{label} {value:,}")
    return words


def _lengths(lengths: np.ndarray[Any, np.dtype[np.int64]], longest: int) -> LengthFigures:
    """Return the distribution of lengths; a full sample has less than a sentence to spare."""
    bounds = np.unique(np.linspace(0, longest, _BARS + 1).astype(int))
    counts, _ = np.histogram(lengths, bounds + 0.5)
    shares = (counts / len(lengths)).tolist()
    return LengthFigures(
        mean=float(lengths.mean()),
        full=float((lengths > 0.9 * longest).mean()),
        bars=dict(zip(bounds[1:].tolist(), shares, strict=True)),
    )


def _probes(source: SampleSource, tokenizer: AnyTokenizer) -> dict[str, ProbeResult | None]:
    """Probe sentence order, Google's form of it, and BERT's next sentence."""
    in_order = source.with_rule(replace(source.rule, objective="sop"))
    from_elsewhere = source.with_rule(replace(source.rule, objective="nsp"))
    texts = {
        "sentence order (sop)": pairs_of(in_order, _PAIRS),
        "the same as Google's script makes it": googles_mixture(in_order, _PAIRS),
        "next sentence (nsp)": pairs_of(from_elsewhere, _PAIRS),
    }
    seed, size = source.rule.seed, tokenizer.vocab_size
    return {name: probe(bags_of(text, size), seed) for name, text in texts.items()}


def _verdict(objective: str, probes: dict[str, ProbeResult | None]) -> str:
    """Say in one line whether the objective's labels can be told from topic."""
    if objective == "none":
        return "no sentence labels, so none to give away."
    found = next(result for name, result in probes.items() if f"({objective})" in name)
    if found is None:
        return "too few pairs of segments to say whether topic gives labels away."
    if found.low < _NEAR_CHANCE:
        return f"topic does not give sentence labels away: {found}."
    return (
        f"TOPIC GIVES SENTENCE LABELS AWAY: {found}. A model may learn the task without reading;"
        " --objective sop has no such shortcut."
    )
