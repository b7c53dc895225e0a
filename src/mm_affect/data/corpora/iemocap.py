# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""IEMOCAP: acted dialogues of ten speakers in five sessions (Busso et al. 2008).

Source: the University of Southern California. License: signed for research, no redistribution.

Configurations of the full release, by its majority labels: `four` (neutral, happy, sad, angry; 4,490 utterances),
`four_excited_as_happy` (5,531) and `six` (also excited and frustrated; 7,380). Papers that report 7,433 utterances for six
classes count the feature files of DialogueRNN, which hold 648 happy utterances, while the release has 595. The
configuration `multilabel` is the MulT pickle (2,717/798/938 segments).

Splits: leave one session out. One session is the test split (`fold`, by default 5, as in the papers on dialogues), so its
speakers do not occur in training. Validation is the session before it, or dialogues sampled from the other four.

Labels: the emotion class, and valence, activation and dominance from 1 to 5.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..readers.tables import read_text
from ..record import CorpusRecord, DroppedClip
from .layouts import Corpus, CorpusLayout, LayoutFile, LayoutOption
from .mult_pickle import MultPickleLayout


LICENSE = "IEMOCAP license of the University of Southern California, signed for research; no redistribution"
CITATION = (
    "C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. Chang, S. Lee, S. Narayanan: IEMOCAP: "
    "interactive emotional dyadic motion capture database. Language Resources and Evaluation 42, 2008."
)
CLASSES = {  # configuration -> label of the release -> class
    "four": {"neu": "neutral", "hap": "happy", "sad": "sad", "ang": "angry"},
    "four_excited_as_happy": {"neu": "neutral", "hap": "happy", "exc": "happy", "sad": "sad", "ang": "angry"},
    "six": {"hap": "happy", "sad": "sad", "neu": "neutral", "ang": "angry", "exc": "excited", "fru": "frustrated"},
}
SESSIONS = (1, 2, 3, 4, 5)
IN_RELEASE = {  # utterances of each label in sessions 1 to 5
    "neu": (384, 362, 320, 258, 384),
    "hap": (135, 117, 135, 65, 143),
    "exc": (143, 210, 151, 238, 299),
    "sad": (194, 197, 305, 143, 245),
    "ang": (229, 137, 240, 327, 170),
    "fru": (280, 325, 382, 481, 381),
}
DIMENSIONS = ("valence", "activation", "dominance")
FRAME = 0.01  # seconds per frame of the forced alignment
VALIDATION_FRACTION = 0.1  # fraction of the training dialogues for validation, with validation="dialogues"

Evaluation = tuple[float, float, str, tuple[float, ...]]
_EVALUATION = re.compile(r"^\[([\d.]+)\s*-\s*([\d.]+)\]\s+(\S+)\s+(\S+)\s+\[([^\]]+)\]")
_TRANSCRIPT = re.compile(r"^(Ses\S+)\s+\[[^\]]*\]:\s*(.*)$")
_ALIGNED = re.compile(r"^\s*(\d+)\s+(\d+)\s+-?\d+\s+(\S+)")


