# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The sample corpus: repeatable, complete, decodable, and built as its documentation says."""

import csv
import hashlib
import json
import wave
from collections import Counter

import numpy as np
import pytest

from mm_affect.data.synthetic.corpus import (
    ADJECTIVES,
    NAME,
    TOPICS,
    make_sample_corpus,
    plan_clip,
    render_audio,
    render_frames,
)
from mm_affect.data.synthetic.voice import RATE
from mm_affect.features.faces import FaceDescriptor
from mm_affect.vocabulary import EMOTIONS


av = pytest.importorskip("av", reason="the sample corpus is written with PyAV")
pytest.importorskip("cv2", reason="the sample corpus is drawn with OpenCV")
CLIPS = 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_sample_corpus(tmp_path_factory.mktemp("sample") / "corpus", clips=CLIPS, progress=False)


@pytest.fixture(scope="module")
def rows(corpus):
    with open(corpus / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def plans():
    return [plan_clip(0, index) for index in range(1200)]


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def decode(path, kind):
    with av.open(str(path)) as container:
        if not getattr(container.streams, kind):
            return None
        form = {"format": "rgb24"} if kind == "video" else {}
        return [frame.to_ndarray(**form) for frame in container.decode(**{kind: 0})]


def test_the_seed_decides_every_byte_and_the_workers_none(corpus, tmp_path):
    again = make_sample_corpus(tmp_path / "again", clips=CLIPS, workers=1, progress=False)
    assert digests(again) == digests(corpus)
    other = make_sample_corpus(tmp_path / "other", clips=6, seed=1, progress=False)
    assert (other / "media" / "sample_00000.mp4").read_bytes() != (corpus / "media" / "sample_00000.mp4").read_bytes()


def test_a_clip_does_not_depend_on_the_size_of_the_corpus(corpus, tmp_path):
    smaller = make_sample_corpus(tmp_path / "smaller", clips=6, progress=False)
    big, small = digests(corpus), digests(smaller)
    media = [name for name in small if name.startswith("media")]
    assert len(media) == 6
    assert all(small[name] == big[name] for name in media)


def test_the_manifest_lists_exactly_the_media(corpus, rows):
    assert [row["id"] for row in rows] == [f"sample_{i:05d}" for i in range(CLIPS)]
    named = {row[kind] for row in rows for kind in ("audio", "video")} - {""}
    assert named == {f"media/{path.name}" for path in (corpus / "media").iterdir()}
    card = json.loads((corpus / "corpus.json").read_text())
    assert card["name"] == NAME and card["synthetic"] is True
    columns = set(rows[0]) - {"id", "group", "split", "transcript", "spans", "audio", "video"}
    assert columns == {field["name"] for field in card["label_fields"]}


def test_labels_of_the_manifest_are_those_that_were_planned(rows):
    for index, row in enumerate(rows):
        clip = plan_clip(0, index)
        assert set(row["emotion"].split("|")) == set(clip.emotions or ["none"])
        assert float(row["sentiment"]) == clip.sentiment and -3 <= clip.sentiment <= 3
        assert row["sarcasm"] == ("sarcastic" if clip.sarcastic else "sincere")


def test_each_modality_is_lacking_somewhere_and_the_files_agree(corpus, rows):
    lacks = Counter()
    for row in rows:
        lacks.update(kind for kind in ("transcript", "audio", "video") if not row[kind])
        path = corpus / (row["audio"] or row["video"])
        if path.suffix == ".wav":
            with wave.open(str(path)) as file:
                assert (file.getframerate(), file.getnchannels(), row["video"]) == (RATE, 1, "")
                seconds = file.getnframes() / RATE
        else:
            frames, sound = decode(path, "video"), decode(path, "audio")
            assert frames[0].shape == (144, 144, 3)
            assert (sound is not None) == bool(row["audio"])
            seconds = len(frames) / 10
            if sound is not None:
                heard = sum(chunk.shape[-1] for chunk in sound) / RATE
                assert heard == pytest.approx(seconds, abs=0.2)  # a frame of video and one of AAC
        assert 1.9 <= seconds <= 3.2
    assert lacks == {"transcript": 1, "audio": 1, "video": 1}


def test_spans_follow_the_words_within_the_clip(rows):
    for index, row in enumerate(rows):
        sound, expected = render_audio(0, plan_clip(0, index))
        if not row["transcript"]:
            assert row["spans"] == ""
            continue
        spans = np.array(json.loads(row["spans"]))
        assert spans.tolist() == expected
        assert len(spans) == len(row["transcript"].split())
        assert (spans[:, 0] < spans[:, 1]).all() and (spans[1:, 0] >= spans[:-1, 1]).all()
        assert spans.min() > 0 and spans.max() < len(sound) / RATE
        words = np.concatenate([sound[int(a * RATE) : int(b * RATE)] for a, b in spans])
        silence = np.concatenate([sound[: int(spans[0, 0] * RATE)], sound[int(spans[-1, 1] * RATE) :]])
        assert words.std() > 10 * silence.std()


def test_faces_are_found_in_decoded_clips(corpus, rows):
    found = [FaceDescriptor()(decode(corpus / row["video"], "video")) for row in rows[:6] if row["video"]]
    assert np.isfinite(np.concatenate(found)).all(axis=1).mean() >= 0.9


def test_the_mouth_opens_with_the_voice():
    rates = []
    for index in (0, 1, 2):
        clip = plan_clip(0, index)
        sound, _ = render_audio(0, clip)
        rows = FaceDescriptor()(render_frames(0, clip, sound))
        dark = rows[:, FaceDescriptor().dimension_names.index("mouth.darkness")]
        starts = np.arange(len(rows)) * (RATE // 10)
        level = [np.sqrt(np.mean(sound[max(0, s - 480) : s + 480] ** 2)) for s in starts]
        rates.append(np.corrcoef(dark, level)[0, 1])
    assert np.mean(rates) > 0.5


def test_splits_share_no_speaker_and_have_the_stated_sizes(plans):
    assert Counter(clip.split for clip in plans[:300]) == {"train": 200, "validation": 50, "test": 50}
    speakers = {split: {c.speaker for c in plans if c.split == split} for split in ("train", "validation", "test")}
    assert [len(group) for group in speakers.values()] == [16, 4, 4]
    assert len(set().union(*speakers.values())) == 24


def test_latent_causes_are_balanced_and_sarcasm_is_independent_of_each_modality(plans):
    blocks = [clip for clip in plans if clip.split == "test"][:192]  # whole blocks of 24
    sarcastic = np.array([clip.sarcastic for clip in blocks])
    assert sarcastic.mean() == 1 / 3

    def polarity(clip):
        words = set(clip.transcript.split())
        return int(sum(np.sign(value) * len(words & set(some)) for value, some in ADJECTIVES.items()))

    words = np.array([polarity(clip) for clip in blocks])
    shown = np.array([clip.shown for clip in blocks])
    for value in (-1, 1):
        assert sarcastic[shown == value].mean() == 1 / 3  # voice and face
        assert sarcastic[words == value].mean() == 1 / 3  # text
    for topic in TOPICS:
        assert sarcastic[[clip.topic == topic for clip in blocks]].mean() == 1 / 3
    np.testing.assert_array_equal(sarcastic, words * shown < 0)  # and the two together decide it
    every = np.array([clip.sarcastic for clip in plans])
    for cause in ("strength", "calm", "intensity", "surprised", "sentiment"):
        values = np.array([getattr(clip, cause) for clip in plans], float)
        assert abs(np.corrcoef(values, every)[0, 1]) < 0.09, cause  # three standard errors


def test_emotions_cover_none_one_and_two(plans):
    assert {len(clip.emotions) for clip in plans[:300]} == {0, 1, 2}
    counts = Counter(emotion for clip in plans[:300] for emotion in clip.emotions)
    assert set(counts) == set(EMOTIONS) and min(counts.values()) >= 20
    assert len({word for clip in plans for word in clip.transcript.split()}) < 150


def test_sentiment_follows_what_is_shown(plans):
    sentiment, shown = (np.array([getattr(clip, name) for clip in plans]) for name in ("sentiment", "shown"))
    assert (np.sign(sentiment) == shown).mean() > 0.99
    expected = [c.shown * (1.4 * c.intensity + 0.8 * c.strength) for c in plans]
    assert np.std(sentiment - np.clip(expected, -3, 3)) < 0.2


def test_a_folder_of_someone_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(FileExistsError, match="not a sample corpus"):
        make_sample_corpus(tmp_path, clips=6, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_older_sample_corpus_is_replaced_on_request_and_an_empty_folder_filled(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    make_sample_corpus(folder, clips=7, progress=False)
    with pytest.raises(FileExistsError, match="already holds a sample corpus"):
        make_sample_corpus(folder, clips=6, progress=False)
    make_sample_corpus(folder, clips=6, progress=False, overwrite=True)
    assert len(list((folder / "media").iterdir())) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
    (folder / "media" / "mine.wav").write_bytes(b"a recording of mine")
    with pytest.raises(FileExistsError, match="also holds mine.wav"):
        make_sample_corpus(folder, clips=6, progress=False, overwrite=True)
    assert (folder / "media" / "mine.wav").is_file()


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("mm_affect.data.synthetic.corpus._write_mp4", full)
    with pytest.raises(OSError, match="No space left"):
        make_sample_corpus(tmp_path / "corpus", clips=6, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("argument", "value"), [("clips", 5), ("seed", -1)])
def test_impossible_requests_are_refused(tmp_path, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` is {value}"):
        make_sample_corpus(tmp_path / "corpus", progress=False, **{argument: value})
