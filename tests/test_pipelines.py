# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pipeline: raw clips in any form to answers, whole and along their time."""

import csv
import json

import numpy as np
import pytest
import torch
from corpora import sample_corpus, sample_run, write_video, write_wav
from transformers import pipeline

from mm_affect.inference import pipeline as pipelines


@pytest.fixture(scope="module")
def recognizer():
    return pipeline("affect-recognition", model=str(sample_run()))


@pytest.fixture(scope="module")
def clip():
    with open(sample_corpus() / "manifest.csv", newline="") as file:
        line = next(line for line in csv.DictReader(file) if line["video"] and line["audio"] and line["transcript"])
    return {
        "video": str(sample_corpus() / line["video"]),
        "text": line["transcript"],
        "spans": json.loads(line["spans"]),
    }


def test_answer_has_every_task_and_is_json(recognizer, clip):
    assert type(recognizer).__name__ == "AffectRecognitionPipeline"
    found = recognizer(clip)
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {"source", "steps", "tasks", "timeline"} and found["timeline"] == []
    assert found["source"] == clip["video"] and found["steps"]["text"] == len(clip["text"].split())
    assert isinstance(found["tasks"]["sentiment"]["value"], float)
    sarcasm, emotion = found["tasks"]["sarcasm"], found["tasks"]["emotion"]
    assert sum(sarcasm["scores"].values()) == pytest.approx(1, abs=1e-3)
    assert sarcasm["predicted"] == max(sarcasm["scores"], key=sarcasm["scores"].get)
    assert emotion["predicted"] == [label for label, score in emotion["scores"].items() if score > 0.5]


def test_answer_is_the_model_s_own(recognizer, clip):
    row = {"id": "a", "transcript": clip["text"], "video_file": clip["video"]}
    with torch.no_grad():
        logits = recognizer.model(**recognizer.processor(row)).logits
    assert recognizer(clip)["tasks"]["sentiment"]["value"] == pytest.approx(logits["sentiment"].item(), abs=1e-4)


def test_paths_dicts_and_lists(recognizer, clip, tmp_path):
    path = recognizer(clip["video"])
    assert path["steps"]["text"] == 0 and path["steps"]["audio"] and path["steps"]["visual"]
    sound = str(write_wav(tmp_path / "a.wav"))
    several = recognizer([clip["video"], {"audio": sound, "text": "well"}, {"text": "well"}])
    assert several[0] == path
    assert [found["source"] for found in several] == [clip["video"], sound, "transcript"]
    assert several[2]["steps"] == {"text": 1, "audio": 0, "visual": 0}


@pytest.mark.parametrize("subset", [["text"], ["audio"], ["visual"], ["text", "visual"], ["visual", "audio"]])
def test_any_subset_of_the_modalities(recognizer, clip, subset):
    found = recognizer(clip, modalities=subset)
    assert {m for m, steps in found["steps"].items() if steps} == set(subset)
    assert found["tasks"] != recognizer(clip)["tasks"]


def test_windows_cover_the_clip(recognizer, clip):
    found = recognizer(clip, window=1.0, hop=0.5)
    whole = recognizer(clip)
    assert found["tasks"] == whole["tasks"] and found["steps"] == whole["steps"]
    timeline = found["timeline"]
    duration = timeline[-1]["end"]
    assert duration == pytest.approx(max(found["steps"]["audio"] / 20, found["steps"]["visual"] / 10), abs=0.11)
    assert [w["start"] for w in timeline] == [round(0.5 * i, 3) for i in range(len(timeline))]
    assert all(w["end"] == pytest.approx(min(w["start"] + 1, duration)) for w in timeline)
    assert timeline[0]["tasks"].keys() == found["tasks"].keys() and timeline[0]["tasks"] != timeline[1]["tasks"]
    assert json.loads(json.dumps(found)) == found


def test_words_take_part_in_windows_only_with_their_times(recognizer, clip):
    timed = recognizer(clip, window=1.0)["timeline"]
    untimed = recognizer({name: clip[name] for name in ("video", "text")}, window=1.0)["timeline"]
    without = recognizer(clip["video"], window=1.0)["timeline"]
    assert untimed == without != timed
    words = recognizer({"text": clip["text"], "spans": clip["spans"]}, window=1.0)
    first = sum(np.mean(span) < 1.0 for span in clip["spans"])
    beginning = recognizer({"text": " ".join(clip["text"].split()[:first])})
    assert words["timeline"][0]["tasks"] == beginning["tasks"]


