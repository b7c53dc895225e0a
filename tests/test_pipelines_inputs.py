# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Every form in which a clip may be given to the pipeline, clips together, and the pipeline saved. The model is untrained."""

import itertools
import re
import sys
import types
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import torch
from corpora import sample_corpus, write_video, write_wav
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from mm_affect import AffectProcessor, AffectRecognitionPipeline, FusionConfig, FusionForAffect, Task
from mm_affect.features.faces import FaceDescriptor
from mm_affect.features.log_mel import LogMelExtractor
from mm_affect.features.media import iter_frames, probe, read_audio
from mm_affect.features.word_vectors import HashedWordVectors
from mm_affect.inference import pipeline as pipelines
from mm_affect.inference.pipeline_inputs import build_row, sample_frames


TASKS = [
    Task("sentiment", "regression"),
    Task("sarcasm", "single_label_classification", ("sincere", "sarcastic")),
    Task("emotion", labels=("happy", "sad")),
]


@pytest.fixture(scope="module")
def recognizer():
    extractors = {"text": HashedWordVectors(), "audio": LogMelExtractor(), "visual": FaceDescriptor(rate=5.0)}
    processor = AffectProcessor.from_extractors(extractors)
    torch.manual_seed(0)
    sizes = {"early_size": 8, "late_sizes": {"text": 6, "audio": 6, "visual": 6}}
    model = FusionForAffect(FusionConfig(feature_sizes=processor.feature_sizes, tasks=TASKS, **sizes)).eval()
    return AffectRecognitionPipeline(model=model, processor=processor)


@pytest.fixture(scope="module")
def video():
    """A clip with a face and a voice."""
    heard = (path for path in (sample_corpus() / "media").glob("*.mp4") if probe(path).has_audio)
    return str(min(heard, key=lambda path: path.stat().st_size))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    seconds = (0.5, 3.0, 1.0, 2.0, 0.2)
    sounds = [str(write_wav(folder / f"{i}.wav", length)) for i, length in enumerate(seconds)]
    return [*sounds, {"text": "well, what a day"}, {"audio": sounds[0], "text": "no"}]


def without_source(found: dict) -> dict:
    return {name: value for name, value in found.items() if name != "source"}


def predict_logits(recognizer, inputs, **options) -> list[dict]:
    """What the pipeline answers before it rounds: per clip and task `(rows, outputs)`."""
    kept, postprocess = [], recognizer.postprocess
    recognizer.postprocess = lambda output: kept.append(stacked(output.logits)) or postprocess(output)
    try:
        recognizer(inputs, **options)
    finally:
        del recognizer.postprocess
    return kept


def stacked(logits: tuple[dict, ...]) -> dict:
    return {task: torch.from_numpy(np.stack([row[task] for row in logits])) for task in logits[0]}


# one clip in many forms -------------------------------------------------------------------------------------------


def test_a_file_by_its_path_and_by_its_bytes(recognizer, video):
    content = Path(video).read_bytes()
    found = recognizer(video)
    assert found["source"] == video and all(found["steps"][m] for m in ("audio", "visual"))
    for clip in (content, bytearray(content), {"bytes": content, "path": None}, {"video": {"bytes": content}}):
        again = recognizer(clip)
        assert again["source"] == "media" and without_source(again) == without_source(found)
    for clip in ({"bytes": None, "path": video}, {"video": video}, {"path": video}):
        assert recognizer(clip) == found
    assert recognizer({"video": content, "id": "interview"})["source"] == "interview"


def test_a_waveform_in_every_form(recognizer, tmp_path):
    path = write_wav(tmp_path / "a.wav", 1.3)
    expected = without_source(recognizer(str(path)))
    assert expected["steps"] == {"text": 0, "audio": 26, "visual": 0}
    samples = read_audio(path)
    stereo, integers = np.stack([samples * 0.5, samples * 1.5]), (samples * 32768).astype(np.int16)
    forms = [samples, samples.astype(np.float64), torch.from_numpy(samples), stereo, stereo.T, integers]
    forms += [{key: samples, "sampling_rate": 16000} for key in ("array", "raw")]
    forms += [{"path": "gone.wav", "array": samples.tolist(), "sampling_rate": 16000}]
    for form in forms:
        for clip in (form, {"audio": form}):
            found = recognizer(clip)
            assert found["source"] == "waveform" and without_source(found) == expected


