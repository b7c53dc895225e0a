# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""`data align`: rows of frames to rows of words, what is recorded of it, and a model that is trained on them."""

import numpy as np
import pytest
from corpora import FIELDS, run_config, sample_corpus, sample_rows
from transformers import AutoProcessor

from mm_affect import AffectProcessor
from mm_affect.cli.main import main
from mm_affect.data import RowReader, load, read_corpus, write_rows
from mm_affect.data.align_rows import align_rows
from mm_affect.features.word_vectors import WordVectors
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


SIZES = {"text": 2, "audio": 3, "visual": 5}
RATES = {"audio": 20.0, "visual": 10.0}
SPANS = [[0.12, 0.31], [0.31, 0.4], [0.4, 0.4], [0.62, 0.95], [5.0, 6.0]]  # one without length, one after the end
REDUCE = {
    "mean": lambda frames: frames.mean(0),
    "max": lambda frames: frames.max(0),
    "first": lambda frames: frames[0],
    "last": lambda frames: frames[-1],
}


def make_row(name, spans=SPANS, **changed):
    rng = np.random.default_rng([*name.encode()])
    steps = {"text": len(spans or [1]), "audio": 19, "visual": 10}
    row = {m: rng.normal(size=(steps[m], size)).astype(np.float32) for m, size in SIZES.items()}
    row["visual"][6:8] = np.nan  # no face from 0.6 to 0.8 seconds
    transcript = " ".join("word" for _ in ([1] if spans is None else spans))
    return (
        {"id": name, "group": name, "transcript": transcript, "spans": spans, "start": 7.0, "end": 8.0} | row | changed
    )


def write(folder, splits=None, beside=None, **changed):
    splits = splits or {"train": [make_row("a"), make_row("b", None)], "test": [make_row("c")]}
    extractors = {m: {"name": f"{m}_kind", "rate": rate, "size": SIZES[m]} for m, rate in RATES.items()}
    corpus = {"name": "timed", "label_fields": FIELDS, "sizes": SIZES, "extractors": extractors} | changed
    write_rows(folder, splits, corpus, beside=beside)
    return folder


def read(folder, split="train"):
    reader = RowReader(load(folder)[split])
    return [reader[i] for i in range(len(reader))]


@pytest.mark.parametrize("reducer", REDUCE)
def test_a_word_is_the_measured_frames_that_it_overlaps(tmp_path, reducer):
    original = make_row("a", labels={"sentiment": 1.5, "sarcasm": 1, "emotion": [1.0, 0.0]})
    write(tmp_path / "rows", {"train": [original]})
    align_rows(tmp_path / "rows", tmp_path / "aligned", reducer)
    (row,) = read(tmp_path / "aligned")
    for modality, rate in RATES.items():
        assert row[modality].shape == (len(SPANS), SIZES[modality])
        for (start, end), step in zip(SPANS, row[modality], strict=True):
            frames = [
                frame
                for i, frame in enumerate(original[modality])
                if min(end, (i + 1) / rate) - max(start, i / rate) > 1e-5 and not np.isnan(frame).all()
            ]
            expected = REDUCE[reducer](np.array(frames)) if frames else np.full(SIZES[modality], np.nan)
            np.testing.assert_allclose(step, expected, rtol=1e-6, atol=1e-6)
        assert np.isnan(row[modality]).all(1).tolist() == [False, False, True, False, True]
    np.testing.assert_array_equal(row["text"], original["text"])
    np.testing.assert_allclose(row["spans"], SPANS, rtol=1e-6)
    for name in ("id", "group", "transcript", "start", "end", "labels"):
        assert row[name] == original[name]


def test_a_missing_modality_stays_missing_and_is_as_long_as_the_others(tmp_path):
    nothing = np.zeros((0, 3), np.float32)
    write(tmp_path / "rows", {"train": [make_row("a", audio=nothing), make_row("b", text=np.zeros((0, 2)))]})
    align_rows(tmp_path / "rows", tmp_path / "aligned")
    rows = silent, wordless = read(tmp_path / "aligned")
    assert all(len(row[m]) == len(SPANS) for row in rows for m in SIZES)
    assert np.isnan(silent["audio"]).all() and np.isnan(wordless["text"]).all()
    batch = AffectProcessor(SIZES)(rows)
    assert batch["audio_mask"].any(1).tolist() == [False, True] and batch["text_mask"].any(1).tolist() == [True, False]