def test_a_window_answers_as_a_clip_of_its_own(recognizer, tmp_path, monkeypatch):
    """Windows of a long file are batched apart from it, as many at a time as have not too many steps."""
    monkeypatch.setattr(pipelines, "MAX_BATCH_STEPS", 330)
    sound = str(write_wav(tmp_path / "long.wav", 20.0))
    seen = []

    def watch(module, args, kwargs):
        seen.append(tuple(kwargs["audio"].shape[:2]))

    hook = recognizer.model.register_forward_pre_hook(watch, with_kwargs=True)
    try:
        found = recognizer(sound, window=0.5, hop=0.25)
    finally:
        hook.remove()
    assert len(found["timeline"]) == 80 and sum(batch for batch, _ in seen) == 81
    assert seen == [(1, 400), (33, 10), (33, 10), (14, 10)]
    features = recognizer.processor.extract({"audio_file": sound})
    part = pipelines.slice_row(recognizer.processor, features, 10.0, 10.5)
    with torch.no_grad():
        value = recognizer.model(**recognizer.processor(part)).logits["sentiment"].item()
    assert found["timeline"][40]["tasks"]["sentiment"]["value"] == pytest.approx(value, abs=1e-4)


def test_a_stretch_without_anything_is_left_out(recognizer):
    spans = [[0.0, 0.4], [5.0, 5.4]]
    timeline = recognizer({"text": "well well", "spans": spans}, window=1.0)["timeline"]
    assert [window["start"] for window in timeline] == [0.0, 5.0]


def test_silence_no_face_and_missing_tracks(recognizer, tmp_path):
    silence = recognizer(str(write_wav(tmp_path / "silence.wav", loudness=0.0)))
    assert silence["steps"]["audio"] > 0 and np.isfinite(silence["tasks"]["sentiment"]["value"])
    quiet = recognizer(str(write_video(tmp_path / "quiet.mp4", sound=True)))
    assert quiet["steps"]["audio"] > 0 and quiet["steps"]["visual"] == 0
    mute = str(write_video(tmp_path / "mute.mp4"))
    assert recognizer({"video": mute, "text": "well"})["steps"] == {"text": 1, "audio": 0, "visual": 0}
    for nothing in (mute, {"text": " "}, {}):
        with pytest.raises(
            ValueError, match="nothing to read; the selected modalities have no words, no audio and no face"
        ):
            recognizer(nothing)
    with pytest.raises(ValueError, match="nothing to read"):
        recognizer(str(tmp_path / "silence.wav"), modalities=["visual"])


def test_wrong_questions_are_refused(recognizer, clip):
    for options, sentence in (
        ({"modalities": ["smell"]}, "Unknown modality 'smell'; this model reads text, audio, visual"),
        ({"window": 0}, "`window` is 0 seconds; it must be positive"),
        ({"window": 1.0, "hop": -1}, "`hop` is -1 seconds; it must be positive"),
        ({"hop": 1.0}, "`hop` needs `window`"),
    ):
        with pytest.raises(ValueError, match=sentence):
            recognizer(clip, **options)
    with pytest.raises(ValueError, match="Unknown input 'picture'; expected some of text, audio, video"):
        recognizer({"picture": "a.mp4"})
    with pytest.raises(ValueError, match="2 spans for 1 words"):
        recognizer({"text": "well", "spans": [[0, 1], [1, 2]]})


def test_windows_without_the_words_that_a_clip_has(recognizer, clip):
    found = recognizer(clip, modalities=["audio", "visual"], window=1.0)
    assert found == recognizer(clip["video"], window=1.0)


def test_windows_shorter_than_a_step_are_refused(recognizer, clip):
    """A step of the sample model's faces is 0.1 s long."""
    with pytest.raises(ValueError, match="Windows of 0.05 s are shorter than one step of the visual features"):
        recognizer(clip, window=0.05)