def test_a_waveform_of_another_rate_is_what_the_file_of_that_rate_is(recognizer, tmp_path):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 33075)
    soundfile.write(tmp_path / "a.wav", samples, 22050, subtype="FLOAT")
    row, _ = build_row({"array": samples, "sampling_rate": 22050}, recognizer.processor)
    expected = recognizer.processor.extract({"audio_file": str(tmp_path / "a.wav")})["audio"]
    np.testing.assert_allclose(row["audio"], expected, atol=1e-3)


def test_frames_are_what_their_video_is(recognizer, video):
    frames = list(iter_frames(video, 5))
    found = recognizer({"video": video, "text": "well"}, modalities=["text", "visual"])
    for form in (np.stack(frames), frames, [Picture(frame) for frame in frames]):
        again = recognizer({"video": {"frames": form, "fps": 5}, "text": "well"})
        assert again["source"] == "frames" and without_source(again) == without_source(found)
    assert recognizer({"frames": frames, "fps": 5})["steps"] == found["steps"] | {"text": 0}


class Picture:
    """As of PIL, which need not be installed: it converts itself."""

    def __init__(self, pixels):
        self.pixels = pixels

    def convert(self, mode):
        assert mode == "RGB"
        return self.pixels


def test_decoded_sound_and_frames_together_are_what_their_file_is(recognizer, video):
    sound, frames = (
        {"array": read_audio(video), "sampling_rate": 16000},
        {"frames": list(iter_frames(video, 5)), "fps": 5},
    )
    options = {"window": 1.0, "hop": 0.5}
    found = recognizer({"video": frames, "audio": sound, "text": "well"}, **options)
    expected = recognizer({"video": video, "text": "well"}, **options)
    assert len(found["timeline"]) > 2 and without_source(found) == without_source(expected)


@pytest.mark.parametrize(("frames", "fps", "rate", "expected"), [
    (4, 10, 10, [0, 1, 2, 3]),
    (6, 30, 10, [0, 3]),
    (3, 5, 10, [0, 0, 1, 1, 2, 2]),
    (7, 3, 2, [0, 1, 3, 4, 6]),
    (1, 25, 10, [0]),
])  # fmt: skip
def test_the_frame_on_the_screen_counts(frames, fps, rate, expected):
    assert [int(frame) for frame in sample_frames(np.arange(frames), fps, rate)] == expected


def test_what_is_not_read_is_not_decoded(recognizer, video):
    only = recognizer({"video": {"frames": "nonsense", "fps": 1}, "text": "well"}, modalities=["text"])
    assert only["steps"] == {"text": 1, "audio": 0, "visual": 0}
    audio = recognizer({"audio": read_audio(video), "video": video}, modalities=["audio"])
    assert audio["tasks"] == recognizer(video, modalities=["audio"])["tasks"]


def test_given_sound_is_preferred_to_that_of_the_video(recognizer, video, tmp_path):
    sound, longer = str(write_wav(tmp_path / "a.wav")), str(write_wav(tmp_path / "b.wav", 1.0))
    for clip in (
        {"video": video, "audio": sound},
        {"video": longer, "audio": sound},
        {"video": video, "audio": read_audio(sound)},
    ):
        assert recognizer(clip)["steps"]["audio"] == 10


# clips together ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"window": 1.0}, {"window": 1.0, "hop": 0.5, "modalities": ["audio", "text"]}]
)
def test_together_as_one_by_one(recognizer, clips, options):
    alone = [predict_logits(recognizer, clip, **options)[0] for clip in clips]
    for size in (1, 3, 7, 50):
        together = predict_logits(recognizer, clips, batch_size=size, **options)
        assert len(together) == len(clips)
        for found, expected in zip(together, alone, strict=True):
            for task, values in expected.items():
                torch.testing.assert_close(found[task], values, rtol=1e-6, atol=1e-6)


