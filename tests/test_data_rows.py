# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows: written and read back unchanged, never stale, never half written, and read without a copy."""

import errno
import json
import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest

from mm_affect.data import (
    AffectBuilder,
    CorpusRecord,
    DroppedClip,
    RaggedColumn,
    RowReader,
    load,
    manifest_hash,
    read_corpus,
    write_rows,
)
from mm_affect.data import builder as builder_module
from mm_affect.data import rows as rows_module


FIELDS = [
    {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3.0, 3.0]},
    {"name": "sarcasm", "problem_type": "single_label_classification", "labels": ["no", "yes"], "range": None},
    {"name": "emotion", "problem_type": "multi_label_classification", "labels": ["happy", "sad"], "range": None},
]
SIZES = {"text": 4, "audio": 3}
CORPUS = {"name": "tiny", "synthetic": True, "label_fields": FIELDS, "sizes": SIZES, "manifest_hash": "abc"}


def make_rows(count, seed=0, prefix="c"):
    rng = np.random.default_rng(seed)
    for i in range(count):
        steps = rng.integers(0, 6, 2)  # zero steps included
        words = int(rng.integers(1, 4))
        yield {
            "id": f"{prefix}{i}",
            "group": f"g{i % 5}",
            "transcript": " ".join(["word"] * words) if i % 3 else None,
            "spans": rng.random((words, 2)).astype(np.float32) if i % 3 else None,
            "text": rng.normal(size=(steps[0], 4)).astype(np.float32),
            "audio": rng.normal(size=(steps[1], 3)).astype(np.float32),
            "labels": {
                "sentiment": float(np.float32(rng.uniform(-3, 3))) if i % 4 else None,
                "sarcasm": int(rng.integers(2)) if i % 5 else None,
                "emotion": [0.0, 1.5] if i % 2 else None,
            },
        }


def assert_same(got, expected):
    assert (got["id"], got["group"], got["transcript"]) == (expected["id"], expected["group"], expected["transcript"])
    assert got["labels"] == expected["labels"]
    for name in ("text", "audio", "visual", "spans"):
        wanted = expected.get(name)
        if wanted is None and name == "spans":
            assert got["spans"] is None
        else:
            wanted = np.zeros((0, 1), np.float32) if wanted is None else wanted
            np.testing.assert_array_equal(got[name], wanted, strict=True)


def cell(value):
    return None if value is None else [list(map(float, step)) for step in value]


@pytest.fixture
def folder(tmp_path):
    splits = {"train": make_rows(23), "validation": make_rows(4, 1, "v"), "test": make_rows(3, 2, "t")}
    write_rows(tmp_path / "rows", splits, CORPUS, shard_rows=10)
    return tmp_path / "rows"


def test_round_trip_in_shards(folder, tmp_path):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["corpus.json", "test-00000-of-00001.parquet"] + [
        f"train-0000{i}-of-00003.parquet" for i in range(3)
    ] + ["validation-00000-of-00001.parquet"]
    record, written = read_corpus(folder), json.loads((folder / "corpus.json").read_text())
    assert written["format"] == "mm_affect rows" and written["version"] == 2 and record.synthetic is True
    assert record.counts == {"train": 23, "validation": 4, "test": 3}
    assert (written["label_fields"], record.sizes, record.manifest_hash) == (FIELDS, SIZES, "abc")
    splits = load(folder, cache_dir=tmp_path / "cache")
    reader = RowReader(splits["train"])
    assert len(reader) == 23
    for got, expected in zip(reader, make_rows(23), strict=True):
        assert_same(got, expected)
    assert splits["train"].features["labels"]["sarcasm"].names == ["no", "yes"]


def test_rows_written_from_a_reader_are_the_same_rows(folder, tmp_path):
    splits = load(folder, cache_dir=tmp_path / "cache")
    write_rows(tmp_path / "again", {name: RowReader(split) for name, split in splits.items()}, CORPUS, shard_rows=10)
    for name in ("train-00001-of-00003.parquet", "test-00000-of-00001.parquet"):
        assert pq.read_table(folder / name).equals(pq.read_table(tmp_path / "again" / name))


def test_streaming_gives_the_same_rows(folder, tmp_path):
    streamed = list(load(folder, cache_dir=tmp_path / "cache", streaming=True)["train"])
    assert streamed == load(folder, cache_dir=tmp_path / "cache")["train"].to_list()


