# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""CMU-MOSI, CMU-MOSEI and ICT-MMMO in every format: small files in the true layouts, and the real ones where they are."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from fixture_layouts.bclstm_csv import write_bclstm
from fixture_layouts.cmu_raw_release import write_mosei_raw, write_mosi_raw
from fixture_layouts.cmu_sdk import write_sdk
from fixture_layouts.csd import write_csd
from fixture_layouts.hhmpn_torch import TOKENS, write_hhmpn
from fixture_layouts.mfn_h5 import write_mfn_h5
from fixture_layouts.misa_pickle import write_misa_pickle
from fixture_layouts.mmsa_pickle import write_mmsa_pickle
from fixture_layouts.mult_pickle import write_mult_pickle

from mm_affect.data import CorpusRecord, DroppedClip, LabelField, load
from mm_affect.data.builder import to_table
from mm_affect.data.corpora.corpus_builder import CorpusBuilder
from mm_affect.data.corpora.layouts import CorpusLayout
from mm_affect.data.corpora.mult_pickle import MultPickleLayout
from mm_affect.data.corpora.official_folds import load_folds
from mm_affect.data.corpora.registry import find_layout


REALDATA = Path(os.environ.get("MM_AFFECT_REALDATA", Path(__file__).resolve().parents[2] / "shared" / "realdata"))
real = pytest.mark.skipif(not REALDATA.is_dir(), reason=f"real data are not at {REALDATA} (MM_AFFECT_REALDATA)")
MOSI = [load_folds("cmu_mosi")[split][0] for split in ("train", "validation", "test")]
MOSEI = [load_folds("cmu_mosei")[split][0] for split in ("train", "validation", "test")]
FILE_SPLITS = {"train": "train", "validation": "valid", "test": "test"}


def rows_of(layout: CorpusLayout) -> dict[str, list[dict]]:
    """The rows of every split, after the builder's own checks of them."""
    corpus = layout.describe()
    rows = {split: list(layout.rows(split)) for split in corpus.counts}
    for part in rows.values():
        if part:
            to_table(part, corpus.label_fields, corpus.sizes)
    return rows


# MulT --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["front", "behind"])
@pytest.mark.parametrize("aligned", [True, False])
def test_mult_pickle(tmp_path, aligned, side):
    truth = write_mult_pickle(tmp_path, aligned=aligned, side=side)
    layout = find_layout("cmu_mosi", tmp_path)
    rows = rows_of(layout)
    corpus = layout.describe()
    assert corpus.sizes == {"text": 7, "audio": 5, "visual": 4}, "sizes are the file's, not the published ones"
    assert all(way.startswith(side) for way in corpus.padding.values())
    assert corpus.counts == {"train": 1284, "validation": 229, "test": 686}
    for split, name in FILE_SPLITS.items():
        for row, clip in zip(rows[split], truth[name], strict=True):
            assert row["group"] == clip["id"] and row["start"] == float(clip["triple"][1])
            assert row["labels"]["sentiment"] == pytest.approx(clip["label"])
            for modality, key in (("text", "text"), ("audio", "audio"), ("visual", "vision")):
                assert np.array_equal(row[modality], clip[key])
    assert len({row["id"] for part in rows.values() for row in part}) == 12


def test_both_mult_pickles_have_the_same_ids(tmp_path):
    for aligned in (True, False):
        write_mult_pickle(tmp_path, aligned=aligned)
    ids = {}
    for align in ("words", "none"):
        layout = find_layout("cmu_mosi", tmp_path, align=align)
        ids[align] = {split: [row["id"] for row in part] for split, part in rows_of(layout).items()}
        assert layout.describe().padding["text"].endswith("every modality" if align == "words" else "by zeros")
    assert ids["words"] == ids["none"]


def test_labels_are_joined_by_id_never_by_position(tmp_path):
    """The unaligned file has no labels and another order; one clip is in it alone."""
    truth = write_mult_pickle(tmp_path, "mosei_senti", ids="text")

    def shuffled(contents):
        for part in contents.values():
            for key in part:
                part[key] = part[key][::-1]
        contents["test"]["id"][0] = ["nobody", "0.0", "1.0"]

    write_mult_pickle(tmp_path, "mosei_senti", aligned=False, ids="text", labels=False, change=shuffled)
    layout = find_layout("cmu_mosei", tmp_path, align="none")
    rows = rows_of(layout)
    for split, name in FILE_SPLITS.items():
        labels = {f"{clip['triple'][0]}@{float(clip['triple'][1]):.3f}": clip["label"] for clip in truth[name]}
        assert rows[split] and all(
            row["labels"]["sentiment"] == pytest.approx(labels[row["id"]]) for row in rows[split]
        )
    assert len(rows["test"]) == 3
    assert layout.dropped == [DroppedClip("nobody@0.000", "mosei_senti_data.pkl has no labels of it")]


