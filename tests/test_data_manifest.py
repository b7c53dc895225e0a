# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Manifests: what they may hold, and one sentence for each thing that is wrong with one."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mm_affect.data import manifest_hash, read_manifest


HEADER = "id,group,split,transcript,sentiment\n"
ROWS = HEADER + "a,s1,train,so it goes,0.5\nb,s2,validation,well,-1.5\nc,s3,test,no,\n"


def write(folder, text=ROWS, name="manifest.csv", corpus=None):
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    if corpus is not None:
        (folder / "corpus.json").write_text(corpus if isinstance(corpus, str) else json.dumps(corpus))
    return folder


def test_csv(tmp_path):
    manifest = read_manifest(write(tmp_path, "\ufeff" + ROWS))  # as Excel saves it
    assert [record["id"] for record in manifest.records] == ["a", "b", "c"]
    assert [record["split"] for record in manifest.records] == ["train", "validation", "test"]
    assert [record["labels"]["sentiment"] for record in manifest.records] == [0.5, -1.5, None]
    assert manifest.label_fields[0].problem_type == "regression"
    assert manifest.records[0]["spans"] is None and manifest.records[0]["features"] == {}


def test_csv_jsonl_and_parquet_say_the_same(tmp_path):
    rows = [
        {"id": "a", "split": "train", "transcript": "so it", "spans": [[0, 0.4], [0.4, 1]], "start": 0.5, "end": 2.5}
        | {"emotion": ["sad", "happy"], "sarcasm": "yes", "level": 0.5},
        {"id": "b", "split": "val", "transcript": "no", "spans": None, "start": None, "end": None}
        | {"emotion": [], "sarcasm": "no", "level": None},
        {"id": "c", "split": "test", "transcript": "no", "spans": None, "start": None, "end": None}
        | {"emotion": None, "sarcasm": None, "level": 1.25},
    ]
    folders = [tmp_path / kind for kind in ("csv", "jsonl", "parquet")]
    for folder in folders:
        folder.mkdir()
    lines = ["id,split,transcript,spans,start,end,emotion,sarcasm,level"]
    lines += ['a,train,so it,"[[0, 0.4], [0.4, 1]]",0.5,2.5,sad|happy,yes,0.5']
    lines += ["b,val,no,,,,none,no,", "c,test,no,,,,,,1.25"]
    write(folders[0], "\n".join(lines))
    write(folders[1], "\n".join(map(json.dumps, rows)), "manifest.jsonl")
    pq.write_table(pa.Table.from_pylist(rows), folders[2] / "manifest.parquet")
    manifests = [read_manifest(folder) for folder in folders]
    assert manifests[0].records == manifests[1].records == manifests[2].records
    assert manifests[0].label_fields == manifests[1].label_fields == manifests[2].label_fields
    first = manifests[0].records[0]
    assert first["labels"] == {"emotion": [1.0, 1.0], "sarcasm": 1, "level": 0.5}
    assert (first["start"], first["end"], first["group"]) == (0.5, 2.5, "a")
    assert manifests[0].records[1]["labels"]["emotion"] == [0.0, 0.0]


def test_intensity_columns_make_one_field(tmp_path):
    text = "id,transcript,emotion.happy,emotion.sad\na,x,0.5,2\nb,x,0,0\nc,x,,\n"
    manifest = read_manifest(write(tmp_path, text))
    assert [field.to_dict() for field in manifest.label_fields] == [
        {"name": "emotion", "problem_type": "multi_label_classification", "labels": ["happy", "sad"], "range": None}
    ]
    assert [record["labels"]["emotion"] for record in manifest.records] == [[0.5, 2.0], [0.0, 0.0], None]


def test_declared_fields_win_and_leave_other_columns_out(tmp_path):
    corpus = {"label_fields": [{"name": "mood", "problem_type": "single_label_classification", "labels": ["z", "a"]}]}
    rows = "id,transcript,mood,note\n" + "".join(f"{i},x,a,remark {i}\n" for i in range(20))
    manifest = read_manifest(write(tmp_path, rows, corpus=corpus))
    assert [field.name for field in manifest.label_fields] == ["mood"]
    assert manifest.records[0]["labels"] == {"mood": 1}