class IemocapReleaseLayout(CorpusLayout):
    """Full release of USC: `Session1` to `Session5`, in the folder itself or in its subfolder `IEMOCAP_full_release`.

    Audio is read from the wav file of the sentence. If video is selected and the avi file of the dialogue exists, audio
    and video are read from the files of the dialogue, from `start` to `end`, because they share one pair of times.
    """

    name = "release"
    title = "the full release (Session1 to Session5)"
    shardable = True
    files = (
        LayoutFile("Session?/dialog/EmoEvaluation", "labels and times of the utterances"),
        LayoutFile("Session?/dialog/transcriptions", "transcripts", required=False),
        LayoutFile("Session?/sentences/wav", "audio of each utterance", required=False),
        LayoutFile("Session?/sentences/ForcedAlignment", "times of the words", required=False),
        LayoutFile("Session?/dialog/avi/DivX", "video of each dialogue", required=False),
        LayoutFile("Session?/dialog/wav", "audio of each dialogue", required=False),
    )
    extra_options = {
        "label_set": LayoutOption("classes, and the utterances that have one of them", "four", tuple(CLASSES)),
        "fold": LayoutOption("number of the test session", 5, SESSIONS),
        "validation": LayoutOption(
            "validation split: the session before the test session, dialogues sampled from the other four, or none",
            "session",
            ("session", "dialogues", "none"),
        ),
    }

    @staticmethod
    def find_files(folder: Path, file: LayoutFile) -> list[Path]:
        """Return the paths that match `file` in the folder or in its subfolder `IEMOCAP_full_release`."""
        return CorpusLayout.find_files(folder, file) or CorpusLayout.find_files(
            Path(folder) / "IEMOCAP_full_release", file
        )

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        fold, method = self.options["fold"], self.options["validation"]
        validation = {
            "session": f"session {self._validation_session}",
            "dialogues": f"{VALIDATION_FRACTION:.0%} of the other dialogues, drawn with seed {fold}",
            "none": "none",
        }[method]
        return CorpusRecord(
            "IEMOCAP",
            license=LICENSE,
            citation=CITATION,
            label_fields=self._label_fields(),
            split_protocol={
                "name": f"leave one session out: test is session {fold}",
                "validation": validation,
                "groups_may_cross": method == "dialogues",
            },
            counts=dict(self._documented_counts()),
        )

    def rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        for dialogue in self.select_shard(path for path, assigned in self._splits.items() if assigned == split):
            yield from self._dialogue_rows(dialogue)

    @property
    def _validation_session(self) -> int:
        return (self.options["fold"] - 2) % 5 + 1

    @cached_property
    def _splits(self) -> dict[Path, str]:
        """Return evaluation file of a dialogue -> split, in order."""
        fold, method = self.options["fold"], self.options["validation"]
        dialogues = [
            path
            for folder in self.find_files(self.folder, self.files[0])
            for path in sorted(folder.glob("Ses*.txt"))
            if folder.parent.parent.name.removeprefix("Session").isdecimal()
        ]
        others = [path for path in dialogues if _get_session(path) != fold]
        chosen: set[Path] = set()
        if method == "session":
            chosen = {path for path in others if _get_session(path) == self._validation_session}
        elif method == "dialogues" and others:
            sampled = np.random.default_rng(fold).permutation(len(others))[
                : max(1, round(VALIDATION_FRACTION * len(others)))
            ]
            chosen = {others[i] for i in sampled}
        return {
            path: "test" if _get_session(path) == fold else "validation" if path in chosen else "train"
            for path in dialogues
        }

    def _documented_counts(self) -> dict[str, int]:
        sessions = {s: sum(IN_RELEASE[label][s - 1] for label in CLASSES[self.options["label_set"]]) for s in SESSIONS}
        counts = {"train": sum(sessions.values()), "validation": 0, "test": sessions[self.options["fold"]]}
        counts["train"] -= counts["test"]
        if self.options["validation"] == "session":
            counts["validation"] = sessions[self._validation_session]
        elif self.options["validation"] == "dialogues":  # their sum is documented
            sampled = [path for path, split in self._splits.items() if split == "validation"]
            kept = CLASSES[self.options["label_set"]]
            counts["validation"] = sum(line[2] in kept for path in sampled for line in read_evaluation(path).values())
        counts["train"] -= counts["validation"]
        return {split: count for split, count in counts.items() if count}

    def _label_fields(self) -> list[LabelField]:
        emotion = LabelField("emotion", "single_label_classification", tuple(self._classes))
        return [emotion, *(LabelField(name, "regression") for name in DIMENSIONS)]

    @property
    def _classes(self) -> list[str]:
        return list(dict.fromkeys(CLASSES[self.options["label_set"]].values()))

    def _dialogue_rows(self, evaluation: Path) -> Iterator[dict]:
        dialogue, session = evaluation.stem, evaluation.parents[2]
        spoken = read_transcriptions(session / "dialog" / "transcriptions" / f"{dialogue}.txt")
        lines = read_evaluation(evaluation)
        kept = CLASSES[self.options["label_set"]]
        audio_folder = session / "sentences" / "wav" / dialogue
        self.report("clip_without_label", len({path.stem for path in audio_folder.glob("Ses*.wav")} - set(lines)))
        for utterance, (start, end, label, dimensions) in lines.items():
            if label not in kept:
                reason = f"its label `{label}` is not in the configuration {self.options['label_set']}"
                self.dropped.append(DroppedClip(utterance, reason))
                continue
            row: dict = {"id": utterance, "group": _get_speaker(utterance), "transcript": None, "spans": None}
            if "text" in self.options["modalities"]:
                row["transcript"] = spoken.get(utterance)
                if row["transcript"]:
                    row["spans"] = self._read_spans(session, dialogue, utterance, row["transcript"])
                else:
                    self.reported["no_transcript"] += 1
            row |= self._get_media(session, dialogue, utterance, start, end)
            if row["transcript"] is None and row["audio_file"] is None and row["video_file"] is None:
                self.dropped.append(DroppedClip(utterance, "it has neither a transcript nor media"))
                continue
            labels = {"emotion": self._classes.index(kept[label])} | dict(zip(DIMENSIONS, dimensions, strict=True))
            self.report("out_of_range", int(any(not 1 <= value <= 5 for value in dimensions)))
            yield row | {"labels": labels}

    def _get_media(self, session: Path, dialogue: str, utterance: str, start: float, end: float) -> dict:
        modalities = self.options["modalities"]
        whole = session / "dialog" / "wav" / f"{dialogue}.wav"
        sentence = session / "sentences" / "wav" / dialogue / f"{utterance}.wav"
        video = session / "dialog" / "avi" / "DivX" / f"{dialogue}.avi"
        media: dict = {"audio_file": None, "video_file": None, "start": None, "end": None}
        if "visual" in modalities and video.is_file():
            media |= {"video_file": str(video), "start": start, "end": end}
            if "audio" in modalities and whole.is_file():  # otherwise the audio track of the avi is read
                media["audio_file"] = str(whole)
        elif "audio" in modalities and sentence.is_file():
            media["audio_file"] = str(sentence)
        elif {"audio", "visual"} & set(modalities):
            self.reported["no_media"] += 1
        return media

    def _read_spans(self, session: Path, dialogue: str, utterance: str, transcript: str) -> list[list[float]] | None:
        path = session / "sentences" / "ForcedAlignment" / dialogue / f"{utterance}.wdseg"
        if not path.is_file():
            self.reported["no_word_times"] += 1
            return None
        spans = word_spans(transcript, read_alignment(path))
        if spans is None:
            self.reported["words_differ_from_alignment"] += 1
        return spans