def test_emotions_are_joined_to_mult_by_video_and_start(tmp_path):
    """A table beside the pickle, with its segments in another order and times that differ by a little."""
    truth = write_mult_pickle(tmp_path, "mosei_senti", aligned=False, ids="text")
    lines, wanted = [], {}
    for clips in truth.values():
        for i, clip in reversed(list(enumerate(clips))):
            start = float(clip["triple"][1]) + (0.02 if i else 4.0)
            happy = f"{0.25 * len(lines):g}"
            lines.append(f"{clip['triple'][0]},{i},{start},{start + 1},0,{happy},0,0,0,0,0")
            wanted[clip["triple"][0], float(clip["triple"][1])] = float(happy) if i else None
    header = "id,segment_id,start,end,sentiment,happy,sad,anger,surprise,disgust,fear"
    (tmp_path / "mosei.csv").write_text("\n".join([header, *lines]))
    layout = find_layout("cmu_mosei", tmp_path, layout="mult_pickle")
    rows = [row for part in rows_of(layout).values() for row in part]
    for row in rows:
        emotion = row["labels"]["emotion"]
        assert (None if emotion is None else emotion[0]) == wanted[row["group"], row["start"]]
    assert len(rows) == 12 and layout.reported["no_emotion"] == 3
    assert find_layout("cmu_mosei", tmp_path).name == "mult_pickle", "features come before labels alone"


@pytest.mark.parametrize("lacks", ["words", "none"])
def test_files_without_ids_are_not_joined(tmp_path, lacks):
    write_mult_pickle(tmp_path, ids="bytes" if lacks == "none" else None)
    write_mult_pickle(tmp_path, aligned=False, ids=None if lacks == "none" else "bytes", labels=False)
    with pytest.raises(ValueError, match="joined by id, never by position"):
        rows_of(find_layout("cmu_mosi", tmp_path, align="none"))


def test_files_with_doubled_ids_are_not_joined(tmp_path):
    def doubled(contents):
        contents["train"]["id"][1] = contents["train"]["id"][0]

    write_mult_pickle(tmp_path, change=doubled)
    write_mult_pickle(tmp_path, aligned=False, labels=False)
    with pytest.raises(ValueError, match="cannot be joined: ids of train are repeated"):
        rows_of(find_layout("cmu_mosi", tmp_path, align="none"))


def test_doubled_ids_in_one_file_are_told_apart_and_counted(tmp_path):
    def doubled(contents):
        contents["train"]["id"][1] = contents["train"]["id"][0]

    write_mult_pickle(tmp_path, change=doubled)
    layout = find_layout("cmu_mosi", tmp_path)
    assert [row["id"] for row in rows_of(layout)["train"][:2]] == ["vid_train0@0.000", "vid_train0@0.000#2"]
    assert layout.reported["duplicate"] == 1


def test_one_hot_pairs_of_mult(tmp_path):
    class Emotions(MultPickleLayout):
        stem, about, counts = "iemocap", CorpusRecord("x"), {"train": 5, "validation": 3, "test": 4}
        label_field = LabelField(
            "emotion", "multi_label_classification", ("neutral", "happy", "sad", "angry"), (0.0, 1.0)
        )

    truth = write_mult_pickle(tmp_path, "iemocap", ids=None, classes=4)
    layout = Emotions(tmp_path)
    rows = rows_of(layout)
    assert [row["labels"]["emotion"] for row in rows["test"]] == [clip["label"] for clip in truth["test"]]
    assert rows["train"][2]["id"] == rows["train"][2]["group"] == "train-2"
    empty = sum(not any(clip["label"]) for clips in truth.values() for clip in clips)
    assert layout.reported["without_any_emotion"] == empty


def test_infinite_audio_and_labels_beyond_the_scale_are_kept_and_counted(tmp_path):
    def change(contents):
        contents["train"]["audio"][0, -1, 2] = -np.inf
        contents["train"]["labels"][0] = 3.5
        contents["test"]["labels"][0] = np.nan

    write_mult_pickle(tmp_path / "corpus", change=change)
    options = {"allow_partial": True}
    rows = load("cmu_mosi", tmp_path / "corpus", cache_dir=tmp_path, **options)
    record = CorpusBuilder(find_layout("cmu_mosi", tmp_path / "corpus", **options), "cmu_mosi", tmp_path).record
    assert record.non_finite == {"audio": 1}
    assert record.reported == {"out_of_range": 1, "no_sentiment": 1}
    assert rows["train"][0]["labels"]["sentiment"] == 3.5 and rows["train"][0]["audio"][-1][2] == 0
    assert rows["test"][0]["labels"]["sentiment"] is None


def test_only_the_modalities_asked_for(tmp_path):
    def without_vision(contents):
        for part in contents.values():
            del part["vision"]

    write_mult_pickle(tmp_path, change=without_vision)
    layout = find_layout("cmu_mosi", tmp_path, modalities=["text", "audio"])
    assert layout.describe().sizes == {"text": 7, "audio": 5}
    assert "visual" not in rows_of(layout)["train"][0]
    with pytest.raises(ValueError, match="split `train` has no `vision`; it holds"):
        rows_of(find_layout("cmu_mosi", tmp_path))