def test_splits_are_made_by_group_when_none_is_given(tmp_path):
    rows = "id,group,transcript\n" + "".join(f"{i},s{i % 7},x\n" for i in range(70))
    manifest = read_manifest(write(tmp_path, rows))
    homes = {(record["group"], record["split"]) for record in manifest.records}
    assert len(homes) == 7 and {split for _, split in homes} == {"train", "validation", "test"}
    assert manifest.corpus["split_protocol"]["seed"] == 0


def test_groups_may_cross_only_where_the_protocol_says_so(tmp_path):
    rows = HEADER + "a,s1,train,x,0.5\nb,s1,test,x,0.1\n"
    with pytest.raises(ValueError, match="line 3: group `s1` is in train and test"):
        read_manifest(write(tmp_path, rows))
    protocol = {"name": "speaker-dependent", "groups_may_cross": True}
    assert (
        read_manifest(write(tmp_path, rows, corpus={"split_protocol": protocol})).corpus["split_protocol"] == protocol
    )


LABELED = {"label_fields": [{"name": "sentiment", "problem_type": "regression", "range": [-3, 3]}]}
SARCASM = {"label_fields": [{"name": "s", "problem_type": "single_label_classification", "labels": ["no", "yes"]}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name,transcript\na,x\n", "no `id` column; its columns are name, transcript"),
        (HEADER, "is empty; expected one row"),
        ("", "is empty"),
        (HEADER + "a,s,train,x,0.5\na,s,train,x,0.5\n", "line 3: id `a` was used in .*line 2; ids must be unique"),
        (HEADER + " ,s,train,x,0.5\n", "line 2 has no id"),
        (HEADER + "../a,s,train,x,0.5\n", "line 2: id '../a' cannot name a file"),
        (HEADER + "a,s,train,x,0.5\nb,t,,x,0.5\n", "line 3 has no split but other rows have"),
        (HEADER + "a,s,practice,x,0.5\n", "line 2: split is 'practice'; expected train"),
        (HEADER + "a,s,train,one, two,0.5\n", "line 2: 6 cells under 5 columns"),
        (HEADER + 'a,s,train,"x,0.5\n', "not valid csv"),
        (HEADER.replace(",", ";"), "separated by ';'"),
        ("id,id\na,b\n", "two columns named `id`"),
        (b"id,transcript\na,\xe9t\xe9\n", "not UTF-8"),
        ("id,text\na,x\n", "column `text`, a name kept for rows"),
        ("id,transcript,start,end\na,x,2,1\n", "line 2: end 1 s is not after start 2 s"),
        ("id,transcript,end\na,x,0\n", "end 0 s is not after start 0 s"),
        ("id,transcript,start\na,x,soon\n", "`start` is 'soon'; expected seconds"),
        ('id,transcript,spans\na,so it goes,"[[0, 1]]"\n', "line 2: 1 spans for 3 words"),
        ('id,transcript,spans\na,so,"[[1, 0]]"\n', "span .1, 0."),
        ("id,transcript,spans\na,so,soon\n", "`spans` must be a list"),
        ("id,audio\na,missing.wav\n", "line 2: `audio` names missing.wav, which is not a file"),
        ("id,video\na,.\n", "`video` names ., which is not a file"),
        ("id,transcript\na,\n", "clip `a` has no transcript, media file or feature file"),
        ("id,transcript\na,x\nb,x\n", "no `split` column: 2 group"),
    ],
)
def test_each_fault_is_one_sentence(tmp_path, text, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        read_manifest(write(tmp_path, text))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "corpus", "words"),
    [
        (HEADER + "a,s,train,x,3.5\n", LABELED, r"line 2: `sentiment` is 3.5, outside its range \[-3, 3\]"),
        (HEADER + "a,s,train,x,inf\n", LABELED, "holds 'inf'; expected a finite number"),
        (HEADER + "a,s,train,x,good\n", LABELED, "holds 'good'; expected a finite number"),
        ("id,transcript,s\na,x,maybe\n", SARCASM, "line 2: `s` is 'maybe'; its classes are no, yes"),
        ("id,transcript\na,x\n", SARCASM, "has no column `s`, which corpus.json declares"),
        (ROWS, "{", "corpus.json is not valid JSON"),
        (ROWS, "[]", "corpus.json is a JSON list"),
        (ROWS, {"label_fields": [{"name": "x"}]}, "corpus.json: Label field `x` has problem_type None"),
        (ROWS, {"label_fields": "x"}, "corpus.json: `label_fields` must be a list"),
        (ROWS, {"split_protocol": 5}, "corpus.json: `split_protocol` must be"),
    ],
)
def test_faults_against_the_declaration(tmp_path, text, corpus, words):
    with pytest.raises(ValueError, match=words):
        read_manifest(write(tmp_path, text, corpus=corpus))


