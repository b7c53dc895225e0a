# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A corpus of raw clips to a folder of feature rows, in parallel, with every failure counted and named."""

import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from .data import RowReader, load, read_corpus, write_rows
from .data.rows import FOUND
from .models.configuration import MODALITIES
from .models.faces import FaceDescriptor
from .models.log_mel import LogMelExtractor
from .models.processing import AffectProcessor
from .models.word_vectors import HashedWordVectors, WordVectors, tokenize


class ExtractionError(ValueError):
    """Clips that could not be read, each with its reason, in `failures` (`[{"id", "reason"}]`)."""

    def __init__(self, failures: list[dict]):
        self.failures = failures
        named = "; ".join(f"{failure['id']}: {failure['reason']}" for failure in failures[:5])
        more = f" (and {len(failures) - 5} more)" if len(failures) > 5 else ""
        clips = "1 clip" if len(failures) == 1 else f"{len(failures)} clips"
        super().__init__(
            f"{clips} could not be read, so nothing was written: {named}{more}. "
            "Repair the files, or leave such clips out with skip_errors."
        )


def default_processor(source: str | Path, word_vectors: str | Path | None = None) -> AffectProcessor:
    """The processor of the open extractors: word vectors, log-mel filterbanks, face descriptors.

    A modality for which the corpus brings feature files is taken from them, and has no extractor.

    Args:
        source: an own-corpus folder; its transcripts say which word vectors are kept.
        word_vectors: a GloVe-format text file; without it every word gets a fixed random vector ("hashed_words"),
            a stand-in that knows words apart and nothing of their meaning.
    """
    if word_vectors is None:
        text = HashedWordVectors()
    else:
        rows = (row for split in load(source).values() for row in RowReader(split))
        text = WordVectors.from_glove(
            word_vectors, {word for row in rows for word in tokenize(row["transcript"] or "")}
        )
    brought = read_corpus(source)["sizes"]
    extractors = {"text": text, "audio": LogMelExtractor(), "visual": FaceDescriptor()}
    extractors = {m: extractor for m, extractor in extractors.items() if m not in brought}
    return AffectProcessor.from_extractors(
        extractors, feature_sizes=brought, normalisation={"text": "none"} if "text" in extractors else None
    )


def extract_corpus(
    source: str | Path,
    output: str | Path,
    processor: AffectProcessor | None = None,
    workers: int = 1,
    skip_errors: bool = False,
    overwrite: bool = False,
    progress: Callable[[str, int], None] | None = None,
) -> dict:
    """Extract features of every clip of an own corpus and write them as rows; returns the rows' corpus.json.

    Memory does not grow with the corpus. The order of the rows, and so the files, do not depend on `workers`.

    Args:
        source: the folder with the manifest.
        output: the folder to write; it appears when complete. The processor goes there too.
        skip_errors: leave clips that cannot be read out, and record them under `dropped`.
        progress: called after each clip with its id and the number of all clips.

    Raises:
        ExtractionError: clips that cannot be read, unless `skip_errors`; nothing is written then.
    """
    processor = processor or default_processor(source)
    splits, corpus = load(source), read_corpus(source)
    total, failures = sum(len(rows) for rows in splits.values()), []
    unchanged = {name: value for name, value in corpus.items() if name not in FOUND}
    dropped = list(corpus["dropped"] or [])
    described = {"sizes": processor.feature_sizes, "extractors": processor.extractors, "dropped": dropped}

    def extracted(rows, last):
        for row, reason in _in_order(pool, _Extract(processor), RowReader(rows), 4 * workers):
            if progress is not None:
                progress(row["id"], total)
            if reason is None:
                yield row
            else:
                failures.append({"id": row["id"], "reason": reason})
        if last and failures and not skip_errors:  # only now all of them are known
            raise ExtractionError(failures)
        if last:
            dropped.extend(failures)

    with _deaf_to_interrupts():
        pool = ProcessPoolExecutor(workers, get_context("spawn")) if workers > 1 else None
    try:
        *_, last = splits
        rows = {name: extracted(split, name == last) for name, split in splits.items()}
        record = write_rows(output, rows, unchanged | described, overwrite=overwrite, beside=processor.save_pretrained)
    finally:
        if pool is not None:
            pool.shutdown(cancel_futures=True)
    return record


class _Extract:
    """Runs in a worker: a row to its features, or to the sentence that says why not."""

    def __init__(self, processor: AffectProcessor):
        self.processor = processor

    def __call__(self, row: dict) -> tuple[dict, str | None]:
        try:
            given = [m for m in self.processor.feature_sizes if m not in self.processor.extractors]
            return self.processor.extract(row, [m for m in MODALITIES if m not in given or len(row[m])]), None
        except (ValueError, OSError) as error:
            return row, str(error)


def _in_order(pool, work, rows, ahead: int) -> Iterator:
    """`map(work, rows)`, by the pool if there is one, holding at most `ahead` rows at a time."""
    read = map(rows.__getitem__, range(len(rows)))
    if pool is None:
        yield from map(work, read)
        return

    def submitted(count):
        with _deaf_to_interrupts():
            return [pool.submit(work, row) for row in islice(read, count)]

    waiting = deque(submitted(ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(submitted(1))


@contextmanager
def _deaf_to_interrupts():
    """Processes that are started inside never see Ctrl-C: it is for the parent alone, which ends them. Here it waits until
    the end of the block, so that no process is left half started."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is interrupted
        yield
        return
    heard = []
    handler = signal.signal(signal.SIGINT, lambda *_: heard.append(True))
    masks = hasattr(signal, "pthread_sigmask")  # not on Windows: there a worker may say that it was interrupted
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else None
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler)
    if heard:
        raise KeyboardInterrupt