@pytest.mark.parametrize("order", ["plain", "select", "shuffle", "filter", "slice", "concatenated"])
def test_views_equal_what_datasets_reads(folder, tmp_path, order):
    import datasets

    splits = load(folder, cache_dir=tmp_path / "cache")
    dataset = {
        "plain": lambda d: d,
        "select": lambda d: d.select([5, 0, 22, 5]),
        "shuffle": lambda d: d.shuffle(seed=1),
        "filter": lambda d: d.filter(lambda row: row["spans"] is None, keep_in_memory=True),
        "slice": lambda d: d.select(range(3, 9)).shuffle(seed=0).select(range(1, 4)),
        "concatenated": lambda d: datasets.concatenate_datasets([d.select(range(7, 15)), splits["test"]]),
    }[order](splits["train"])
    listed = dataset.to_list()
    for name in ("text", "audio", "visual", "spans"):
        column = RaggedColumn(dataset, name)
        assert len(column) == len(listed)
        assert [cell(column[i]) for i in range(len(listed))] == [row[name] for row in listed]
    reader = RowReader(dataset)
    for i, row in enumerate(listed):
        assert {name: reader[i][name] for name in ("id", "labels", "start")} == {
            n: row[n] for n in ("id", "labels", "start")
        }
    assert reader[-1]["id"] == listed[-1]["id"]
    with pytest.raises(IndexError):
        reader[len(listed)]


def test_views_are_not_copies_and_cannot_be_written(folder, tmp_path):
    column = RaggedColumn(load(folder, cache_dir=tmp_path / "cache")["train"], "text")
    index = next(i for i in range(len(column)) if len(column[i]))
    assert np.shares_memory(column[index], column[index])
    with pytest.raises(ValueError, match="read-only"):
        column[index][:] = 0


def test_a_reader_travels_to_a_worker_as_a_file_name(folder, tmp_path):
    reader = RowReader(load(folder, cache_dir=tmp_path / "cache")["train"])
    assert_same(pickle.loads(pickle.dumps(reader))[3], reader[3] | {"visual": None})


def test_a_column_of_another_type_is_refused():
    import datasets

    with pytest.raises(TypeError, match="expected list<fixed_size_list<float>>"):
        RaggedColumn(datasets.Dataset.from_dict({"text": [[[1.0]]]}), "text")


def test_non_finite_values_are_replaced_and_counted_but_unmeasured_steps_stay(tmp_path):
    nan, inf = np.nan, np.inf
    audio = np.array([[1, nan, 2], [nan, nan, nan], [-inf, 1, inf]])
    row = next(make_rows(1)) | {"audio": audio, "text": np.full((1, 4), 1e300)}
    record = write_rows(tmp_path / "rows", {"test": [row]}, CORPUS)
    assert record.non_finite == {"audio": 3, "text": 4}
    got = RowReader(load(tmp_path / "rows", cache_dir=tmp_path / "cache")["test"])[0]
    np.testing.assert_array_equal(got["audio"], [[1, 0, 2], [nan, nan, nan], [0, 1, 0]])
    np.testing.assert_array_equal(got["text"], np.zeros((1, 4)))