def test_faults_of_jsonl_parquet_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no manifest"):
        read_manifest(tmp_path)
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        read_manifest(tmp_path / "absent")
    write(tmp_path, '{"id": "a"\n', "manifest.jsonl")
    with pytest.raises(ValueError, match="manifest.jsonl line 1 is not valid JSON"):
        read_manifest(tmp_path)
    write(tmp_path, "[1]\n", "manifest.jsonl")
    with pytest.raises(ValueError, match="line 1 is a JSON list"):
        read_manifest(tmp_path)
    write(tmp_path)
    with pytest.raises(ValueError, match="manifest.csv and manifest.jsonl; keep one"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.csv").unlink()
    (tmp_path / "manifest.jsonl").unlink()
    write(tmp_path, "PAR1 torn", "manifest.parquet")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        read_manifest(tmp_path)


def test_feature_files_are_found_and_wrong_names_noticed(tmp_path):
    write(tmp_path, "id,split\na/1,train\nb,train\n")
    (tmp_path / "audio" / "a").mkdir(parents=True)
    np.save(tmp_path / "audio" / "a" / "1.npy", np.ones((2, 3)))
    np.save(tmp_path / "audio" / "b.npy", np.ones((2, 3)))
    records = read_manifest(tmp_path).records
    assert [record["features"]["audio"].name for record in records] == ["1.npy", "b.npy"]
    np.savez(tmp_path / "audio" / "b.npz", np.ones((2, 3)))
    with pytest.raises(ValueError, match="both features of clip `b`"):
        read_manifest(tmp_path)
    (tmp_path / "audio" / "b.npz").unlink()
    (tmp_path / "visual").mkdir()
    np.save(tmp_path / "visual" / "clip_b.npy", np.ones((2, 3)))
    with pytest.raises(ValueError, match="clip_b.npy, but no id of manifest.csv has one"):
        read_manifest(tmp_path)


def test_empty_media_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    with pytest.raises(ValueError, match="line 2: `audio` names a.wav, which is an empty file"):
        read_manifest(write(tmp_path, "id,split,audio\na,train,a.wav\n"))


def test_the_hash_follows_every_file_and_nothing_else(tmp_path):
    (tmp_path / "audio").mkdir()
    np.save(tmp_path / "audio" / "a.npy", np.zeros((2, 3)))
    (tmp_path / "a.wav").write_bytes(b"sound")
    write(tmp_path, "id,split,audio,x\na,train,a.wav,no\nb,train,a.wav,yes\n")
    seen = [manifest_hash(tmp_path)]
    assert manifest_hash(tmp_path) == seen[0]
    (tmp_path / "notes.txt").write_text("unrelated")
    assert manifest_hash(tmp_path) == seen[0]
    np.save(tmp_path / "audio" / "a.npy", np.ones((2, 3)))  # repaired: the same size
    seen.append(manifest_hash(tmp_path))
    (tmp_path / "a.wav").write_bytes(b"SOUND")
    seen.append(manifest_hash(tmp_path))
    write(tmp_path, "id,split,audio,x\na,train,a.wav,yes\nb,train,a.wav,no\n")
    seen.append(manifest_hash(tmp_path))
    (tmp_path / "corpus.json").write_text('{"name": "mine"}')
    seen.append(manifest_hash(tmp_path))
    assert len(set(seen)) == 5
