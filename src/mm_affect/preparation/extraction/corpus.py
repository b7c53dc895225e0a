# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Extraction of a corpus of raw clips to a folder of feature rows: parallel, resumable, with every failure recorded."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...data import load, read_corpus
from ...data.record import CorpusRecord, DroppedClip
from ...data.rows import check_target
from ...features.faces import FaceDescriptor
from ...features.log_mel import LogMelExtractor
from ...features.processor import AffectProcessor
from ...features.word_vectors import HashedWordVectors, WordVectors, tokenize
from .job import Job, Shard, build_plan, iterate_rows, open_job, plan_shards
from .ray_cluster import extract_on_ray
from .workers import extract_shards


class ExtractionError(ValueError):
    """Clips that could not be read, each with its reason, in `failures`.

    Args:
        failures: the clips.
        failures_file: file that lists all of them, beside the finished shards of a resumable extraction.
        limit: the fraction of failed clips above which the extraction was stopped, if it was.
    """

    def __init__(self, failures: list[DroppedClip], failures_file: Path | None = None, limit: float | None = None):
        self.failures = failures
        first = "; ".join(f"{failure.id}: {failure.reason}" for failure in failures[:5])
        more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
        clips = "1 clip" if len(failures) == 1 else f"{len(failures)} clips"
        effect = "so nothing was written" if limit is None else f"more than the allowed fraction of {limit:g}"
        retry = f" All are listed in {failures_file}; --retry-failed tries only these again." if failures_file else ""
        super().__init__(
            f"{clips} could not be read, {effect}: {first}{more}. Repair the files, or drop such clips with "
            f"--skip-errors.{retry}"
        )


def default_processor(
    source: str | Path,
    word_vectors: str | Path | None = None,
    visual: Any | None = None,
    audio: Any | None = None,
) -> AffectProcessor:
    """Build the processor of the default extractors: word vectors, log-mel filterbanks, face descriptors.

    A modality for which the corpus has feature files is read from them, and has no extractor.

    Args:
        source: a corpus folder; its transcripts select the word vectors that are kept.
        word_vectors: text file in GloVe format; without it every word gets a fixed random vector ("hashed_words"), which
            identifies the word and carries no meaning.
        visual: visual extractor in place of the face descriptor, as `extractors.build_visual_extractor` builds it.
        audio: audio extractor in place of log-mel filterbanks, as `extractors.build_audio_extractor` builds it.

    Raises:
        ValueError: If `visual` or `audio` is given, and the corpus has feature files of that modality.
    """
    text: HashedWordVectors | WordVectors
    if word_vectors is None:
        text = HashedWordVectors()
    else:
        rows = (row for split in load(source).values() for row in iterate_rows(split))
        vocabulary = {word for row in rows for word in tokenize(row["transcript"] or "")}
        text = WordVectors.from_glove(word_vectors, vocabulary)
    precomputed = read_corpus(source).sizes
    for modality, extractor in (("visual", visual), ("audio", audio)):
        if extractor is not None and modality in precomputed:
            raise ValueError(
                f"{source} has {modality} feature files ({precomputed[modality]} features per step), so none are "
                f"extracted; leave --{modality} out, or remove these files."
            )
    extractors = {"text": text, "audio": audio or LogMelExtractor(), "visual": visual or FaceDescriptor()}
    extractors = {m: extractor for m, extractor in extractors.items() if m not in precomputed}
    return AffectProcessor.from_extractors(
        extractors, feature_sizes=precomputed, normalization={"text": "none"} if "text" in extractors else None
    )