def read_evaluation(path: Path) -> dict[str, Evaluation]:
    """Read an evaluation file of a dialogue.

    Returns:
        Utterance -> (start and end in seconds of the dialogue, label, (valence, activation, dominance)).

    Raises:
        ValueError: if a line is malformed, an utterance is repeated, or there is no evaluation line.
    """
    evaluations: dict[str, Evaluation] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        match = _EVALUATION.match(line)
        if match is None:
            continue  # votes of individual annotators, headings, blank lines
        utterance, label = match[3], match[4]
        try:
            values = tuple(float(value) for value in match[5].split(","))
            start, end = float(match[1]), float(match[2])
        except ValueError:
            values = ()
        if len(values) != 3 or not start < end:
            raise ValueError(
                f"{path} line {number}: expected `[start - end] utterance label [v, a, d]`, found {line!r}."
            )
        if utterance in evaluations:
            raise ValueError(f"{path} line {number}: utterance {utterance} is repeated; download the file again.")
        evaluations[utterance] = (start, end, label, values)
    if not evaluations:
        raise ValueError(f"{path} holds no evaluation lines; expected `[start - end] utterance label [v, a, d]`.")
    return evaluations


def read_transcriptions(path: Path) -> dict[str, str]:
    """Read the transcripts of a dialogue, utterance -> text; empty if there is no file."""
    matches = map(_TRANSCRIPT.match, read_text(path).splitlines()) if path.is_file() else ()
    return {match[1]: " ".join(match[2].split()) for match in matches if match}


def read_alignment(path: Path) -> list[tuple[str, float, float]]:
    """Read a forced alignment as (word, start, end) in seconds of the sentence, without silence, noise and end markers."""
    words = []
    for line in read_text(path).splitlines():
        match = _ALIGNED.match(line)
        if match and match[3][0] not in "<+":
            start, end = int(match[1]) * FRAME, (int(match[2]) + 1) * FRAME  # the last frame is part of the word
            words.append(
                (re.sub(r"\(\d+\)$", "", match[3]), round(start, 2), round(end, 2))
            )  # `THE(2)` is a pronunciation variant
    return words


def word_spans(transcript: str, aligned: list[tuple[str, float, float]]) -> list[list[float]] | None:
    """Return the start and end of every word of `transcript.split()`, or None if the aligned words differ.

    Tokens that are not words (`--`, `[LAUGHTER]`) have zero length, at the end of the previous word.
    """
    remaining, now = list(reversed(aligned)), 0.0
    spans: list[list[float]] = []
    for token in re.sub(r"\[[^\]]*\]", lambda noise: re.sub(r"\S", "-", noise[0]), transcript).split():
        spoken = _normalize_word(token)
        if not spoken:
            spans.append([now, now])
            continue
        if not remaining or _normalize_word(remaining[-1][0]) != spoken:
            return None
        _, start, now = remaining.pop()
        spans.append([start, now])
    return None if remaining else spans


def _normalize_word(word: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", word.upper())


def _get_session(evaluation: Path) -> int:
    return int(evaluation.parents[2].name.removeprefix("Session"))


def _get_speaker(utterance: str) -> str:
    """Return `Ses01F` for `Ses01M_impro01_F003`: the last letter is the speaker, the first who wore motion markers."""
    return utterance[:5] + utterance.rsplit("_", 1)[1][0]


class IemocapMultLayout(MultPickleLayout):
    """MulT pickles of IEMOCAP: the presence of four emotions, in segments that the files do not identify."""

    stem = "iemocap"
    about = CorpusRecord(
        "IEMOCAP",
        license=LICENSE,
        citation=CITATION,
        split_protocol={
            "name": "the splits of the MulT pickle; its clips name no speaker",
            "groups_may_cross": True,
        },
    )
    label_field = LabelField(
        "emotion", "multi_label_classification", ("neutral", "happy", "sad", "angry"), range=(0.0, 1.0)
    )
    counts = {"train": 2717, "validation": 798, "test": 938}


CORPUS = Corpus(
    name="iemocap",
    title="IEMOCAP",
    license=LICENSE,
    citation=CITATION,
    access="Sign the license at https://sail.usc.edu/iemocap/iemocap_release.htm and the University sends a link.",
    layouts=(IemocapReleaseLayout, IemocapMultLayout),
    configs={name: {"layout": "release", "label_set": name} for name in CLASSES}
    | {"multilabel": {"layout": "mult_pickle"}},
    counts={"four": 4490, "four_excited_as_happy": 5531, "six": 7380, "multilabel": 4453},
)