def _shorter(key):
    def change(contents):
        contents["valid"][key] = contents["valid"][key][:-1]

    return change


def _replaced(key, value):
    def change(contents):
        contents["train"][key] = value(contents["train"][key])

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.pop("valid"),
            "has no split `valid`; it holds `train`, `test`. Get the whole file, or leave it out",
        ),
        (lambda c: [c.pop(s) for s in list(c)], "has no split `train`; it holds nothing"),
        (_shorter("audio"), "unequal numbers of clips: `text` 3, `audio` 2"),
        (_shorter("labels"), "unequal numbers of clips: `labels` 2, `id` 3"),
        (_shorter("id"), "unequal numbers of clips: `id` 2"),
        (_replaced("text", lambda v: v[:, 0]), r"`text` of split `train` is float32 \(5, 7\); expected numbers"),
        (_replaced("text", lambda v: v.astype(str)), "expected numbers"),
        (_replaced("text", lambda v: v[:, :, :3]), "has 7 features per step; the split before it has 3"),
        (_replaced("labels", lambda v: v[:, 0]), r"labels` of train is float32 \(5, 1\)"),
        (_replaced("labels", lambda v: v.repeat(2, 1)), r"shape \(5, 2, 1\); expected \(clips, 1, 1\)"),
        (lambda c: c.update(train=[1, 2]), "split `train` is a list; expected a dict"),
    ],
)
def test_damaged_mult_pickles(tmp_path, change, message):
    write_mult_pickle(tmp_path, change=change)
    with pytest.raises(ValueError, match=message) as error:
        rows_of(find_layout("cmu_mosi", tmp_path))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize("cut", [0, 1, 1000])
def test_truncated_and_empty_pickles(tmp_path, cut):
    write_mult_pickle(tmp_path)
    path = tmp_path / "mosi_data.pkl"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="mosi_data.pkl is (empty|truncated|damaged)"):
        rows_of(find_layout("cmu_mosi", tmp_path))


def test_files_of_python_2(tmp_path):
    truth = write_mult_pickle(tmp_path, protocol=2)
    assert len(rows_of(find_layout("cmu_mosi", tmp_path))["train"]) == len(truth["train"])


def test_a_part_of_the_splits_when_it_is_asked_for(tmp_path):
    write_mult_pickle(tmp_path / "corpus", change=lambda contents: contents.pop("train"))
    rows = load("cmu_mosi", tmp_path / "corpus", allow_partial=True, cache_dir=tmp_path)
    assert {split: len(part) for split, part in rows.items()} == {"validation": 3, "test": 4}


# MMSA --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aligned", [True, False])
def test_mmsa_pickle(tmp_path, aligned):
    truth = write_mmsa_pickle(tmp_path, aligned)
    layout = find_layout("cmu_mosi", tmp_path)
    rows = rows_of(layout)
    ways = layout.describe().padding
    assert ways["text"] == "behind, by `text_bert`"
    assert ways["audio"] == ("behind, by `text_bert`" if aligned else "behind, by `audio_lengths`")
    for split, name in FILE_SPLITS.items():
        for row, clip in zip(rows[split], truth[name], strict=True):
            assert row["transcript"] == clip["words"] and row["group"] in clip["id"]
            assert row["labels"] == {"sentiment": pytest.approx(clip["label"])}
            for modality, key in (("text", "text"), ("audio", "audio"), ("visual", "vision")):
                assert np.array_equal(row[modality], clip[key]), "zeros at the end are real, by the lengths"


def test_mmsa_without_lengths_is_stripped_by_zeros(tmp_path):
    def change(contents):
        for part in contents.values():
            del part["audio_lengths"], part["text_bert"]

    write_mmsa_pickle(tmp_path, change=change)
    layout = find_layout("cmu_mosi", tmp_path)
    assert layout.describe().padding == {
        "text": "behind, by zeros",
        "audio": "behind, by zeros",
        "visual": "behind, by `vision_lengths`",
    }


def test_unimodal_labels_of_mmsa(tmp_path):
    write_mmsa_pickle(tmp_path, unimodal=True)
    row = rows_of(find_layout("cmu_mosi", tmp_path))["test"][0]
    assert list(row["labels"]) == ["sentiment", "sentiment_text", "sentiment_audio", "sentiment_visual"]
    assert row["labels"]["sentiment_audio"] == pytest.approx(row["labels"]["sentiment"] / 3)


