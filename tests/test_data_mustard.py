# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MUStARD: the real annotations and folds where they are at hand, and features in the authors' formats in small."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixture_layouts.mustard import write_features, write_folds, write_json

from mm_affect.data import load, read_pickle
from mm_affect.data.corpora.official_folds import load_folds
from mm_affect.data.corpora.registry import find_layout


REALDATA = Path(os.environ.get("MM_AFFECT_REALDATA", Path(__file__).parents[2] / "shared" / "realdata")) / "mustard"
needs_realdata = pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the real annotations (MM_AFFECT_REALDATA)")
IDS = [clip for fold in (1, 2, 3) for clip in load_folds("mustard")[f"fold_{fold}"][:8]]


@pytest.fixture
def folder(tmp_path):
    """24 utterances, of which the first 8 are tested in fold 1."""
    write_json(tmp_path / "corpus", IDS)
    return tmp_path / "corpus"


def rows_of(folder, split="train", **options):
    layout = find_layout("mustard", folder, **options)
    return list(layout.rows(split)), layout


@needs_realdata
@pytest.mark.parametrize("fold", [1, 2, 3, 4, 5])
def test_the_real_folds(fold):
    """552/138 by the authors' positions in the authors' file."""
    ids = list(json.loads((REALDATA / "sarcasm_data.json").read_text()))
    train, test = read_pickle(REALDATA / "split_indices.p")[fold - 1]
    layout = find_layout("mustard", REALDATA, fold=fold)
    rows = {split: list(layout.rows(split)) for split in ("train", "validation", "test")}
    assert {split: len(found) for split, found in rows.items()} == layout.describe().counts
    assert {row["id"] for row in rows["test"]} == {ids[i] for i in test} and len(test) == 138
    assert {row["id"] for split in ("train", "validation") for row in rows[split]} == {ids[i] for i in train}
    assert not {row["group"] for row in rows["train"]} & {row["group"] for row in rows["validation"]}
    assert not layout.dropped and not layout.reported


@needs_realdata
def test_the_real_labels_and_the_speaker_independent_split(tmp_path):
    splits = load("mustard", REALDATA, config="speaker_independent", cache_dir=tmp_path)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 301, "validation": 33, "test": 356}
    assert sum(labels["sarcasm"] for rows in splits.values() for labels in rows["labels"]) == 345
    assert all(group.startswith("FRIENDS/") for group in splits["test"]["group"])
    groups = [set(rows["group"]) for rows in splits.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


@needs_realdata
def test_context_and_speakers_of_a_real_utterance():
    said = {way: {r["id"]: r for r in rows_of(REALDATA, "test", transcript=way)[0]}["1_60"]["transcript"]
            for way in ("utterance", "context", "dialogue")}  # fmt: skip
    assert said["utterance"] == "It's just a privilege to watch your mind at work."
    assert said["context"].endswith(f"My apologies. What's your plan? {said['utterance']}")
    assert said["dialogue"].startswith("LEONARD: I never") and "SHELDON: It's just" in said["dialogue"]


@needs_realdata
def test_changed_folds_are_refused(tmp_path):
    shutil.copy(REALDATA / "sarcasm_data.json", tmp_path)
    folds = read_pickle(REALDATA / "split_indices.p")
    write_folds(tmp_path / "split_indices.p", [(test, train) for train, test in folds])
    with pytest.raises(ValueError, match="does not hold the five official folds"):
        rows_of(tmp_path)


def test_the_shipped_folds_are_five_that_share_nothing():
    folds = [set(ids) for ids in load_folds("mustard").values()]
    assert [len(fold) for fold in folds] == [138] * 5 and len(set().union(*folds)) == 690


def test_without_validation_all_other_rows_train(folder):
    layout = find_layout("mustard", folder, validation=0)
    assert layout.describe().counts == {"train": 552, "test": 138}
    assert [len(list(layout.rows(split))) for split in ("train", "test")] == [16, 8]


def test_features_are_joined_by_id(folder):
    write_features(folder, IDS)
    audio = folder / "data" / "audio_features.p"
    assert audio.is_file()
    for split in ("train", "validation", "test"):
        rows, layout = rows_of(folder, split)
        assert rows and layout.describe().sizes == {"text": 768, "audio": 283, "visual": 2048}
        for row in rows:
            i = IDS.index(row["id"])
            assert [row[m].shape for m in ("text", "audio", "visual")] == [
                (i % 3 + 2, 768),
                (12, 283),
                (i % 4 + 1, 2048),
            ]
            for modality in ("text", "audio", "visual"):  # the mean of four layers i - 1.5, ... i + 1.5 is i
                assert row[modality].dtype == np.float32 and (row[modality] == i).all()
            assert row["labels"] == {"sarcasm": i % 2}


def test_features_without_an_extractor_promise_no_raw_clips(folder):
    write_features(folder, IDS)
    described = find_layout("mustard", folder).describe()
    assert described.extractors == {} and "ResNet-152" in described.provenance["visual"]


def test_only_the_wanted_modalities_are_read(folder):
    write_features(folder, IDS)
    (folder / "data" / "audio_features.p").write_bytes(b"broken")
    rows, layout = rows_of(folder, modalities=["visual"])
    assert layout.describe().sizes == {"visual": 2048} and "transcript" not in rows[0] and "audio" not in rows[0]


def test_transcripts_with_context_leave_the_features_of_the_utterance_aside(folder):
    write_features(folder, IDS)
    assert set(rows_of(folder, transcript="context")[1].describe().sizes) == {"audio", "visual"}


def test_videos_and_laughter(folder, tmp_path):
    videos = folder / "data" / "videos" / "utterances_final"
    videos.mkdir(parents=True)
    for clip in [*IDS[:-1], "9_9999"]:
        (videos / f"{clip}.mp4").touch()
    table = tmp_path / "laughter.csv"
    table.write_text(f"id,start\n{IDS[0]},3.25\n", encoding="utf-8")
    rows, layout = rows_of(folder, "test", laughter=str(table))
    cut = {row["id"]: (row.get("start"), row.get("end")) for row in rows}
    assert cut.pop(IDS[0]) == (0.0, 3.25) and set(cut.values()) == {(None, None)}
    assert layout.reported == {"laughter_cut": 1, "video_without_utterance": 1}
    found = [row for split in ("train", "validation") for row in rows_of(folder, split)[0]]
    assert sum(row["video_file"] is None for row in found) == 1
    write_features(folder, IDS)
    assert set(rows_of(folder, laughter=str(table))[1].describe().sizes) == {"text"}  # the others cannot be cut


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,when\na,1\n", "needs the columns `id` and `start`"),
        ("id,start\nnobody,1\n", "`nobody` is not an id"),
        (f"id,start\n{IDS[0]},-1\n", "its start is not above 0"),
        (f"id,start\n{IDS[0]},soon\n", "needs the columns"),
    ],
)
def test_bad_laughter_tables(folder, tmp_path, text, message):
    (folder / "utterances_final").mkdir()
    (folder / "utterances_final" / f"{IDS[0]}.mp4").touch()
    table = tmp_path / "laughter.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        rows_of(folder, "test", laughter=str(table))