def test_a_corpus_without_labels(tmp_path):
    rows = [{"id": "a", "group": "a", "text": np.ones((2, 4))}]
    write_rows(tmp_path / "rows", {"test": rows}, {"name": "bare", "sizes": {"text": 4}})
    assert RowReader(load(tmp_path / "rows", cache_dir=tmp_path / "cache")["test"])[0]["labels"] == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text": np.ones((2, 5))}, r"Row `c0`: `text` has shape \(2, 5\); expected \(steps, 4\)"),
        ({"text": np.ones(4)}, r"`text` has shape \(4,\)"),
        ({"labels": {"sentiment": 4.0}}, "Row `c0`: `sentiment` is 4, outside its range"),
        ({"labels": {"sarcasm": 2}}, "expected a class index from 0 to 1"),
        ({"labels": {"mood": 2}}, "unknown label `mood`"),
        ({"spans": np.ones((9, 2))}, "9 spans for 0 words"),
        ({"group": None}, "lack an `id` or a `group`"),
    ],
)
def test_a_wrong_row_is_named_and_nothing_is_left(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        write_rows(tmp_path / "rows", {"train": [next(make_rows(1)) | change]}, CORPUS)
    assert list(tmp_path.iterdir()) == []


def test_faults_of_the_call(tmp_path):
    for corpus, splits, words in [
        ({"label_fields": []}, {"train": []}, "has no `name`"),
        (CORPUS | {"licence": "MIT"}, {"train": []}, "unknown key `licence`"),
        (CORPUS, {"val": []}, "expected some of train, validation, test"),
    ]:
        with pytest.raises(ValueError, match=words):
            write_rows(tmp_path / "rows", splits, corpus)
    assert list(tmp_path.iterdir()) == []


def failing(error):
    yield from make_rows(12)
    raise error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), ValueError("x")]
)
def test_an_interruption_leaves_the_old_rows_and_nothing_else(folder, tmp_path, error):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(type(error)):
        write_rows(folder, {"train": failing(error)}, CORPUS, shard_rows=5, overwrite=True)
    with pytest.raises(type(error)):
        write_rows(tmp_path / "new", {"train": failing(error)}, CORPUS, shard_rows=5)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_a_full_disk_while_writing_a_shard(folder, tmp_path, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    class FullDisk(pq.ParquetWriter):
        def write_table(self, table, *arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rows_module.pq, "ParquetWriter", FullDisk)
    with pytest.raises(OSError, match="No space left"):
        write_rows(folder, {"train": make_rows(12)}, CORPUS, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_a_failed_rename_brings_the_old_folder_back(folder, tmp_path, monkeypatch):
    before = sorted(path.name for path in folder.iterdir())
    original = rows_module.Path.rename

    def rename(path, target):
        if path.suffix == ".tmp":
            raise OSError("rename failed")
        return original(path, target)

    monkeypatch.setattr(rows_module.Path, "rename", rename)
    with pytest.raises(OSError, match="rename failed"):
        write_rows(folder, {"train": make_rows(12)}, CORPUS, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_rows_are_written_while_they_are_made(tmp_path, monkeypatch):
    monkeypatch.setattr(builder_module, "TABLE_BYTES", 10_000)
    held = {"now": 0, "most": 0}

    class Counted(np.ndarray):
        def __del__(self):
            held["now"] -= 1

    def rows():
        for i in range(60):
            held["now"] += 1
            held["most"] = max(held["most"], held["now"])
            yield {"id": f"c{i}", "group": "g", "audio": np.ones((250, 3), np.float32).view(Counted)}  # 3 kB

    write_rows(tmp_path / "rows", {"train": rows()}, CORPUS, shard_rows=7)
    assert held["most"] <= 10
    sizes = [pq.read_metadata(path).num_rows for path in sorted((tmp_path / "rows").glob("*.parquet"))]
    assert sizes == [7] * 8 + [4]


def test_folders_are_replaced_only_on_request_and_foreign_ones_never(folder, tmp_path):
    with pytest.raises(FileExistsError, match="replace them .`--overwrite`"):
        write_rows(folder, {"train": make_rows(2)}, CORPUS)
    write_rows(folder, {"train": make_rows(2)}, CORPUS, overwrite=True)
    assert read_corpus(folder).counts == {"train": 2}
    foreign = tmp_path / "photos"
    foreign.mkdir()
    write_rows(foreign, {"train": make_rows(2)}, CORPUS)  # empty: nothing to lose
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds no mm_affect rows; it is left alone"):
        write_rows(mine, {"train": make_rows(2)}, CORPUS, overwrite=True)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_damaged_folders_of_rows(folder, tmp_path):
    whole = (folder / "train-00001-of-00003.parquet").read_bytes()
    (folder / "train-00001-of-00003.parquet").write_bytes(whole[:100])
    with pytest.raises(ValueError, match="train-00001-of-00003.parquet is damaged"):
        load(folder)
    (folder / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(ValueError, match=r"2 of 3 file\(s\) of train"):
        load(folder)
    (folder / "train-00001-of-00003.parquet").write_bytes((folder / "test-00000-of-00001.parquet").read_bytes())
    with pytest.raises(ValueError, match="16 rows in train, but corpus.json says 23"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="neither a corpus"):
        load(tmp_path)


@pytest.fixture
def own(tmp_path):
    folder = tmp_path / "own"
    for modality, size in (("audio", 3), ("visual", 2)):
        (folder / modality).mkdir(parents=True)
        for i in range(9):
            if modality == "audio" or i % 2:
                np.save(folder / modality / f"c{i}.npy", np.full((i + 1, size), float(i)))
    (folder / "clip.wav").write_bytes(b"sound")
    lines = [f"c{i},s{i % 4},so {i},clip.wav,{i / 2},{i % 2}" for i in range(9)]
    (folder / "manifest.csv").write_text("id,group,transcript,audio,sentiment,sarcasm\n" + "\n".join(lines))
    (folder / "corpus.json").write_text(json.dumps({"name": "My corpus!", "license": "CC0", "synthetic": True}))
    return folder


def rows_of(folder, tmp_path):
    splits = load(folder, cache_dir=tmp_path / "cache")
    return {row["id"]: row for split in splits.values() for row in RowReader(split)}


def test_own_corpus(own, tmp_path):
    rows = rows_of(own, tmp_path)
    assert sorted(rows) == [f"c{i}" for i in range(9)]
    np.testing.assert_array_equal(rows["c4"]["audio"], np.full((5, 3), 4.0))
    assert [rows["c4"][name].shape for name in ("text", "audio", "visual")] == [(0, 1), (5, 3), (0, 2)]
    assert rows["c3"]["labels"] == {"sentiment": 1.5, "sarcasm": 1}
    assert rows["c3"]["audio_file"] == str(own / "clip.wav") and rows["c3"]["video_file"] is None
    record = read_corpus(own, cache_dir=tmp_path / "cache")
    assert (record.name, record.license, record.synthetic) == ("My corpus!", "CC0", True)
    assert record.sizes == {"audio": 3, "visual": 2} and sum(record.counts.values()) == 9
    assert record.manifest_hash == manifest_hash(own) and record.non_finite == {}


def test_own_corpus_streams_and_becomes_rows(own, tmp_path):
    cached = load(own, cache_dir=tmp_path / "cache")
    streamed = load(own, cache_dir=tmp_path / "cache", streaming=True)
    assert {name: list(split) for name, split in streamed.items()} == {n: s.to_list() for n, s in cached.items()}
    write_rows(tmp_path / "rows", {n: RowReader(s) for n, s in cached.items()}, read_corpus(own, tmp_path / "cache"))
    again = load(tmp_path / "rows", cache_dir=tmp_path / "cache")
    assert {name: split.to_list() for name, split in again.items()} == {n: s.to_list() for n, s in cached.items()}


def test_a_repaired_file_is_never_stale(own, tmp_path):
    assert rows_of(own, tmp_path)["c4"]["audio"][0, 0] == 4.0
    np.save(own / "audio" / "c4.npy", np.full((5, 3), 40.0))  # the same size in bytes
    assert rows_of(own, tmp_path)["c4"]["audio"][0, 0] == 40.0
    text = (own / "manifest.csv").read_text()
    (own / "manifest.csv").write_text(text.replace("so 4", "so four"))
    assert rows_of(own, tmp_path)["c4"]["transcript"] == "so four"


def test_rewritten_rows_are_never_stale(folder, tmp_path):
    assert len(load(folder, cache_dir=tmp_path / "cache")["test"]) == 3
    for seed in (7, 8):
        write_rows(folder, {"test": make_rows(3, seed)}, CORPUS, overwrite=True)
        first = RowReader(load(folder, cache_dir=tmp_path / "cache")["test"])[0]
        assert_same(first, next(make_rows(1, seed)))


def test_faults_in_feature_files_surface_as_themselves(own, tmp_path):
    np.save(own / "audio" / "c4.npy", np.ones((5, 7)))
    with pytest.raises(ValueError, match="c4.npy has 7 features per step; the other files of this modality have 3"):
        load(own, cache_dir=tmp_path / "cache")
    np.save(own / "audio" / "c4.npy", np.array([[1.0, np.inf, 2.0]]))
    assert rows_of(own, tmp_path)["c4"]["audio"].tolist() == [[1.0, 0.0, 2.0]]
    assert read_corpus(own, tmp_path / "cache").non_finite == {"audio": 1}


class Counted(AffectBuilder):
    """A corpus that should have 5 rows and has 4."""

    def describe(self):
        return CorpusRecord("counted", label_fields=FIELDS, sizes=SIZES, counts={"train": 5})

    def read_rows(self, split):
        yield from make_rows(4)
        self.dropped.append(DroppedClip("c4", "no sound"))


def test_a_builder_refuses_other_counts_than_documented(tmp_path):
    with pytest.raises(ValueError, match="counted: found 4 rows in train, expected 5"):
        Counted(cache_dir=str(tmp_path)).download_and_prepare()
    builder = Counted(cache_dir=str(tmp_path), allow_partial=True)
    builder.download_and_prepare()
    assert builder.record.counts == {"train": 4}
    assert builder.record.dropped == [DroppedClip("c4", "no sound")]
    for got, expected in zip(RowReader(builder.as_dataset(split="train")), make_rows(4), strict=True):
        assert_same(got, expected)