def test_rows_without_spans_are_left_out_and_counted(tmp_path, capsys):
    earlier = {"id": "z", "reason": "an empty file"}
    write(
        tmp_path / "rows",
        {"train": [make_row("a"), make_row("b", None)], "test": [make_row("c", [])]},
        dropped=[earlier],
    )
    assert (
        main(
            [
                "data",
                "align",
                "--rows",
                str(tmp_path / "rows"),
                "--output",
                str(tmp_path / "aligned"),
                "--reducer",
                "max",
            ]
        )
        == 0
    )
    assert "(train 1, test 0; 2 left out because they have no word with a time" in capsys.readouterr().out
    corpus = read_corpus(tmp_path / "aligned")
    assert corpus.counts == {"train": 1, "test": 0} and [clip.id for clip in corpus.dropped] == [
        "z",
        "b",
        "c",
    ]
    assert corpus.alignment["reducer"] == "max" and corpus.alignment["extractors"]["visual"]["rate"] == 10
    assert corpus.extractors == {} and corpus.provenance["audio"] == "audio_kind at 20 Hz, max over each word"


def test_the_processor_goes_along_without_extractors_of_frames(tmp_path):
    text = WordVectors(["word"], np.ones((1, 2), np.float32), "vectors of a test")
    frames = {m: {"name": "elsewhere", "rate": rate} for m, rate in RATES.items()}
    extractors = {"text": text.describe()} | frames
    processor = AffectProcessor(SIZES, extractors, {"text": "none"})
    processor.share_extractors({"text": text})
    write(tmp_path / "rows", beside=processor.save_pretrained, extractors=extractors)
    align_rows(tmp_path / "rows", tmp_path / "aligned")
    saved = AutoProcessor.from_pretrained(tmp_path / "aligned")
    assert saved.extractors == {"text": text.describe()} == read_corpus(tmp_path / "aligned").extractors
    assert saved.normalization["text"] == "none" and saved.feature_sizes == SIZES
    np.testing.assert_array_equal(saved.extractor("text")(["word"]), [[1, 1]])
    with pytest.raises(ValueError, match="cannot be run here; give features instead of raw audio"):
        saved.extractor("audio")


@pytest.mark.parametrize(
    ("splits", "changed", "sentence"),
    [
        ({"train": [make_row("a"), make_row("b", text=np.ones((3, 2)))]}, {}, "`b` has 3 text steps for 5 spans"),
        ({"train": [make_row("a", None)], "test": [make_row("b", [])]}, {}, "No row of .* has a word with a time"),
        (None, {"extractors": {"audio": {"name": "x", "rate": 20}}}, "extractor with a rate for its visual features"),
        (None, {"extractors": {"audio": {"name": "x", "rate": None}}}, "extractor with a rate for its audio features"),
        (None, {"alignment": {"reducer": "last"}}, "aligned to words already, with the reducer 'last'"),
        ({"train": [{"id": "a", "group": "a"}]}, {"sizes": {}}, "has no audio or visual features"),
    ],
)
def test_rows_that_cannot_be_aligned_leave_nothing_behind(tmp_path, splits, changed, sentence):
    write(tmp_path / "rows", splits, **changed)
    with pytest.raises(ValueError, match=sentence):
        align_rows(tmp_path / "rows", tmp_path / "aligned")
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_wrong_arguments_are_refused(tmp_path, capsys):
    rows = write(tmp_path / "rows")
    with pytest.raises(ValueError, match="Reducer 'median' is unknown"):
        align_rows(rows, tmp_path / "aligned", "median")
    align_rows(rows, tmp_path / "aligned", "first")
    assert main(["data", "align", "--rows", str(rows), "--output", str(tmp_path / "aligned")]) == 1
    assert "already holds rows" in capsys.readouterr().err
    assert main(["data", "align", "--rows", str(rows), "--output", str(tmp_path / "aligned"), "--overwrite"]) == 0
    assert read_corpus(tmp_path / "aligned").alignment["reducer"] == "mean"


@pytest.mark.full
def test_tailor_trains_on_an_aligned_corpus_and_asks_for_word_times(tmp_path, capsys):
    align_rows(sample_rows(), tmp_path / "aligned")
    for row in read(tmp_path / "aligned"):
        assert {len(row[m]) for m in SIZES} == {len(row["transcript"].split())}
    model = {
        "aligner": "given", "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8,
        "encoder_layers": dict.fromkeys(SIZES, 1), "cross_layers": 1,
    }  # fmt: skip
    tasks = [{"name": "emotion", "labels": ["happy", "sad", "anger"]}]
    config = run_config(
        tmp_path / "run", rows=str(tmp_path / "aligned"), architecture="mm_affect_tailor", model=model, tasks=tasks,
        training={"epochs": 1, "batch_size": 4},
    )  # fmt: skip
    results = experiments.run(RunConfig.from_dict(config))
    assert results.model.architecture == "TailorForAffect" and results.tasks[0]["name"] == "emotion"
    clip = next((sample_corpus() / "media").iterdir())
    capsys.readouterr()
    assert main(["predict", str(clip), "--model", str(tmp_path / "run"), "--transcript", "a word"]) == 1
    assert "cannot be run here; give features instead of raw" in capsys.readouterr().err
