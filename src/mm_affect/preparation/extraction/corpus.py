# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A corpus of raw clips to a folder of feature rows: in parallel, resumable, with every failure counted and named."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from ...data import RowReader, load, read_corpus
from ...data.record import CorpusRecord, DroppedClip
from ...data.rows import check_target
from ...features.faces import FaceDescriptor
from ...features.log_mel import LogMelExtractor
from ...features.processor import AffectProcessor
from ...features.word_vectors import HashedWordVectors, WordVectors, tokenize
from .job import Job, Shard, build_plan, open_job, plan_shards
from .ray_cluster import extract_on_ray
from .workers import extract_shards


class ExtractionError(ValueError):
    """Clips that could not be read, each with its reason, in `failures`.

    Args:
        listed: the file that names all of them, beside the finished shards of a resumable extraction.
        limit: the share of the clips that might fail, if the extraction stopped because more did.
    """

    def __init__(self, failures: list[DroppedClip], listed: Path | None = None, limit: float | None = None):
        self.failures = failures
        named = "; ".join(f"{failure.id}: {failure.reason}" for failure in failures[:5])
        more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
        clips = "1 clip" if len(failures) == 1 else f"{len(failures)} clips"
        kept = f" {listed} names all of them; with retry_failed only these are tried again." if listed else ""
        stopped = "so nothing was written" if limit is None else f"more than the share of {limit:g} that may fail"
        super().__init__(
            f"{clips} could not be read, {stopped}: {named}{more}. "
            f"Repair the files, or leave such clips out with skip_errors.{kept}"
        )


def default_processor(source: str | Path, word_vectors: str | Path | None = None, visual=None) -> AffectProcessor:
    """The processor of the open extractors: word vectors, log-mel filterbanks, face descriptors.

    A modality for which the corpus brings feature files is taken from them, and has no extractor.

    Args:
        source: an own-corpus folder; its transcripts say which word vectors are kept.
        word_vectors: a GloVe-format text file; without it every word gets a fixed random vector ("hashed_words"),
            a stand-in that knows words apart and nothing of their meaning.
        visual: an extractor of pictures instead of the face descriptor, such as `extractors.visual_extractor` makes.

    Raises:
        ValueError: `visual` is given, and the corpus brings features of the picture.
    """
    if word_vectors is None:
        text = HashedWordVectors()
    else:
        rows = (row for split in load(source).values() for row in RowReader(split))
        text = WordVectors.from_glove(
            word_vectors, {word for row in rows for word in tokenize(row["transcript"] or "")}
        )
    brought = read_corpus(source).sizes
    if visual is not None and "visual" in brought:
        raise ValueError(
            f"{source} brings features of the picture ({brought['visual']} per step), so none are extracted; leave the "
            "visual extractor out, or take these files away."
        )
    extractors = {"text": text, "audio": LogMelExtractor(), "visual": visual or FaceDescriptor()}
    extractors = {m: extractor for m, extractor in extractors.items() if m not in brought}
    return AffectProcessor.from_extractors(
        extractors, feature_sizes=brought, normalization={"text": "none"} if "text" in extractors else None
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
    """Extract features of every clip of a corpus and write them as rows; return the record of the rows.

    Memory does not grow with the corpus. The files depend neither on `workers` and `ray`, nor on interruptions.

    Args:
        source: the folder with the manifest, or a folder of rows that name media.
        output: the folder to write; it appears when complete. The processor goes there too.
        workers: processes that extract.
        skip_errors: leave clips that cannot be read out, and record them under `dropped`.
        overwrite: replace earlier rows in `output`, and unfinished work of another plan.
        progress: called after each clip with its id and the number of clips that this start has to do.
        resumable: if the extraction stops, whatever the reason, keep its finished shards in `.<name>.extracting` beside the
            output, and go on from those of an earlier start. A clip that was extracted is not looked at again.
        retry_failed: try the clips again that failed in an earlier start.
        most_failures: the share of all clips that may fail; with more the extraction stops at once.
        shard_clips: clips per shard, which is what an interruption loses for each worker.
        ray: address of a Ray cluster that works instead of processes of this machine; `local`: one of `workers` workers here.

    Raises:
        ExtractionError: clips that cannot be read, unless `skip_errors`; or too many of them. Nothing is written then.
        BlockingIOError: another process is at work on the same resumable extraction.
        FileExistsError: `output` holds something; or there is unfinished work of another plan.
    """
    if retry_failed and not resumable:
        raise ValueError("retry_failed needs resumable: without it no earlier start is remembered.")
    if not 0 <= most_failures <= 1:
        raise ValueError(f"`most_failures` is {most_failures}; expected a share of the clips, from 0 to 1.")
    if min(shard_clips, workers) < 1:
        raise ValueError(f"`shard_clips` is {shard_clips} and `workers` {workers}; both must be at least 1.")
    output = Path(os.path.abspath(output))
    check_target(output, overwrite)
    processor = processor or default_processor(source)
    splits, corpus = load(source), read_corpus(source)
    shards = plan_shards({split: len(rows) for split, rows in splits.items()}, shard_clips)
    allowed = most_failures * sum(len(rows) for rows in splits.values())
    plan = build_plan(splits, processor, shard_clips)
    with open_job(output, plan, corpus.label_fields, processor.feature_sizes, resumable, overwrite) as job:
        failures = {shard: _failures(job, shard) for shard in shards}
        waiting = [shard for shard in shards if failures[shard] is None or (retry_failed and failures[shard])]
        work = [(shard, splits[shard.split].select(range(shard.start, shard.stop))) for shard in waiting]
        total = sum(len(job.select_pending(shard, rows)) for shard, rows in work)

        def tell(clip):
            if progress is not None:
                progress(clip, total)

        if ray is None:
            finished = extract_shards(job, work, processor, workers if workers > 1 else 0, tell)
        else:
            finished = extract_on_ray(job, work, processor, ray, workers, tell)
        with closing(finished):  # workers end before their folder does
            for shard in finished:
                failures[shard] = _failures(job, shard)
                failed = [failure for shard in shards for failure in failures[shard] or ()]
                if len(failed) > allowed:
                    raise ExtractionError(failed, limit=most_failures)
        failed = [failure for shard in shards for failure in failures[shard]]
        listed = job.write_failures(failed)
        if failed and not skip_errors:
            raise ExtractionError(failed, listed if resumable else None)
        if failed and len(failed) == sum(shard.stop - shard.start for shard in shards):
            raise ExtractionError(failed, listed if resumable else None)  # no clip is left
        record = replace(
            corpus,
            sizes=processor.feature_sizes,
            extractors=processor.extractors,
            dropped=[*corpus.dropped, *failed],
        )
        return job.finish(shards, record, processor, output)


def _failures(job: Job, shard: Shard) -> list[DroppedClip] | None:
    """The clips of a finished shard that failed; None if it is to be done."""
    record = job.record(shard)
    return None if record is None else [DroppedClip(**failure) for failure in record["failures"]]