def test_unimodal_labels_that_only_training_rows_have(tmp_path):
    def change(contents):
        for part in (contents["valid"], contents["test"]):
            for letter in "TAV":
                del part[f"regression_labels_{letter}"]

    write_mmsa_pickle(tmp_path, unimodal=True, change=change)
    loaded = load("cmu_mosi", tmp_path, allow_partial=True, cache_dir=tmp_path / "cache")
    assert loaded["train"][0]["labels"]["sentiment_audio"] is not None
    assert loaded["test"][0]["labels"]["sentiment_audio"] is None
    assert loaded["test"][0]["labels"]["sentiment"] is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_replaced("audio_lengths", lambda v: [n + 50 for n in v]), "`audio_lengths` of train goes from .* 40 steps"),
        (_replaced("audio_lengths", lambda v: v[:-1]), r"`audio_lengths` of train is int64 \(4,\)"),
        (_replaced("text_bert", lambda v: v[:, :2]), r"\(5, 2, 12\); expected \(clips, 3, steps\)"),
        (_replaced("regression_labels", lambda v: [["x"]] * 5), "not numbers"),
        (_replaced("regression_labels", lambda v: np.zeros((5, 2))), r"shape \(5, 2\); expected one number"),
        (lambda c: c["test"].pop("id"), "split `test` has no `id`"),
    ],
)
def test_damaged_mmsa_pickles(tmp_path, change, message):
    write_mmsa_pickle(tmp_path, change=change)
    with pytest.raises(ValueError, match=message):
        rows_of(find_layout("cmu_mosi", tmp_path))


# HHMPN -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("tensors", [True, False])
def test_hhmpn(tmp_path, zipped, tensors):
    """The order of the labels is the file's own `dict`, not that of a comment."""
    truth = write_hhmpn(tmp_path, zipped=zipped, tensors=tensors)
    layout = find_layout("cmu_mosei", tmp_path)
    rows = rows_of(layout)
    names = list(layout.describe().label_fields[0].labels)
    assert names == ["happy", "sad", "anger", "surprise", "disgust", "fear"]
    for split, name in FILE_SPLITS.items():
        for row, clip in zip(rows[split], truth[name], strict=True):
            assert {n for n, value in zip(names, row["labels"]["emotion"], strict=True) if value} == clip["names"]
            for modality in ("text", "audio", "visual"):
                assert np.array_equal(row[modality], clip[modality])
    assert "label_order_assumed" not in layout.reported


def test_hhmpn_names_of_other_sources(tmp_path):
    names = dict(TOKENS)
    names["Happiness"], names["angry"] = names.pop("happy"), names.pop("anger")
    truth = write_hhmpn(tmp_path, names)
    rows = rows_of(find_layout("cmu_mosei", tmp_path))["train"]
    assert [row["labels"]["emotion"][0] for row in rows] == [float("Happiness" in c["names"]) for c in truth["train"]]


def test_hhmpn_without_a_mapping(tmp_path):
    write_hhmpn(tmp_path, None)
    layout = find_layout("cmu_mosei", tmp_path)
    rows_of(layout)
    assert layout.reported["label_order_assumed"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["train"]["tgt"].__setitem__(0, [2, 12, 3]), "`tgt` of train-0 holds the token 12"),
        (lambda c: c["train"]["tgt"].__setitem__(0, [4, 5]), "expected tokens between 2 and 3"),
        (lambda c: c["train"]["tgt"].pop(), "unequal numbers of clips"),
        (lambda c: c["dict"]["tgt"].pop("fear"), "names the emotions anger, disgust, happy, sad, surprise; expected"),
        (lambda c: c["train"]["src-text"].__setitem__(0, np.ones((3, 300))), "sequences of 2 shapes"),
        (lambda c: c.pop("valid"), "no split `valid`"),
    ],
)
def test_damaged_hhmpn(tmp_path, change, message):
    write_hhmpn(tmp_path, change=change)
    with pytest.raises(ValueError, match=message):
        rows_of(find_layout("cmu_mosei", tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cargparse\nNamespace\n.", "holds a class as a value"),
        (b"\x80\x02cargparse\nNamespace\n)\x81I1\nb.", "gives settings a state that is no dict of names"),
        (b"\x80\x02cargparse\nNamespace\n}I1\nI2\nsb.", "damaged or no pickle"),
        (b"\x80\x02cargparse\nArgumentParser\n)\x81.", "asks for `argparse.ArgumentParser`"),
    ],
)
def test_the_settings_of_hhmpn_open_no_door(tmp_path, content, message):
    (tmp_path / "train_valid_test.pt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        rows_of(find_layout("cmu_mosei", tmp_path))


# MISA, bc-LSTM, MFN ------------------------------------------------------------------------------------------------


def test_misa_pickle(tmp_path):
    written = write_misa_pickle(tmp_path)
    rows = rows_of(find_layout("cmu_mosi", tmp_path))
    for split, name in {"train": "train", "validation": "dev", "test": "test"}.items():
        for row, ((_, visual, audio, words), label, clip) in zip(rows[split], written[name], strict=True):
            assert row["id"] == clip and row["group"] == f"vid-_{name}" and row["transcript"].split() == words
            assert np.array_equal(row["audio"], audio) and np.array_equal(row["visual"], visual)
            assert row["labels"]["sentiment"] == pytest.approx(label[0, 0])


def test_misa_with_missing_files(tmp_path):
    write_misa_pickle(tmp_path, ("dev",))
    with pytest.raises(ValueError, match="has no train.pkl; add the file, or leave it out .*allow_partial=True"):
        rows_of(find_layout("cmu_mosi", tmp_path))
    rows = rows_of(find_layout("cmu_mosi", tmp_path, allow_partial=True))
    assert [len(part) for part in rows.values()] == [0, 4, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clips: {}, "holds dict; expected a list"),
        (lambda clips: [(1, 2)], "clip 0 is not"),
        (lambda clips: [((f[0], f[1][:-1], f[2], f[3]), *rest) for f, *rest in clips], "visual and .* must be equal"),
        (lambda clips: [((f[0], f[1][:, 0], f[2], f[3]), *rest) for f, *rest in clips], r"arrays \(words, features\)"),
    ],
)
def test_damaged_misa(tmp_path, change, message):
    write_misa_pickle(tmp_path, change=change)
    with pytest.raises(ValueError, match=message):
        rows_of(find_layout("cmu_mosi", tmp_path))


