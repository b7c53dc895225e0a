# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Clips to rows: the same by any number of workers, every failure named, all or nothing."""

import numpy as np
import pytest
from corpora import sample_corpus, sample_rows, write_corpus, write_video, write_wav
from transformers import AutoProcessor

from mm_affect.data import RowReader, load, read_corpus
from mm_affect.data import rows as rows_module
from mm_affect.features.processor import AffectProcessor
from mm_affect.preparation.extraction.corpus import ExtractionError, default_processor, extract_corpus


def lines(count=8, **extra):
    splits = ("train", "train", "validation", "test")
    return [
        {
            "id": f"c{i}",
            "split": splits[i % 4],
            "transcript": f"word {i}",
            "audio": f"c{i}.wav",
            "mood": "ab"[i // 4 % 2],
        }
        | extra
        for i in range(count)
    ]


@pytest.fixture
def corpus(tmp_path):
    for i in range(8):
        write_wav(tmp_path / "corpus" / f"c{i}.wav", 0.3 + i / 20)
    return write_corpus(tmp_path / "corpus", lines())


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_are_those_of_the_manifest_with_features():
    splits, record = load(sample_rows()), read_corpus(sample_rows())
    raw = {row["id"]: row for split in load(sample_corpus()).values() for row in RowReader(split)}
    assert record.synthetic is True and record.dropped == [] and record.manifest_hash
    assert record.sizes == {m: d["size"] for m, d in record.extractors.items()}
    rows = [row for split in splits.values() for row in RowReader(split)]
    assert len(rows) == len(raw) == 12
    for row in rows:
        source = raw[row["id"]]
        assert row["labels"] == source["labels"] and row["transcript"] == source["transcript"]
        assert len(row["text"]) == len((source["transcript"] or "").split())
        assert bool(len(row["visual"])) == bool(source["video_file"])
        assert row["audio_file"] is None and row["video_file"] is None
    faces = np.concatenate([row["visual"] for row in rows])
    assert np.isfinite(faces).all(1).mean() > 0.8
    processor = AutoProcessor.from_pretrained(sample_rows())
    processor.check_extractors(record.extractors)


def test_files_do_not_depend_on_the_number_of_workers(corpus, tmp_path):
    calls = []
    one = extract_corpus(corpus, tmp_path / "one", progress=lambda clip, total: calls.append((clip, total)))
    two = extract_corpus(corpus, tmp_path / "two", workers=2)
    assert one == two and files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert len(calls) == 8 and calls[0] == ("c0", 8) and {clip for clip, _ in calls} == {f"c{i}" for i in range(8)}


def test_failures_are_counted_and_named_and_nothing_is_written(corpus, tmp_path):
    (corpus / "c1.wav").write_bytes(b"no sound at all")
    (corpus / "c6.wav").write_bytes((corpus / "c6.wav").read_bytes()[:100])
    with pytest.raises(ExtractionError) as caught:
        extract_corpus(corpus, tmp_path / "rows")
    assert [failure.id for failure in caught.value.failures] == ["c1", "c6"]
    assert str(caught.value).startswith("2 clips could not be read, so nothing was written: c1: ")
    assert "c6: " in str(caught.value) and "--skip-errors" in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def test_unreadable_clips_may_be_left_out_and_are_recorded(corpus, tmp_path):
    (corpus / "c1.wav").write_bytes(b"no sound at all")
    record = extract_corpus(corpus, tmp_path / "rows", skip_errors=True)
    assert [clip.id for clip in record.dropped] == ["c1"] and "c1.wav" in record.dropped[0].reason
    assert record.counts == {"train": 3, "validation": 2, "test": 2}
    assert read_corpus(tmp_path / "rows").dropped == record.dropped
    ids = [row["id"] for split in load(tmp_path / "rows").values() for row in RowReader(split)]
    assert sorted(ids) == ["c0", "c2", "c3", "c4", "c5", "c6", "c7"]


@pytest.mark.parametrize("at", ["a clip", "the processor", "the rows"])
@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_rows_and_processor_appear_together_or_not_at_all(corpus, tmp_path, monkeypatch, at, trouble):
    extract_corpus(corpus, tmp_path / "rows")
    before = files_of(tmp_path / "rows")

    def fail(*args, **kwargs):
        raise trouble

    def interrupt(clip, total):
        if at == "a clip":
            raise trouble

    if at == "the processor":
        monkeypatch.setattr(AffectProcessor, "save_pretrained", fail)
    elif at == "the rows":
        monkeypatch.setattr(rows_module.pq.ParquetWriter, "write_table", fail)
    for output in ("rows", "new"):
        with pytest.raises(type(trouble)):
            extract_corpus(corpus, tmp_path / output, overwrite=True, progress=interrupt)
    assert files_of(tmp_path / "rows") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "rows"]