def extract_corpus(
    source: str | Path,
    output: str | Path,
    processor: AffectProcessor | None = None,
    workers: int = 1,
    skip_errors: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, int], None] | None = None,
    resumable: bool = False,
    retry_failed: bool = False,
    most_failures: float = 1.0,
    shard_clips: int = 1000,
    ray: str | None = None,
) -> CorpusRecord:
    """Extract features of every clip of a corpus, write them as rows, and return the record of the rows.

    Memory does not grow with the corpus. The files do not depend on `workers`, `ray` or interruptions.

    Args:
        source: folder with a manifest, or folder of rows that name media.
        output: folder to write, with the rows and the processor; it appears when complete.
        processor: processor with the extractors; default: `default_processor(source)`.
        workers: worker processes.
        skip_errors: drop clips that cannot be read, and record them under `dropped`.
        overwrite: replace earlier rows in `output`, and unfinished work of another plan.
        progress: called after each clip with its id and the number of clips of this run.
        resumable: if the extraction stops for any reason, keep its finished shards in `.<name>.extracting` beside the
            output, and continue from those of an earlier run. Extracted clips are not read again.
        retry_failed: retry the clips that failed in an earlier run.
        most_failures: fraction of the clips that may fail; with more the extraction stops at once.
        shard_clips: clips per shard, which are what each worker loses in an interruption.
        ray: address of a Ray cluster that extracts instead of processes of this machine; `local` starts one with
            `workers` workers here.

    Raises:
        ExtractionError: If clips cannot be read and `skip_errors` is False, or too many of them; nothing is written then.
        BlockingIOError: If another process works on the same resumable extraction.
        FileExistsError: If `output` is not empty, or there is unfinished work of another plan.
    """
    if retry_failed and not resumable:
        raise ValueError(
            "--retry-failed needs --resume (in Python `resumable=True`); without it no failures of an earlier run are kept."
        )
    if not 0 <= most_failures <= 1:
        raise ValueError(f"--most-failures is {most_failures}; expected a fraction of the clips, from 0 to 1.")
    if min(shard_clips, workers) < 1:
        raise ValueError(f"--shard-clips is {shard_clips} and --workers {workers}; both must be at least 1.")
    output = Path(os.path.abspath(output))
    check_target(output, overwrite)
    processor = processor or default_processor(source)
    splits, corpus = load(source), read_corpus(source)
    shards = plan_shards({split: len(rows) for split, rows in splits.items()}, shard_clips)
    allowed = most_failures * sum(len(rows) for rows in splits.values())
    plan = build_plan(splits, processor, shard_clips)
    with open_job(output, plan, corpus.label_fields, processor.feature_sizes, resumable, overwrite) as job:
        failures = {shard: _read_failures(job, shard) for shard in shards}
        pending = [shard for shard in shards if failures[shard] is None or (retry_failed and failures[shard])]
        work = [(shard, splits[shard.split].select(range(shard.start, shard.stop))) for shard in pending]
        total = sum(len(job.select_pending(shard, rows)) for shard, rows in work)

        def report_progress(clip: str) -> None:
            if progress is not None:
                progress(clip, total)

        if ray is None:
            finished = extract_shards(job, work, processor, workers if workers > 1 else 0, report_progress)
        else:
            finished = extract_on_ray(job, work, processor, ray, workers, report_progress)
        with closing(finished):  # stop the workers before their folder is removed
            for shard in finished:
                failures[shard] = _read_failures(job, shard)
                failed = [failure for shard in shards for failure in failures[shard] or ()]
                if len(failed) > allowed:
                    raise ExtractionError(failed, limit=most_failures)
        failed = [failure for shard in shards for failure in failures[shard] or ()]
        failures_file = job.write_failures(failed)
        none_left = len(failed) == sum(shard.stop - shard.start for shard in shards)
        if failed and (not skip_errors or none_left):
            raise ExtractionError(failed, failures_file if resumable else None)
        record = replace(
            corpus,
            sizes=processor.feature_sizes,
            extractors=processor.extractors,
            dropped=[*corpus.dropped, *failed],
        )
        return job.finish(shards, record, processor, output)


def _read_failures(job: Job, shard: Shard) -> list[DroppedClip] | None:
    """Return the failed clips of a finished shard; None if the shard is not finished."""
    record = job.read_record(shard)
    return None if record is None else record.failures
