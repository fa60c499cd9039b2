"""The verb build-shards: a corpus and a tokenizer to a folder of shards.

Chunks of text become parts (`parts`), on all cores (`workers`) or a cluster (`ray_job`); documents
that repeat others are found among all of them (`duplicates`); then the parts are put together.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from albatross.atomic import check_free, writing
from albatross.checkpoints.delta import vocabulary_folder
from albatross.checkpoints.locate import builtin_folders
from albatross.corpus.assembly import assemble, summary
from albatross.corpus.chunks import Group, cutting, reading_groups
from albatross.corpus.cleaning import Cleaner, CleaningRule
from albatross.corpus.parts import TOKENIZER, PartJob
from albatross.corpus.place import check_place
from albatross.corpus.work_folder import WorkFolder
from albatross.corpus.workers import make_parts
from albatross.data.documents import corpus_files
from albatross.data.shards import INDEX
from albatross.progress import Progress
from albatross.settings.corpus import BuildShardsSettings
from albatross.tokenizer.folder import AnyTokenizer, open_tokenizer

# Of the parts' contents: a build does not go on with parts that were made another way.
_VERSION = 1


def build_shards(settings: BuildShardsSettings) -> Path:
    """Clean and tokenise a corpus and write a shard folder; a killed build is gone on with.

    Raises:
        DataError: the corpus cannot be read, holds no text or none that is kept, or a worker died.
        FolderError: no tokenizer folder, or the output's place is taken or cannot be written.
        MissingDependencyError: a library that the settings ask for is not installed.
    """
    start = time.monotonic()
    check_place(settings.out, INDEX, "shard")
    check_free(settings.out)
    files = corpus_files(settings.corpus)
    tokenizer = open_tokenizer(_tokenizer_folder(settings.tokenizer))
    Cleaner(_rule(settings))  # what it lacks is said before any work
    groups = reading_groups(files)
    with WorkFolder.opened(settings.out, _manifest(settings, tokenizer), groups) as work:
        (work.path / TOKENIZER).mkdir(exist_ok=True)
        tokenizer.save(work.path / TOKENIZER)
        _make_missing(settings, work, groups)
        with writing(settings.out) as folder:
            index = assemble(work, groups, settings, tokenizer, folder)
            tokenizer.save(folder)
        work.remove()
    print(summary(index, time.monotonic() - start), file=sys.stderr)
    return settings.out


def _make_missing(settings: BuildShardsSettings, work: WorkFolder, groups: Sequence[Group]) -> None:
    """Make the parts that are not there yet."""
    job = PartJob(
        work.path,
        _rule(settings),
        settings.sentence_breaks,
        settings.text_column,
        settings.duplicates == "near",
    )
    missing = [group for group in groups if not work.is_complete(group)]
    total = sum(group.size for group in groups)
    done = total - sum(group.size for group in missing)
    if done:
        print(f"Going on: {done / total:.0%} of the text is done.", file=sys.stderr)
    with Progress("building shards", total, done=done) as progress:
        if settings.runner == "ray":
            from albatross.corpus.ray_job import make_parts_on_ray

            make_parts_on_ray(job, work, missing, progress.advance)
        else:
            workers = settings.workers or os.cpu_count() or 1
            make_parts(job, work, missing, workers, progress.advance)


def _rule(settings: BuildShardsSettings) -> CleaningRule:
    """Return what is done to each document by itself."""
    return CleaningRule(
        settings.repair_unicode,
        settings.languages,
        settings.min_characters,
        settings.max_characters,
    )


def _tokenizer_folder(given: Path) -> Path:
    """Return the folder that is given, or that of the built-in model which is named."""
    inside = None if given.exists() else builtin_folders().get(given.as_posix())
    return given if inside is None else vocabulary_folder(inside)


def _manifest(settings: BuildShardsSettings, tokenizer: AnyTokenizer) -> dict[str, Any]:
    """Return all that the parts depend on beside their files, by names that people know."""
    return {
        "version": _VERSION,
        "tokenizer": [repr(tokenizer), tokenizer.sha256],
        "cleaning": asdict(_rule(settings)),
        "sentence breaks": settings.sentence_breaks,
        "text column": settings.text_column,
        "signatures": settings.duplicates == "near",
        "cut": cutting(),
    }
