# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""IEMOCAP: the release in small, with its labels, speakers, word times, splits and counts."""

import pytest
from fixture_layouts.iemocap import TEXTS, write_iemocap
from fixture_layouts.mult_pickle import write_mult_pickle

from mm_affect.data import DroppedClip, load
from mm_affect.data.corpora.iemocap import (
    CLASSES,
    IN_RELEASE,
    IemocapReleaseLayout,
    read_alignment,
    read_evaluation,
    word_spans,
)
from mm_affect.data.corpora.registry import find_layout


@pytest.fixture
def folder(tmp_path):
    return write_iemocap(tmp_path / "release")


def rows_of(folder, split="train", **options):
    layout = find_layout("iemocap", folder, **options)
    return list(layout.rows(split)), layout


def test_documented_counts_of_every_configuration():
    """Totals of the literature; the sessions of the 5,531 utterances are those that everyone prints."""
    totals = {name: sum(sum(IN_RELEASE[label]) for label in kept) for name, kept in CLASSES.items()}
    assert totals == {"four": 4490, "four_excited_as_happy": 5531, "six": 7380}
    kept = CLASSES["four_excited_as_happy"]
    assert [sum(IN_RELEASE[label][s] for label in kept) for s in range(5)] == [1085, 1023, 1151, 1031, 1241]


@pytest.mark.parametrize("fold", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("validation", ["session", "dialogues", "none"])
def test_expected_counts_add_up_for_every_fold(folder, fold, validation):
    layout = find_layout("iemocap", folder, config="four_excited_as_happy", fold=fold, validation=validation)
    counts = layout.describe().counts
    assert sum(counts.values()) == 5531
    assert counts["test"] == [1085, 1023, 1151, 1031, 1241][fold - 1]
    assert ("validation" in counts) == (validation != "none")


@pytest.mark.parametrize(("config", "per_dialogue"), [("four", 4), ("four_excited_as_happy", 5), ("six", 6)])
def test_rows_of_every_configuration(folder, config, per_dialogue):
    layout = find_layout("iemocap", folder, config=config)
    rows = {split: list(layout.rows(split)) for split in ("train", "validation", "test")}
    assert {split: len(found) for split, found in rows.items()} == {
        "train": 3 * 2 * per_dialogue,
        "validation": 2 * per_dialogue,
        "test": 2 * per_dialogue,
    }
    assert {row["id"][:5] for row in rows["test"]} == {"Ses05"} and {r["id"][:5] for r in rows["validation"]} == {
        "Ses04"
    }
    assert len(layout.dropped) == 10 * (7 - per_dialogue)
    reason = f"its label `xxx` is not in the configuration {config}"
    assert DroppedClip("Ses01F_impro00_F006", reason) in layout.dropped


def test_no_speaker_is_in_two_splits_when_sessions_are_held_out(folder):
    for fold in (1, 3, 5):
        layout = find_layout("iemocap", folder, fold=fold)
        speakers = [{row["group"] for row in layout.rows(split)} for split in ("train", "validation", "test")]
        assert [len(s) for s in speakers] == [6, 2, 2]
        assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2] and not speakers[1] & speakers[2]


def test_the_speaker_is_the_letter_before_the_number(folder):
    rows, _ = rows_of(folder)
    speakers = {row["id"]: row["group"] for row in rows}
    assert speakers["Ses01F_impro00_M001"] == "Ses01M"  # the F of the dialogue says who wore the markers
    assert speakers["Ses01M_impro01_F000"] == "Ses01F"


def test_a_row_has_words_times_sound_and_all_labels(folder):
    rows, layout = rows_of(folder)
    first, second = rows[:2]
    assert first["transcript"] == TEXTS[0] == "Excuse me."
    assert first["spans"] == [[0.1, 0.29], [0.3, 0.49]]  # frames 10 to 28 and 30 to 48 of 10 ms, the last one included
    assert len(second["spans"]) == len(TEXTS[1].split()) == 5
    assert first["audio_file"].endswith("Session1/sentences/wav/Ses01F_impro00/Ses01F_impro00_F000.wav")
    assert first["video_file"] is None and first["start"] is None
    assert first["labels"] == {"emotion": 0, "valence": 2.5, "activation": 3.0, "dominance": 1.5}
    assert layout.describe().label_fields[0].labels == ("neutral", "happy", "sad", "angry")


def test_pictures_and_sound_are_cut_from_the_dialogue(folder):
    dialogue = folder / "Session1" / "dialog"
    for name in ("avi/DivX/Ses01F_impro00.avi", "wav/Ses01F_impro00.wav"):
        (dialogue / name).parent.mkdir(parents=True)
        (dialogue / name).touch()
    row = rows_of(folder)[0][0]
    assert row["video_file"].endswith("Ses01F_impro00.avi") and row["audio_file"].endswith(
        "dialog/wav/Ses01F_impro00.wav"
    )
    assert (row["start"], row["end"]) == (6.29, 8.2357)
    row = rows_of(folder, modalities=["text", "audio"])[0][0]
    assert row["audio_file"].endswith("Ses01F_impro00_F000.wav") and (row["start"], row["video_file"]) == (None, None)


def test_word_times_only_if_the_words_are_the_same():
    aligned = [("WELL", 0.1, 0.3), ("IT'S", 0.3, 0.5), ("UH-HUH", 0.5, 0.9)]
    assert word_spans("[BREATHING] Well, it's -- [LAUGHTER OF M] uh-huh.", aligned) == [
        [0.0, 0.0], [0.1, 0.3], [0.3, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.5, 0.9],
    ]  # fmt: skip
    assert word_spans("Well, its fine.", aligned) is None
    assert word_spans("Well, it's", aligned) is None
    assert word_spans("Well, it's uh-huh and", aligned) is None


