# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Long extractions: stopped, killed, repeated and shared out, they write the bytes of one that was left in peace."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from corpora import write_corpus, write_wav
from filelock import FileLock

from mm_affect.data import RowReader, load, read_corpus, write_rows
from mm_affect.data.record import DroppedClip
from mm_affect.features.processor import AffectProcessor
from mm_affect.preparation.extraction import workers as extraction_workers
from mm_affect.preparation.extraction.corpus import ExtractionError, default_processor, extract_corpus
from mm_affect.preparation.extraction.job import Shard, plan_shards
from mm_affect.preparation.extraction.workers import WORKER_DIED, extract_rows


CLIPS = 9
JOB = {"resumable": True, "shard_clips": 2}
KILLER, SLOW = "killer", "slow"


class TouchyProcessor(AffectProcessor):
    """Reads clips as its parent does, but a transcript may end the process that reads it, or take its time."""

    def extract(self, row, *arguments):
        if row["transcript"] == KILLER:
            os.kill(os.getpid(), signal.SIGKILL)
        if row["transcript"] == SLOW:
            marks = Path(row["audio_file"]).parent / "pids"
            (marks / f"{row['id']}.{os.getpid()}").touch()
            time.sleep(0.3)
        return super().extract(row, *arguments)


def make_corpus(folder, transcript="one word", damaged=(), count=CLIPS):
    lines = []
    for i in range(count):
        path = write_wav(folder / f"c{i}.wav", 0.1 + i / 50, loudness=i / 10)  # the first is silent
        if i in damaged:
            path.write_bytes(b"no sound at all")
        lines.append(
            {"id": f"c{i}", "split": "train" if i % 4 else "test", "audio": path.name, "mood": "ab"[i // 2 % 2]}
        )
    return write_corpus(folder, [line | {"transcript": transcript} for line in lines])


@pytest.fixture
def corpus(tmp_path):
    return make_corpus(tmp_path / "corpus")


def touchy(corpus):
    known = default_processor(corpus)
    return TouchyProcessor(known.feature_sizes, known.extractors, known.normalization)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ids_of(folder):
    return sorted(row["id"] for split in load(folder).values() for row in RowReader(split))


def stop_after(clips):
    """A `progress` that interrupts at this clip; `seen` are the clips that it was called with."""

    def progress(clip, total):
        progress.seen.append(clip)
        if len(progress.seen) == clips:
            raise KeyboardInterrupt

    progress.seen = []
    return progress


def test_the_plan_has_every_clip_once():
    shards = plan_shards({"train": 5, "test": 4}, 2)
    assert [shard.name for shard in shards] == [
        "train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003",
        "test-00000-of-00002", "test-00001-of-00002",
    ]  # fmt: skip
    assert [(shard.start, shard.stop) for shard in shards] == [(0, 2), (2, 4), (4, 5), (0, 2), (2, 4)]
    assert plan_shards({"train": 0, "test": 1}, 2) == [Shard("test", 0, 1, 0, 1)]


def test_a_stopped_extraction_goes_on_and_repeats_no_finished_shard(corpus, tmp_path):
    extract_corpus(corpus, tmp_path / "whole", shard_clips=2)
    seen = []
    for clips in (4, 2):
        stop = stop_after(clips)
        with pytest.raises(KeyboardInterrupt):
            extract_corpus(corpus, tmp_path / "rows", progress=stop, **JOB)
        assert not (tmp_path / "rows").exists()
        seen.append(stop.seen)
    last = stop_after(0)
    extract_corpus(corpus, tmp_path / "rows", progress=last, **JOB)
    assert len(seen[0]) == 4 and seen[1][0] == seen[0][2], "one shard of two clips was finished"
    assert last.seen[0] == seen[1][0] and len(last.seen) == CLIPS - 2
    assert files_of(tmp_path / "rows") == files_of(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "rows", "whole"]


def test_a_damaged_shard_is_done_again(corpus, tmp_path):
    extract_corpus(corpus, tmp_path / "whole", shard_clips=2)
    with pytest.raises(KeyboardInterrupt):
        extract_corpus(corpus, tmp_path / "rows", progress=stop_after(8), **JOB)
    work = tmp_path / ".rows.extracting"
    first, second, third = sorted((work / "rows").iterdir())
    first.write_bytes(second.read_bytes())  # whole, but not what its record says
    (work / "records" / f"{second.stem}.json").write_text("{")
    third.write_bytes(third.read_bytes()[:-100])
    (work / "unfinished" / "of a killed worker").mkdir()
    record = extract_corpus(corpus, tmp_path / "rows", **JOB)
    assert files_of(tmp_path / "rows") == files_of(tmp_path / "whole") and record == read_corpus(tmp_path / "whole")


def test_failures_are_listed_and_only_they_are_tried_again(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", damaged=(1, 2, 3, 4))
    with pytest.raises(ExtractionError, match="--retry-failed tries only these again") as caught:
        extract_corpus(corpus, tmp_path / "rows", **JOB)
    listed = (tmp_path / ".rows.extracting" / "failures.jsonl").read_text().splitlines()
    assert [DroppedClip(**json.loads(line)) for line in listed] == caught.value.failures
    assert sorted(failure.id for failure in caught.value.failures) == ["c1", "c2", "c3", "c4"]
    write_wav(corpus / "c2.wav", 0.1 + 2 / 50, loudness=0.2)
    write_wav(corpus / "c4.wav", 0.1 + 4 / 50, loudness=0.4)
    untouched, again = stop_after(0), stop_after(0)
    with pytest.raises(ExtractionError, match="4 clips"):  # nobody asked to try them again
        extract_corpus(corpus, tmp_path / "rows", progress=untouched, **JOB)
    record = extract_corpus(corpus, tmp_path / "rows", progress=again, retry_failed=True, skip_errors=True, **JOB)
    assert untouched.seen == [] and sorted(again.seen) == ["c1", "c2", "c3", "c4"]
    assert sorted(clip.id for clip in record.dropped) == ["c1", "c3"]
    extract_corpus(corpus, tmp_path / "whole", skip_errors=True, shard_clips=2)
    assert files_of(tmp_path / "rows") == files_of(tmp_path / "whole")


def test_a_shard_without_a_readable_clip(tmp_path):
    corpus = make_corpus(tmp_path / "corpus", damaged=(1, 2))  # the first shard of training
    extract_corpus(corpus, tmp_path / "rows", skip_errors=True, shard_clips=2)
    assert pq.read_metadata(tmp_path / "rows" / "train-00000-of-00003.parquet").num_rows == 0
    assert ids_of(tmp_path / "rows") == ["c0", "c3", "c4", "c5", "c6", "c7", "c8"]
    assert [row["id"] for row in load(tmp_path / "rows", streaming=True)["train"]] == ["c3", "c5", "c6", "c7"]


def test_too_many_failures_stop_it_at_once(tmp_path):
    corpus, stop = make_corpus(tmp_path / "corpus", damaged=(1, 2)), stop_after(0)
    with pytest.raises(ExtractionError, match=r"2 clips could not be read, more than the allowed fraction of 0.2"):
        extract_corpus(corpus, tmp_path / "rows", skip_errors=True, most_failures=0.2, progress=stop, **JOB)
    assert stop.seen == ["c1", "c2"], "the other shards were not begun"
    assert (
        len(ids_of_record(extract_corpus(corpus, tmp_path / "rows", skip_errors=True, most_failures=0.3, **JOB))) == 2
    )


def ids_of_record(record):
    return [clip.id for clip in record.dropped]


def test_short_and_silent_clips_are_rows(tmp_path):
    write_wav(tmp_path / "corpus" / "short.wav", 0.001)  # less than one frame
    write_wav(tmp_path / "corpus" / "silent.wav", 0.5, loudness=0.0)
    lines = [
        {"id": n, "split": "train", "audio": f"{n}.wav", "transcript": "", "mood": n} for n in ("short", "silent")
    ]
    extract_corpus(write_corpus(tmp_path / "corpus", lines), tmp_path / "rows", **JOB)
    rows = RowReader(load(tmp_path / "rows")["train"])
    assert len(rows[0]["audio"]) == 0 and len(rows[1]["audio"]) > 0 and np.isfinite(rows[1]["audio"]).all()


def test_rows_that_name_media_are_a_source(corpus, tmp_path):
    raw = {split: list(RowReader(rows)) for split, rows in load(corpus).items()}
    known = read_corpus(corpus)
    write_rows(tmp_path / "raw", raw, {"name": known.name, "label_fields": known.label_fields}, shard_rows=3)
    extract_corpus(tmp_path / "raw", tmp_path / "rows", **JOB)
    extract_corpus(corpus, tmp_path / "whole", shard_clips=2)
    rows, whole = files_of(tmp_path / "rows"), files_of(tmp_path / "whole")
    del rows["corpus.json"], whole["corpus.json"]  # only one of them has the hash of a manifest
    assert rows == whole


def test_work_of_another_plan_is_refused_or_replaced(corpus, tmp_path):
    def begin(**options):
        with pytest.raises(KeyboardInterrupt):
            extract_corpus(corpus, tmp_path / "rows", progress=stop_after(3), **JOB | options)

    begin()
    with pytest.raises(FileExistsError, match="an unfinished extraction with other clips per shard; finish that one"):
        extract_corpus(corpus, tmp_path / "rows", resumable=True, shard_clips=3)
    other = make_corpus(tmp_path / "other", transcript="other words")
    with pytest.raises(FileExistsError, match="an unfinished extraction with other clips;"):
        extract_corpus(other, tmp_path / "rows", **JOB)
    extractors = AffectProcessor({"text": 300}, {"text": default_processor(corpus).extractors["text"]})
    with pytest.raises(FileExistsError, match="with other extractors;"):
        extract_corpus(corpus, tmp_path / "rows", extractors, **JOB)
    (tmp_path / ".rows.extracting" / "plan.json").write_text("{")
    begin(overwrite=True)
    seen = stop_after(0)
    extract_corpus(other, tmp_path / "rows", overwrite=True, progress=seen, **JOB)
    assert len(seen.seen) == CLIPS, "nothing of the first corpus was taken over"
    extract_corpus(other, tmp_path / "whole", shard_clips=2)
    assert files_of(tmp_path / "rows") == files_of(tmp_path / "whole")


def test_one_process_at_a_time_works_on_an_extraction(corpus, tmp_path):
    work = tmp_path / ".rows.extracting"
    work.mkdir()
    with FileLock(work / "lock"):
        with pytest.raises(BlockingIOError, match="Another process is extracting to .*rows.* wait for it to finish"):
            extract_corpus(corpus, tmp_path / "rows", overwrite=True, **JOB)
        assert [path.name for path in work.iterdir()] == ["lock"]
    extract_corpus(corpus, tmp_path / "rows", **JOB)  # a lock whose owner is gone holds nobody up


def test_a_folder_that_is_something_else_is_left_alone(corpus, tmp_path):
    (tmp_path / ".rows.extracting").mkdir()
    (tmp_path / ".rows.extracting" / "me.jpg").write_bytes(b"face")
    with pytest.raises(FileExistsError, match="does not hold an unfinished extraction and is left alone"):
        extract_corpus(corpus, tmp_path / "rows", overwrite=True, **JOB)
    assert files_of(tmp_path / ".rows.extracting") == {"me.jpg": b"face"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"retry_failed": True}, "--retry-failed needs --resume"),
        ({"most_failures": 5.0}, "--most-failures is 5.0; expected a fraction"),
        ({"shard_clips": 0}, "--shard-clips is 0"),
        ({"workers": 0}, "--workers 0; both must be at least 1"),
    ],
)
def test_options_that_make_no_sense(corpus, tmp_path, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        extract_corpus(corpus, tmp_path / "rows", **options)


def test_a_clip_that_ends_its_reader_is_a_failure_by_name(corpus):
    rows = list(RowReader(load(corpus)["test"]))
    rows[1]["transcript"] = KILLER
    found = list(extract_rows(touchy(corpus), rows, processes=1))
    assert [row["id"] for row, _ in found] == ["c0", "c4", "c8"]
    assert [reason for _, reason in found] == [None, WORKER_DIED, None]


def test_workers_that_cannot_start_are_no_failure_of_a_clip(monkeypatch):
    monkeypatch.setattr(extraction_workers, "_start_worker", os._exit)
    with pytest.raises(ChildProcessError, match="could not be started"):
        list(extract_rows(1, [{}], processes=1))  # the worker exits with this code


# a cluster of two workers -------------------------------------------------------------------------------------------


def kill_a_worker(marks, killed):
    """Kills the process that wrote the last of three marks: it is in the middle of its shard."""
    while len(found := sorted(marks.glob("*.*"), key=lambda path: path.stat().st_mtime)) < 3:
        time.sleep(0.05)
    killed.append(int(found[-1].suffix[1:]))
    os.kill(killed[0], signal.SIGKILL)


def test_a_killed_worker_of_a_cluster_loses_nothing_and_duplicates_nothing(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(os.path.abspath(path) for path in sys.path if path))
    corpus = make_corpus(tmp_path / "corpus", transcript=SLOW, damaged=(2,), count=16)
    options = {"skip_errors": True, "shard_clips": 4}
    extract_corpus(corpus, tmp_path / "alone", default_processor(corpus), **options)
    marks, killed = corpus / "pids", []
    marks.mkdir()
    killer = threading.Thread(target=kill_a_worker, args=(marks, killed), daemon=True)
    killer.start()
    extract_corpus(corpus, tmp_path / "rows", touchy(corpus), workers=2, ray="local", resumable=True, **options)
    killer.join()
    tried = [path.stem for path in marks.iterdir()]
    assert len(tried) > len(set(tried)) == 16, "the clips of the dead worker's shard were read again"
    rows, alone = files_of(tmp_path / "rows"), files_of(tmp_path / "alone")
    del rows["processor_config.json"], alone["processor_config.json"]  # they differ in the name of the class
    assert rows == alone
    assert ids_of(tmp_path / "rows") == sorted(f"c{i}" for i in range(16) if i != 2)