def test_a_folder_that_is_not_ours_is_left_alone(corpus, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").write_bytes(b"face")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="exists and holds no mm_affect rows; it is left alone"):
            extract_corpus(corpus, tmp_path / "photos", overwrite=overwrite)
    assert files_of(tmp_path / "photos") == {"me.jpg": b"face"}


def test_word_vectors_of_a_file_are_kept_beside_the_rows(corpus, tmp_path):
    (tmp_path / "glove.txt").write_text("word 1 2\nother 3 4\n")
    extract_corpus(corpus, tmp_path / "rows", default_processor(corpus, tmp_path / "glove.txt"))
    rows = RowReader(load(tmp_path / "rows")["train"])
    assert rows[0]["text"].tolist() == [[1, 2], [0, 0]]
    assert AutoProcessor.from_pretrained(tmp_path / "rows").extract({"transcript": "Word"})["text"].tolist() == [
        [1, 2]
    ]


def test_a_part_of_a_file_is_extracted_alone(tmp_path):
    write_wav(tmp_path / "corpus" / "long.wav", 4.0)
    parts = [line | {"audio": "long.wav", "start": i / 2, "end": i / 2 + 0.5} for i, line in enumerate(lines())]
    extract_corpus(write_corpus(tmp_path / "corpus", parts), tmp_path / "rows")
    lengths = {len(row["audio"]) for split in load(tmp_path / "rows").values() for row in RowReader(split)}
    assert max(lengths) <= 10 and min(lengths) >= 9  # 20 steps a second


def test_clips_may_lack_tracks_and_faces(tmp_path):
    write_video(tmp_path / "corpus" / "mute.mp4")
    write_video(tmp_path / "corpus" / "quiet.mp4", sound=True)
    write_wav(tmp_path / "corpus" / "dark.wav", loudness=0.0)
    media = ["mute.mp4", "quiet.mp4", "dark.wav", "mute.mp4"]
    manifest = [{"id": f"c{i}", "transcript": "", "video": name, "split": split, "mood": "ab"[i % 2]}
                for i, (name, split) in enumerate(zip(media, ("train", "train", "validation", "test")))]  # fmt: skip
    extract_corpus(write_corpus(tmp_path / "corpus", manifest), tmp_path / "rows")
    rows = {row["id"]: row for split in load(tmp_path / "rows").values() for row in RowReader(split)}
    steps = [[len(rows[f"c{i}"][m]) > 0 for m in ("text", "audio", "visual")] for i in range(3)]
    assert steps == [[False, False, True], [False, True, True], [False, True, False]]
    assert np.isnan(rows["c0"]["visual"]).all(), "gray frames have no face"
    assert np.isfinite(rows["c2"]["audio"]).all(), "silence has a finite level"


def test_features_that_the_corpus_brings_are_kept(tmp_path):
    manifest = [line | {"audio": ""} for line in lines()]
    (tmp_path / "corpus" / "audio").mkdir(parents=True)
    for i in range(7):
        np.save(tmp_path / "corpus" / "audio" / f"c{i}.npy", np.full((3, 2), i, np.float32))
    record = extract_corpus(write_corpus(tmp_path / "corpus", manifest), tmp_path / "rows")
    assert record.sizes["audio"] == 2 and "audio" not in record.extractors
    rows = {row["id"]: row for split in load(tmp_path / "rows").values() for row in RowReader(split)}
    assert (rows["c5"]["audio"] == 5).all() and rows["c5"]["audio"].shape == (3, 2) and len(rows["c7"]["audio"]) == 0
    assert len(rows["c5"]["text"]) == 2