@pytest.mark.parametrize("nested", [True, False])
def test_bclstm(tmp_path, nested):
    lines = write_bclstm(tmp_path, nested)
    layout = find_layout("cmu_mosi", tmp_path, validation=0.34)
    rows = rows_of(layout)
    assert [len(rows[split]) for split in ("train", "validation", "test")] == [4, 2, 4]
    assert {row["group"] for row in rows["train"]}.isdisjoint({row["group"] for row in rows["validation"]})
    by_id = {line[0]: line for line in lines}
    for row in (row for part in rows.values() for row in part):
        assert row["labels"]["sentiment"] == int(by_id[row["id"]][3])
        assert row["transcript"] == by_id[row["id"]][1]
        assert (row["text"].shape, row["audio"].shape, row["visual"].shape) == ((1, 100), (1, 73), (1, 100))
    assert layout.describe().counts == {"train": 1445, "validation": 2, "test": 752}
    assert "1 of the 3 training videos" in layout.describe().split_protocol["validation"]


def test_bclstm_files_of_two_copies(tmp_path):
    write_bclstm(tmp_path)
    path = tmp_path / "audio" / "audio_test0.csv"
    path.write_text(path.read_text().replace('"1.0"\n', '"0.0"\n', 1))
    with pytest.raises(ValueError, match="audio_test0.csv line .: the label differs from transcripts.csv"):
        rows_of(find_layout("cmu_mosi", tmp_path))
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(ValueError, match="has 1 lines; text_test.csv has 4"):
        rows_of(find_layout("cmu_mosi", tmp_path))


def test_mfn_h5_with_a_missing_modality(tmp_path):
    truth = write_mfn_h5(tmp_path / "corpus")
    layout = find_layout("ict_mmmo", tmp_path / "corpus")
    rows = rows_of(layout)
    for split, name in FILE_SPLITS.items():
        for row, clip in zip(rows[split], truth[name], strict=True):
            assert row["labels"]["sentiment"] == clip["label"]
            for modality, key in (("text", "text"), ("audio", "audio"), ("visual", "video")):
                assert np.array_equal(row[modality], clip[key]) if key in clip else modality not in row
    assert layout.reported["no_text_features"] == 6
    loaded = load("ict_mmmo", tmp_path / "corpus", allow_partial=True, cache_dir=tmp_path)
    assert all(steps == [] for steps in loaded["train"]["text"])


def test_damaged_mfn_h5(tmp_path):
    write_mfn_h5(tmp_path)
    path = tmp_path / "audio_train.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="audio_train.h5 is truncated or not an HDF5 file"):
        rows_of(find_layout("ict_mmmo", tmp_path))
    with h5py.File(path, "w") as file:
        file["d2"] = np.ones(3)
    with pytest.raises(ValueError, match="no dataset `d1`; it has d2"):
        rows_of(find_layout("ict_mmmo", tmp_path))
    with h5py.File(path, "w") as file:
        file.create_dataset("d1", shape=(10**6, 10**4, 10), dtype="f8", chunks=(1, 1, 10), compression="gzip")
    with pytest.raises(ValueError, match="more than the file can hold"):
        rows_of(find_layout("ict_mmmo", tmp_path))


# SDK ---------------------------------------------------------------------------------------------------------------