def test_alignment_leaves_silence_noise_and_variants_out(folder):
    path = folder / "Session1" / "sentences" / "ForcedAlignment" / "Ses01F_impro00" / "Ses01F_impro00_M001.wdseg"
    assert [word for word, *_ in read_alignment(path)] == ["WELL", "I'M", "FINE"]


def test_validation_by_dialogue_keeps_dialogues_whole_and_is_repeatable(tmp_path):
    folder = write_iemocap(tmp_path, dialogues=5)
    drawn = [rows_of(folder, "validation", validation="dialogues")[0] for _ in range(2)]
    assert drawn[0] == drawn[1]
    dialogues = {row["id"].rpartition("_")[0] for row in drawn[0]}
    assert len(dialogues) == 2 and len(drawn[0]) == 2 * 4  # a tenth of 20
    train = {row["id"].rpartition("_")[0] for row in rows_of(folder, "train", validation="dialogues")[0]}
    assert not dialogues & train and len(train) == 18


def test_parts_together_are_the_whole(folder):
    layout = find_layout("iemocap", folder)
    parts = [list(layout.shard(k, 3).rows("train")) for k in range(3)]
    assert all(parts) and sorted(row["id"] for part in parts for row in part) == sorted(
        row["id"] for row in layout.rows("train")
    )


def test_missing_transcripts_and_clips_are_counted(folder):
    dialogue = folder / "Session1" / "dialog" / "transcriptions" / "Ses01F_impro00.txt"
    dialogue.unlink()
    sound = folder / "Session1" / "sentences" / "wav" / "Ses01F_impro00"
    (sound / "Ses01F_impro00_F000.wav").rename(sound / "Ses01F_impro00_F099.wav")
    rows, layout = rows_of(folder)
    assert layout.reported == {"no_transcript": 4, "no_media": 1, "clip_without_label": 1}
    lost = DroppedClip("Ses01F_impro00_F000", "it has neither a transcript nor media")
    assert lost in layout.dropped and len(rows) == 24 - 1
    assert rows[0]["transcript"] is None and rows[0]["spans"] is None and rows[0]["audio_file"]


def test_labels_out_of_range_are_kept_and_counted(tmp_path):
    folder = write_iemocap(tmp_path, labels=("neu",) * 9)  # dominance grows by a half
    rows, layout = rows_of(folder)
    assert max(row["labels"]["dominance"] for row in rows) == 5.5 and layout.reported["out_of_range"] == 6


def test_a_partial_copy_is_refused_and_allowed(folder, tmp_path):
    with pytest.raises(ValueError, match=r"found 24 rows in train, expected 2755.*allow_partial"):
        load("iemocap", folder, cache_dir=tmp_path / "cache")
    splits = load("iemocap", folder, cache_dir=tmp_path / "cache", allow_partial=True)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 24, "validation": 8, "test": 8}
    assert splits["train"].features["labels"]["emotion"].names == ["neutral", "happy", "sad", "angry"]


def test_a_folder_above_the_release_is_recognized(tmp_path):
    write_iemocap(tmp_path / "IEMOCAP_full_release")
    assert len(rows_of(tmp_path)[0]) == 24


def test_bad_files_are_named(folder):
    path = folder / "Session2" / "dialog" / "EmoEvaluation" / "Ses02F_impro00.txt"
    whole = path.read_bytes()
    for broken, message in (
        (b"% nothing here\n", "holds no evaluation lines"),
        (whole + b"[1.0 - 2.0]\tSes02F_impro00_F000\tneu\t[1, 2, 3]\n", "is repeated"),
        (b"[1.0 - 2.0]\tSes02F_impro00_F000\tneu\t[1, 2]\n", r"line 1: expected `\[start - end\]"),
        (b"[3.0 - 2.0]\tSes02F_impro00_F000\tneu\t[1, 2, 3]\n", "line 1: expected"),
        (whole.replace(b"neu", b"n\xe9u"), "is not UTF-8"),
    ):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=message) as error:
            read_evaluation(path)
        assert "Ses02F_impro00.txt" in str(error.value)


def test_wrong_folders_and_options(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"EmoEvaluation[\s\S]*sail.usc.edu"):
        find_layout("iemocap", tmp_path / "empty")
    with pytest.raises(ValueError, match="Option `fold` is 6"):
        find_layout("iemocap", folder, fold=6)
    with pytest.raises(ValueError, match="Did you mean 'fold'"):
        find_layout("iemocap", folder, folds=1)
    assert not IemocapReleaseLayout.matches(tmp_path / "empty")


def test_the_mult_pickle_is_the_multilabel_configuration(tmp_path):
    truth = write_mult_pickle(tmp_path, "iemocap", ids=None, classes=4)
    splits = load("iemocap", tmp_path, config="multilabel", allow_partial=True, cache_dir=tmp_path / "cache")
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 5, "validation": 3, "test": 4}
    for ours, theirs in {"train": "train", "validation": "valid", "test": "test"}.items():
        assert [row["emotion"] for row in splits[ours]["labels"]] == [clip["label"] for clip in truth[theirs]]
    layout = find_layout("iemocap", tmp_path)  # without a configuration what is there is read
    assert layout.name == "mult_pickle" and layout.describe().counts == {
        "train": 2717,
        "validation": 798,
        "test": 938,
    }
    with pytest.raises(ValueError, match="iemocap|IEMOCAP"):
        find_layout("iemocap", tmp_path, "six")