def test_a_batch_is_one_pass(recognizer, clips):
    rows = []
    hook = recognizer.model.register_forward_pre_hook(
        lambda m, a, inputs: rows.append(len(inputs["audio"])), with_kwargs=True
    )
    try:
        found = recognizer(clips, batch_size=4)
    finally:
        hook.remove()
    assert rows == [4, 3] and [answer["source"] for answer in found[:5]] == clips[:5]


def test_clips_too_long_for_one_pass_are_answered_in_several(recognizer, clips, monkeypatch):
    expected = predict_logits(recognizer, clips, batch_size=7)
    monkeypatch.setattr(pipelines, "MAX_BATCH_STEPS", 120)  # the longest of the clips has 60 steps
    rows = []
    hook = recognizer.model.register_forward_pre_hook(
        lambda m, a, inputs: rows.append(len(inputs["audio"])), with_kwargs=True
    )
    try:
        found = predict_logits(recognizer, clips, batch_size=7)
    finally:
        hook.remove()
    assert rows == [2, 2, 2, 1]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_lists_columns_and_generators(recognizer, clips):
    sounds = clips[:3]
    expected = [recognizer(clip) for clip in sounds]
    assert recognizer(sounds) == recognizer(tuple(sounds)) == expected and recognizer([]) == []
    column = datasets.Dataset.from_dict({"sound": sounds})["sound"]
    assert recognizer(column, batch_size=2) == expected
    encoded = datasets.Dataset.from_dict({"sound": sounds}).cast_column("sound", datasets.Audio(decode=False))
    assert recognizer(encoded["sound"]) == expected
    of_torch = recognizer(KeyDataset(datasets.Dataset.from_dict({"sound": sounds}), "sound"), batch_size=2)
    assert isinstance(of_torch, types.GeneratorType) and list(of_torch) == expected
    read = []
    answers = recognizer((read.append(clip) or clip for clip in itertools.cycle(sounds)), batch_size=2)
    assert isinstance(answers, types.GeneratorType)
    assert [next(answers) for _ in range(4)] == [*expected, expected[0]]
    assert len(read) <= 5


def test_a_clip_that_cannot_be_read_is_named_by_its_place(recognizer, clips, tmp_path):
    (tmp_path / "a.mp4").write_text("words")
    (tmp_path / "empty.wav").touch()
    codec = write_video(tmp_path / "b.mp4").read_bytes().replace(b"avc1", b"zzzz")
    for wrong, reason in (
        (str(tmp_path / "a.mp4"), r"The media file .*a.mp4 is not media"),
        (str(tmp_path / "empty.wav"), r"The media file .*empty.wav is empty \(0 bytes\)"),
        (str(tmp_path / "none.wav"), r"The media file .*none.wav does not exist"),
        (b"words, words", "The media in memory is not media"),
        (b"", r"The media in memory is empty"),
        (codec, "The media in memory cannot be decoded here: the codec of its video track is unknown"),
        (np.zeros(100), "waveform: nothing to read"),
        ({"text": ""}, "transcript: nothing to read"),
    ):
        with pytest.raises(ValueError, match=rf"^Input 1 \(the first is 0\): {reason}") as caught:
            recognizer([clips[0], wrong, clips[1]], batch_size=2)
        assert str(caught.value).count("\n") == 0
        with pytest.raises(ValueError, match=f"^{reason}"):
            recognizer(wrong)