def test_sdk_aligned_to_words(tmp_path):
    labels = write_sdk(tmp_path, MOSI)
    layout = find_layout("cmu_mosi", tmp_path)
    rows = rows_of(layout)
    assert layout.describe().sizes == {"text": 6, "audio": 74, "visual": 35}
    for split, video in zip(FILE_SPLITS, MOSI, strict=True):
        first, second = rows[split]
        assert [first["id"], second["id"]] == [f"{video}[0]", f"{video}[1]"] and first["group"] == video
        assert first["transcript"] == "word0 word1" and second["transcript"] == "word2 word3"
        assert second["start"] == 0.98 and np.allclose(second["spans"], [[0.02, 0.42], [0.52, 0.92]])
        assert second["text"][:, 0].tolist() == [4, 6], "word vectors without silences"
        assert np.allclose(second["audio"][:, 0], [23.5, 33.5]) and second["audio"].shape == (2, 74)
        assert second["labels"]["sentiment"] == pytest.approx(labels[video][1, 0])


def test_sdk_takes_the_newest_version_of_a_sequence(tmp_path):
    write_sdk(tmp_path, MOSI)
    write_csd(tmp_path / "CMU_MOSI_Visual_Facet_41.csd", "old", {MOSI[0]: (np.ones((9, 46)), np.ones((9, 2)))})
    assert find_layout("cmu_mosi", tmp_path).describe().sizes["visual"] == 35


@pytest.mark.parametrize(("reducer", "value"), [("max", 27), ("first", 20), ("last", 27)])
def test_sdk_reducers(tmp_path, reducer, value):
    write_sdk(tmp_path, MOSI)
    assert rows_of(find_layout("cmu_mosi", tmp_path, reducer=reducer))["test"][1]["visual"][0, 0] == value


def test_sdk_unaligned(tmp_path):
    write_sdk(tmp_path, MOSI)
    row = rows_of(find_layout("cmu_mosi", tmp_path, align="none"))["train"][0]
    assert row["audio"][:, 0].tolist() == list(range(19)), "frames of the segment from 0 to 0.95 s, at their own rate"
    assert row["text"][:, 0].tolist() == [0, 1, 2, 3]


def test_sdk_with_labels_and_words_alone(tmp_path):
    write_sdk(tmp_path, MOSI, kinds=["Words"])
    layout = find_layout("cmu_mosi", tmp_path)
    assert layout.describe().sizes == {}
    assert rows_of(layout)["test"][0]["transcript"] == "word0 word1"


def test_sdk_without_words(tmp_path):
    write_sdk(tmp_path, MOSI, kinds=["COVAREP"])
    with pytest.raises(ValueError, match="align='words' needs; get it, or pass align='none'"):
        rows_of(find_layout("cmu_mosi", tmp_path))
    assert len(rows_of(find_layout("cmu_mosi", tmp_path, align="none"))["test"][0]["audio"]) == 19


def test_sdk_videos_in_no_fold_are_dropped_and_missing_ones_counted(tmp_path):
    write_sdk(tmp_path, [*MOSEI, "stranger"], "CMU_MOSEI")
    write_csd(
        tmp_path / "CMU_MOSEI_COVAREP.csd", "COVAREP", {MOSEI[0]: (np.ones((9, 74)), np.arange(18).reshape(9, 2))}
    )
    layout = find_layout("cmu_mosei", tmp_path)
    rows = rows_of(layout)
    assert layout.dropped == [DroppedClip(f"stranger[{k}]", "its video is in no official fold") for k in (0, 1)]
    assert layout.reported["segment_without_audio"] == 4 and "audio" not in rows["test"][0]
    assert len(rows["test"][0]["labels"]["emotion"]) == 6


def test_sdk_parts_make_the_whole(tmp_path):
    videos = [*load_folds("cmu_mosi")["train"][:5], "stranger"]
    write_sdk(tmp_path, videos)
    layout = find_layout("cmu_mosi", tmp_path)
    whole = [row["id"] for row in layout.rows("train")]
    parts = [layout.shard(number, 3) for number in range(3)]
    assert sorted(row["id"] for part in parts for row in part.rows("train")) == sorted(whole)
    assert sum(len(part.dropped) for part in parts) == len(layout.dropped) == 2


@pytest.mark.parametrize(("source", "kind"), [("Visual_Facet_42", "visual"), ("TimestampedWordVectors", "text")])
def test_a_sequence_under_the_name_of_another(tmp_path, source, kind):
    write_sdk(tmp_path, MOSI)
    shutil.copy(tmp_path / f"CMU_MOSI_{source}.csd", tmp_path / "CMU_MOSI_COVAREP.csd")
    words = f"COVAREP.csd has the root `CMU_MOSI_{source}`, of {kind}; by its name it holds audio"
    with pytest.raises(ValueError, match=words):
        load("cmu_mosi", tmp_path, allow_partial=True, cache_dir=tmp_path / "cache")
    shutil.copy(tmp_path / "CMU_MOSI_Opinion_Labels.csd", tmp_path / "CMU_MOSI_TimestampedWords.csd")
    with pytest.raises(ValueError, match="of labels; by its name it holds words"):
        list(find_layout("cmu_mosi", tmp_path, modalities=["text"]).rows("train"))