def test_laughter_needs_videos(folder, tmp_path):
    (tmp_path / "laughter.csv").write_text("id,start\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no `utterances_final`"):
        rows_of(folder, laughter=str(tmp_path / "laughter.csv"))


def test_broken_annotations_are_named(folder):
    path = folder / "data" / "sarcasm_data.json"
    whole = json.loads(path.read_text())
    lacking = {clip: {k: v for k, v in told.items() if k != "show"} for clip, told in whole.items()}
    uneven = {clip: told | {"context": ["one"]} for clip, told in whole.items()}
    for broken, message in (
        (path.read_bytes()[:500], "not valid JSON"),
        (b'{"a": "\xe9"}', "not valid JSON in UTF-8"),
        (b"[]", "holds no utterances"),
        (json.dumps(lacking).encode(), "has no `show` of type str"),
        (json.dumps(uneven).encode(), "has 1 context utterances and 2 speakers"),
    ):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=message):
            find_layout("mustard", folder).describe()


def test_broken_features_are_named(folder):
    write_features(folder, IDS)
    bert = folder / "data" / "bert-output.jsonl"
    lines = bert.read_bytes().splitlines(keepends=True)
    for name, content, message in (
        ("bert-output.jsonl", b"".join(lines[:3]), "ends before utterance"),
        ("bert-output.jsonl", b'{"features": []}\n' * 24, "is not what BERT's|has shape"),
        ("bert-output.jsonl", b"".join(lines), None),
        ("features/utterances_final/resnet_pool5.hdf5", b"\x89HDF\r\n\x1a\n cut off", "not a readable HDF5"),
    ):
        (folder / "data" / name).write_bytes(content)
        if message is not None:
            with pytest.raises(ValueError, match=message):
                rows_of(folder)


@pytest.mark.parametrize("share", [1, -0.1, "much", True])
def test_bad_validation_shares(folder, share):
    with pytest.raises(ValueError, match="Option `validation`"):
        find_layout("mustard", folder, validation=share).describe()