@pytest.mark.parametrize(("wrong", "sentence"), [
    ("https://example.org/clip.mp4", "https://example.org/clip.mp4 is a URL, and this pipeline does not access the network; download the file"),
    ({"audio": "s3://bucket/a.wav"}, "s3://bucket/a.wav is a URL"),
    (3, "A clip is a int; expected the path of a media file, its bytes"),
    ({"audio": 3}, "`audio` is a int; expected"),
    ({"video": {"path": None}}, "`video` is a NoneType; expected"),
    ({"audio": {"frames": [], "fps": 3}}, "`audio` is a dict of frames, fps; expected"),
    ({"video": {"wave": 3}}, "`video` is a dict of wave; expected"),
    ({"smell": 3, "text": "well"}, "Unknown input 'smell'; expected some of text, audio, video, spans, id"),
    (np.zeros((61, 200)), r"A waveform has shape \(61, 200\); expected \(samples,\), or two axes of which one is up to 8"),
    (np.zeros((3, 8, 8, 3), np.uint8), r"shape \(3, 8, 8, 3\).*frames are given as"),
    (np.zeros(0), r"A waveform has shape \(0,\)"),
    (np.zeros(9, np.uint8), "A waveform is of uint8; expected floats"),
    ({"array": np.zeros(9), "sampling_rate": 0}, "`sampling_rate` of the audio is 0; give samples per second"),
    ({"array": np.zeros(9)}, "`sampling_rate` of the audio is None; give samples per second"),
    ({"text": 5}, "`text` is a int; expected the transcript"),
    ({"array": [0, 12000, -12000], "sampling_rate": 16000}, "A waveform is of int64; expected floats"),
    (np.array([0.0, 12000.0]), "A waveform of floats reaches 12000; expected -1 to 1"),
    (np.full(900, np.nan), "900 samples that are NaN or infinite"),
    ({"array": np.zeros(9), "sampling_rate": -1}, "`sampling_rate` of the audio is -1; give samples per second"),
    ({"frames": [np.zeros((8, 8, 3), np.uint8)]}, "`fps` of the frames is None; give the frames per second"),
    ({"frames": [], "fps": 5}, "`frames` is empty; give at least one frame"),
    ({"frames": [np.zeros((8, 8))], "fps": 5}, r"A frame is float64 \(8, 8\); expected are uint8"),
])  # fmt: skip
def test_other_forms_are_refused_in_one_sentence(recognizer, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        recognizer(wrong)


def test_workers_and_empty_batches_are_refused(recognizer, clips):
    with pytest.raises(ValueError, match="`num_workers` is 2, but this pipeline reads clips in its own process"):
        recognizer(clips, num_workers=2)
    with pytest.raises(ValueError, match="`batch_size` is 0; it must be a positive whole number"):
        recognizer(clips, batch_size=0)


def test_missing_packages_are_named_with_their_extra(recognizer, video, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'mm_affect[video]'")):
        recognizer({"frames": [np.zeros((8, 8, 3), np.uint8)], "fps": 5})
    monkeypatch.setitem(sys.modules, "av", None)
    for clip in (video, [video]):
        with pytest.raises(ImportError, match=re.escape("pip install 'mm_affect[audio,video]'")):
            recognizer(clip)


def test_what_the_pipeline_was_made_with_holds_for_every_call(recognizer, clips):
    made = pipeline("affect-recognition", model=recognizer.model, processor=recognizer.processor, window=1.0)
    assert made(clips[1]) == recognizer(clips[1], window=1.0) and len(made(clips[1])["timeline"]) == 3
    assert made(clips[1], hop=0.5) == recognizer(clips[1], window=1.0, hop=0.5)
    assert made(clips[1], window=2.0) == recognizer(clips[1], window=2.0)


# saved ------------------------------------------------------------------------------------------------------------


def test_saved_with_its_processor_it_gives_the_same_numbers(recognizer, clips, tmp_path):
    recognizer.save_pretrained(tmp_path / "saved")
    loaded = pipeline("affect-recognition", model=str(tmp_path / "saved"), batch_size=3)
    assert type(loaded) is AffectRecognitionPipeline
    for found, expected in zip(
        predict_logits(loaded, clips), predict_logits(recognizer, clips, batch_size=3), strict=True
    ):
        assert all(torch.equal(found[task], values) for task, values in expected.items())