def test_sdk_files_of_two_corpora(tmp_path):
    write_sdk(tmp_path, MOSI)
    write_csd(tmp_path / "CMU_MOSI_COVAREP.csd", "COVAREP", {"other": (np.ones((9, 74)), np.ones((9, 2)))})
    with pytest.raises(ValueError, match="they are of different corpora"):
        rows_of(find_layout("cmu_mosi", tmp_path))
    (tmp_path / "CMU_MOSI_COVAREP.csd").unlink()
    with pytest.raises(ValueError, match="has 1 labels per segment"):
        rows_of(find_layout("cmu_mosei", tmp_path))


def test_sdk_truncated(tmp_path):
    write_sdk(tmp_path, MOSI)
    path = tmp_path / "CMU_MOSI_Opinion_Labels.csd"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="truncated or damaged"):
        rows_of(find_layout("cmu_mosi", tmp_path))


# raw releases and tables ---------------------------------------------------------------------------------------------


def test_mosi_raw(tmp_path):
    """Files count from 1, labels from 0; the third text has no label."""
    write_sdk(tmp_path, MOSI, kinds=[])
    write_mosi_raw(tmp_path, {video: ["ONE  thing", "TWO", "THREE"] for video in MOSI[:2]})
    layout = find_layout("cmu_mosi", tmp_path)
    assert layout.name == "raw", "labels beside a raw release are its labels"
    rows = rows_of(layout)
    first = rows["train"][0]
    assert first["id"] == f"{MOSI[0]}[0]" and first["transcript"] == "ONE thing"
    assert first["audio_file"].endswith(f"Segmented/{MOSI[0]}_1.wav") and first["video_file"].endswith("_1.mp4")
    assert first["start"] is None and first["end"] is None
    assert layout.reported["clip_without_label"] == 2
    assert [clip.id for clip in layout.dropped] == [f"{MOSI[2]}[0]", f"{MOSI[2]}[1]"]
    assert {clip.reason for clip in layout.dropped} == {"it has neither a transcript nor media"}


def test_a_clip_without_transcript_keeps_its_media(tmp_path):
    write_sdk(tmp_path, MOSI, kinds=[])
    write_mosi_raw(tmp_path, {video: ["ONE", "TWO"] for video in MOSI})
    (tmp_path / "Raw" / "Transcript" / "Segmented" / f"{MOSI[1]}.annotprocessed").unlink()
    layout = find_layout("cmu_mosi", tmp_path)
    row = rows_of(layout)["validation"][1]
    assert row["transcript"] is None and row["audio_file"].endswith("_2.wav")
    assert layout.reported["no_transcript"] == 2 and not layout.dropped


@pytest.mark.parametrize("segmented", [True, False])
def test_mosei_raw_is_joined_on_start_times(tmp_path, segmented):
    """The labels' segments start at 0 and 0.98 s; the clips are numbered the other way round."""
    write_sdk(tmp_path, MOSEI, "CMU_MOSEI", kinds=[])
    clips = [(7, 0.99, 2.0, "the ___second"), (3, 0.0, 0.95, "the first"), (9, 50.0, 51.0, "unlabeled")]
    write_mosei_raw(tmp_path, dict.fromkeys(MOSEI, clips), segmented)
    layout = find_layout("cmu_mosei", tmp_path)
    first, second = rows_of(layout)["test"]
    assert first["transcript"] == "the first" and second["transcript"] == "the ___second"
    if segmented:
        assert first["audio_file"].endswith("_3.wav") and second["video_file"].endswith("_7.mp4")
        assert second["start"] is None
    else:
        assert second["audio_file"].endswith(f"Full/WAV_16000/{MOSEI[2]}.wav")
        assert (second["start"], second["end"]) == (0.98, 2.0)
    assert layout.reported["clip_without_label"] == 3


def test_transcripts_that_cannot_be_read(tmp_path):
    write_sdk(tmp_path, MOSI, kinds=[])
    write_mosi_raw(tmp_path, {video: ["ONE", "TWO"] for video in MOSI})
    path = tmp_path / "Raw" / "Transcript" / "Segmented" / f"{MOSI[0]}.annotprocessed"
    path.write_text("1_DELIM_fine\nno delimiter")
    with pytest.raises(ValueError, match="line 2 is 'no delimiter'; expected `k_DELIM_text`"):
        rows_of(find_layout("cmu_mosi", tmp_path))
    path.write_bytes(b"1_DELIM_caf\xe9")
    with pytest.raises(ValueError, match="is not UTF-8"):
        rows_of(find_layout("cmu_mosi", tmp_path))


