# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The sample corpus: generated clips of drawn faces that speak babble, with labels of known causes.

It allows trying every part of mm_affect on real files without a download. It is synthetic: no score measured on it says
anything about people. Its files are those of an own corpus (`manifest.csv`, `corpus.json`, `media/`).

Generative model
----------------
Drawn once per clip, independent of each other unless stated otherwise:

    shown       +1 or -1, half each: whether face and voice are pleased or displeased
    sarcastic   yes in one clip of three, independent of `shown`
    topic       parting, quarrel, food or danger: a quarter each
    strength    1 or 2: weak words (good, liked) or strong ones (wonderful, loved)
    calm        yes in one clip of eight: weak expression
    intensity   uniform in 0.5..1; 0.25 if calm
    surprised   yes in one clip of four
    speaker     one of 24: a voice and a face; the `group` of the clip

`shown`, `sarcastic` and `topic` fill blocks of 24 clips evenly within each split. What follows from them:

    polarity of the words    shown, or -shown if sarcastic
    emotions    happy                if shown = +1 and not calm
                sad, anger, disgust or fear   if shown = -1 and not calm, by topic: parting, quarrel, food, danger
                surprise             if surprised, also beside one of the others
    sentiment   shown * (1.4 * intensity + 0.8 * strength) + noise of deviation 0.15, one decimal, within -3..3
    sarcasm     "sarcastic" or "sincere"

Information in each modality (besides speaker and noise):

    text     topic, strength, polarity: which emotion it would be if displeased, and how strong; never what is shown
    voice    arousal (anger, fear: +0.8; happy: +0.2; calm: -0.2; sad, disgust: -0.8) as pitch, loudness, rate,
             brightness and breath; `shown`, with much noise, as a rising or falling pitch and a shorter or longer
             vocal tract; surprise as a wide pitch range
    face     `shown` and intensity as corners of the mouth; brows lowered (anger, disgust) or oblique (sad, fear);
             surprise as lifted brows and wide eyes. The mouth opens with the loudness of the voice, relative to its
             own maximum, so that the face does not know the arousal.