def test_mosei_labels_from_a_table(tmp_path):
    lines = [
        f"{MOSEI[0]},0,1.5,3,0.5,1,0,0,0,0,0",
        f"{MOSEI[0]},0,9,10,-4,0,0,0,0,0,0",
        "stranger,0,1,2,1,1,1,1,1,1,1",
    ]
    header = "id,segment_id,start,end,sentiment,happy,sad,anger,surprise,disgust,fear"
    (tmp_path / "mosei.csv").write_text("\n".join([header, *lines]))
    layout = find_layout("cmu_mosei", tmp_path)
    rows = rows_of(layout)["train"]
    assert [row["id"] for row in rows] == [f"{MOSEI[0]}[0]", f"{MOSEI[0]}[0]#2"]
    assert rows[0]["labels"] == {"sentiment": 0.5, "emotion": [1, 0, 0, 0, 0, 0]} and rows[0]["start"] == 1.5
    assert layout.reported == {"out_of_range": 1, "without_any_emotion": 1, "duplicate": 1}
    assert layout.dropped == [DroppedClip("stranger[0]", "its video is in no official fold")]
    (tmp_path / "mosei.csv").write_text("\n".join([header, lines[0].replace("1.5", "soon")]))
    with pytest.raises(ValueError, match="mosei.csv line 2: `start` is 'soon'; expected a number"):
        rows_of(find_layout("cmu_mosei", tmp_path))


# the real files ------------------------------------------------------------------------------------------------------


@real
def test_real_mosi_words(tmp_path):
    """Words, labels and folds of the SDK: exactly the official counts."""
    rows = load("cmu_mosi", REALDATA / "mosi", cache_dir=tmp_path)
    assert {split: len(part) for split, part in rows.items()} == {"train": 1284, "validation": 229, "test": 686}
    transcripts = [text for part in rows.values() for text in part["transcript"]]
    assert sum(text is None or not text for text in transcripts) < 5
    assert 10 < np.mean([len(text.split()) for text in transcripts]) < 16
    sentiment = [label["sentiment"] for label in rows["test"]["labels"]]
    assert len(sentiment) == 686 and min(sentiment) >= -3 and max(sentiment) <= 3


@real
def test_real_mosi_words_are_nearly_those_of_the_transcripts():
    """The clips of bc-LSTM's transcripts are the segments of the sequence, counted from 1 instead of 0."""
    rows = {row["id"]: row for part in rows_of(find_layout("cmu_mosi", REALDATA / "mosi")).values() for row in part}
    similar = []
    for part in rows_of(find_layout("cmu_mosi", REALDATA / "mosi" / "bclstm")).values():
        for row in part:
            number = int(row["id"].rpartition("_")[2])
            ours = set(rows[f"{row['group']}[{number - 1}]"]["transcript"].upper().split())
            theirs = set(row["transcript"].split())
            similar.append(len(ours & theirs) / max(1, len(ours | theirs)))
            label = rows[f"{row['group']}[{number - 1}]"]["labels"]["sentiment"]
            assert label == 0 or (label > 0) == bool(row["labels"]["sentiment"])
    assert len(similar) == 2199 and np.mean(similar) > 0.7


@real
def test_real_mosi_dev_pickle():
    layout = find_layout("cmu_mosi", REALDATA / "mosi" / "dev.pkl", allow_partial=True)
    rows = rows_of(layout)
    assert [len(part) for part in rows.values()] == [0, 229, 0]
    assert sum(len(row["audio"]) for row in rows["validation"]) == 2524
    assert layout.describe().sizes == {"audio": 74, "visual": 47}
    sdk = {row["id"]: row for row in find_layout("cmu_mosi", REALDATA / "mosi").rows("validation")}
    for row in rows["validation"]:
        assert row["labels"]["sentiment"] == pytest.approx(sdk[row["id"]]["labels"]["sentiment"]), row["id"]


@real
def test_real_bclstm_files(tmp_path):
    rows = load("cmu_mosi", REALDATA / "mosi" / "bclstm", cache_dir=tmp_path)
    assert len(rows["train"]) + len(rows["validation"]) == 1447 and len(rows["test"]) == 752


@real
@pytest.mark.parametrize("layout", ["labels_csv", "classes_csv"])
def test_real_mosei_labels(tmp_path, layout):
    rows = load("cmu_mosei", REALDATA / "mosei", layout=layout, cache_dir=tmp_path)
    assert {split: len(part) for split, part in rows.items()} == {"train": 16327, "validation": 1871, "test": 4662}
    record = CorpusBuilder(find_layout("cmu_mosei", REALDATA / "mosei", layout=layout), "cmu_mosei", tmp_path).record
    assert len(record.dropped) == 399
    if layout == "labels_csv":
        assert record.reported == {"without_any_emotion": 3395}


@real
def test_real_mmmo(tmp_path):
    rows = load("ict_mmmo", REALDATA / "mmmo", cache_dir=tmp_path)
    assert {split: len(part) for split, part in rows.items()} == {"train": 220, "validation": 40, "test": 80}
    assert not any(rows["train"]["text"]) and all(rows["test"]["text"])
    lengths = {len(steps) for steps in rows["train"]["audio"]}
    assert max(lengths) == 20 and min(lengths) < 20