So sarcasm is independent of the text alone, and of face and voice together: only words against face or voice give it
away. Text alone knows sentiment with a correlation of about 1/3; face and voice know its sign, text adds to its size.
Of nineteen clips one has no video track (a .wav file), one no sound track, one no transcript: about 16 % in all.
"""

import csv
import json
import os
import re
import shutil
import tempfile
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ...vocabulary import EMOTIONS
from .face import SIDE, Expression, draw_face, make_look
from .voice import RATE, Manner, loudness, make_voice, speak


NAME = "mm_affect sample corpus"
CORPUS_FILES = r"manifest\.csv|corpus\.json|media/sample_\d+\.(mp4|wav)"  # the files of the corpus
VERSION = 1  # incremented when the same seed gives different clips
SPEAKERS = 24
FRAME_RATE = 10  # frames per second
SPEAKER_SPLITS = ("train", "train", "train", "train", "validation", "test")  # by speaker number modulo 6

TOPICS = {
    "sad": ("goodbye", "farewell", "letter", "departure"),
    "anger": ("meeting", "bill", "queue", "referee"),
    "disgust": ("soup", "dinner", "cheese", "sandwich"),
    "fear": ("storm", "bridge", "dog", "cave"),
}
ADJECTIVES = {
    +1: ("good", "fine", "nice"),
    +2: ("wonderful", "perfect", "lovely"),
    -1: ("bad", "dull", "poor"),
    -2: ("horrible", "terrible", "dreadful"),
}
VERBS = {+1: ("liked", "enjoyed"), +2: ("loved", "adored"), -1: ("disliked", "minded"), -2: ("hated", "loathed")}
TEMPLATES = (
    "well the {noun} was {adjective} today and i {verb} it",
    "honestly what a {adjective} {noun} we all {verb} it",
    "i think this {noun} is {adjective} and they {verb} it",
    "you know my {noun} looked so {adjective} that i {verb} it",
    "another {adjective} {noun} again and everyone {verb} it",
)
AROUSAL = {"happy": 0.2, "sad": -0.8, "anger": 0.8, "disgust": -0.8, "fear": 0.8, "calm": -0.2}
BROWS = {"sad": 1.0, "anger": -1.0, "disgust": -1.0, "fear": 1.0}


@dataclass(frozen=True)
class ClipPlan:
    """Random variables of a clip before rendering; see the docstring of the module."""

    index: int
    speaker: int
    lacks: str | None
    shown: int
    sarcastic: bool
    topic: str
    strength: int
    calm: bool
    intensity: float
    surprised: bool
    sentiment: float
    transcript: str

    @property
    def id(self) -> str:
        """Id of the clip."""
        return f"sample_{self.index:05d}"

    @property
    def split(self) -> str:
        """Split of the speaker."""
        return SPEAKER_SPLITS[self.speaker % len(SPEAKER_SPLITS)]

    @property
    def main_emotion(self) -> str:
        """Emotion besides surprise, or "calm"."""
        if self.calm:
            return "calm"
        return "happy" if self.shown > 0 else self.topic

    @property
    def emotions(self) -> list[str]:
        """Emotion labels in the order of `EMOTIONS`."""
        present = {self.main_emotion, "surprise" if self.surprised else None}
        return [emotion for emotion in EMOTIONS if emotion in present]


def plan_clip(seed: int, index: int) -> ClipPlan:
    """Draw clip `index` of the corpus `seed`, without its media; it does not depend on the size of the corpus."""
    rng = np.random.default_rng([seed, 0, index])
    split = SPEAKER_SPLITS[index % len(SPEAKER_SPLITS)]
    # The place of the clip in its split, so that every split fills its own blocks of 2 x 3 x 4 combinations.
    place = index // len(SPEAKER_SPLITS) * SPEAKER_SPLITS.count(split) + (
        index % len(SPEAKER_SPLITS) if split == "train" else 0
    )
    order = np.random.default_rng([seed, 1, SPEAKER_SPLITS.index(split), place // 24]).permutation(24)
    cell = int(order[place % 24])
    shown, sarcastic, topic = (1, -1)[cell % 2], cell // 2 % 3 == 0, list(TOPICS)[cell // 6]
    strength = int(rng.integers(1, 3))
    calm = bool(rng.random() < 1 / 8)
    intensity = 0.25 if calm else float(rng.uniform(0.5, 1.0))
    words = (-shown if sarcastic else shown) * strength
    return ClipPlan(
        index=index,
        speaker=index % SPEAKERS,
        lacks={3: "visual", 7: "audio", 11: "text"}.get(index % 19),
        shown=shown,
        sarcastic=sarcastic,
        topic=topic,
        strength=strength,
        calm=calm,
        intensity=intensity,
        surprised=bool(rng.random() < 1 / 4),
        sentiment=round(float(np.clip(shown * (1.4 * intensity + 0.8 * strength) + rng.normal(0, 0.15), -3, 3)), 1),
        transcript=str(rng.choice(TEMPLATES)).format(
            noun=rng.choice(TOPICS[topic]), adjective=rng.choice(ADJECTIVES[words]), verb=rng.choice(VERBS[words])
        ),
    )


def render_audio(seed: int, clip: ClipPlan) -> tuple[np.ndarray, list[list[float]]]:
    """Synthesize the voice of a clip: float32 (samples,) at 16 kHz, and [start, end] in seconds of every word."""
    voice = make_voice(np.random.default_rng([seed, 2, clip.speaker]))
    rng = np.random.default_rng([seed, 3, clip.index])
    manner = Manner(
        arousal=AROUSAL[clip.main_emotion] * (0.6 + 0.4 * clip.intensity) + rng.normal(0, 0.1),
        valence=clip.shown * (0.3 + 0.5 * clip.intensity) + rng.normal(0, 0.4),
        surprise=float(clip.surprised) * rng.uniform(0.7, 1.0),
    )
    return speak(clip.transcript.split(), voice, manner, rng)


def render_frames(seed: int, clip: ClipPlan, sound: np.ndarray):
    """Iterate over the frames of a clip: uint8 (144, 144, 3) RGB at 10 frames per second."""
    look = make_look(np.random.default_rng([seed, 4, clip.speaker]))
    rng = np.random.default_rng([seed, 5, clip.index])
    times = np.arange(round(len(sound) / RATE * FRAME_RATE)) / FRAME_RATE
    phase = rng.uniform(0, 2 * np.pi, size=4)
    # An expression grows over the first 0.6 seconds and then breathes a little.
    course = (0.5 + 0.5 * np.clip(times / 0.6, 0, 1)) * (1 + 0.08 * np.sin(4 * times + phase[0]))
    smile = clip.shown * (0.35 + 0.65 * clip.intensity) + rng.normal(0, 0.15)
    slope = BROWS.get(clip.main_emotion, 0.0) * (0.5 + 0.5 * clip.intensity) + rng.normal(0, 0.08)
    height = (rng.uniform(0.7, 1.0) if clip.surprised else 0.0) + abs(rng.normal(0, 0.05))
    expression = Expression(
        smile=smile * course,
        brow_slope=slope * course,
        brow_height=height * course,
        mouth_open=loudness(sound, times),
        blink=np.exp(-(((times - rng.uniform(0.5, 3.0)) / 0.1) ** 2)),
        x=rng.uniform(-0.06, 0.06) + 0.02 * np.sin(1.7 * times + phase[1]),
        y=rng.uniform(-0.03, 0.05) + 0.015 * np.sin(2.3 * times + phase[2]),
        tilt=rng.normal(0, 0.02) + 0.03 * np.sin(1.3 * times + phase[3]),
    )
    return draw_face(look, expression, rng)


def make_sample_corpus(
    folder: str | os.PathLike,
    clips: int = 300,
    seed: int = 0,
    workers: int = 2,
    progress: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write the sample corpus to `folder`, and return its path.

    Clip i depends on `seed` and i only, not on `clips` or `workers`. The folder appears when it is complete.

    Args:
        folder: folder to write.
        clips: number of clips.
        seed: random seed, from 0.
        workers: number of threads.
        progress: show a progress bar.
        overwrite: replace an earlier sample corpus in `folder`.

    Raises:
        FileExistsError: `folder` has other content, or a sample corpus and not `overwrite`.
        ImportError: PyAV or OpenCV is not installed.
    """
    folder = Path(folder)
    if clips < len(SPEAKER_SPLITS):
        raise ValueError(
            f"`clips` is {clips}; at least {len(SPEAKER_SPLITS)} are needed for every split to have a speaker."
        )
    if seed < 0:
        raise ValueError(f"`seed` is {seed}; give zero or a positive whole number.")
    _check_place(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))
    try:
        partial.chmod(0o755)
        (partial / "media").mkdir()
        with ThreadPoolExecutor(workers) as pool:  # drawing, filtering and encoding leave the interpreter free
            try:
                written = pool.map(lambda index: _write_clip(partial, seed, plan_clip(seed, index)), range(clips))
                rows = list(tqdm(written, total=clips, desc="sample corpus", unit="clip", disable=not progress))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        with open(partial / "manifest.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        (partial / "corpus.json").write_text(json.dumps(_card(clips, seed), indent=2) + "\n", encoding="utf-8")
        _put_in_place(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # nothing is left there after success
    return folder


def _check_place(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        ours = json.loads((folder / "corpus.json").read_text(encoding="utf-8")).get("name") == NAME
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise FileExistsError(f"{folder} exists and is not a sample corpus; give a new folder, or remove that one.")
    inside = (path for path in folder.rglob("*") if not path.is_dir())
    others = [path for path in inside if not re.fullmatch(CORPUS_FILES, path.relative_to(folder).as_posix())]
    if others:
        raise FileExistsError(
            f"{folder} also holds {others[0].name}, which is not of the sample corpus; give a new folder."
        )
    if not overwrite:
        raise FileExistsError(
            f"{folder} already holds a sample corpus; replace it (`--overwrite`, in Python `overwrite=True`), or give a new folder."
        )


def _put_in_place(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old-", dir=folder.parent))
    folder.rename(old)  # onto an empty folder, which a rename replaces
    partial.rename(folder)
    shutil.rmtree(old)


def _card(clips: int, seed: int) -> dict:
    return {
        "name": NAME,
        "synthetic": True,
        "license": "CC0-1.0",
        "citation": None,
        "split_protocol": "by speaker: of every six speakers four train, one is for validation and one for the test",
        "label_fields": [
            {
                "name": "emotion",
                "problem_type": "multi_label_classification",
                "labels": list(EMOTIONS),
                "range": None,
            },
            {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3.0, 3.0]},
            {
                "name": "sarcasm",
                "problem_type": "single_label_classification",
                "labels": ["sincere", "sarcastic"],
                "range": None,
            },
        ],
        "generator": {"version": VERSION, "clips": clips, "seed": seed},
    }


def _write_clip(folder: Path, seed: int, clip: ClipPlan) -> dict:
    """Render and write one clip; return its row of the manifest."""
    sound, spans = render_audio(seed, clip)
    media = f"media/{clip.id}.{'wav' if clip.lacks == 'visual' else 'mp4'}"
    if clip.lacks == "visual":
        _write_wav(folder / media, sound)
    else:
        _write_mp4(folder / media, render_frames(seed, clip, sound), None if clip.lacks == "audio" else sound)
    return {
        "id": clip.id,
        "group": f"speaker_{clip.speaker:02d}",
        "split": clip.split,
        "transcript": "" if clip.lacks == "text" else clip.transcript,
        "spans": "" if clip.lacks == "text" else json.dumps(spans),
        "audio": "" if clip.lacks == "audio" else media,
        "video": "" if clip.lacks == "visual" else media,
        "emotion": "|".join(clip.emotions) or "none",
        "sentiment": clip.sentiment,
        "sarcasm": "sarcastic" if clip.sarcastic else "sincere",
    }


def _write_wav(path: Path, sound: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())


def _write_mp4(path: Path, frames, sound: np.ndarray | None) -> None:
    try:
        import av
    except ImportError as error:
        raise ImportError("Writing the sample corpus needs PyAV: pip install 'mm_affect[video]'") from error
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"preset": "superfast", "crf": "22"})
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        video.thread_count = 1  # the same bytes whatever the machine
        if sound is not None:
            voice = container.add_stream(
                "aac", rate=RATE, layout="mono", bit_rate=64_000, options={"aac_coder": "fast"}
            )
        for frame in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(video.encode())
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            container.mux(voice.encode(frame))
            container.mux(voice.encode())
