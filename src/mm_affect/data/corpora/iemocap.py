# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""IEMOCAP: acted dialogues of ten speakers in five sessions (Busso et al. 2008), from the release of USC.

Class configurations of the release, by its majority labels: `four` (neutral, happy, sad, angry: 4,490 utterances),
`four_excited_as_happy` (5,531) and `six` (also excited and frustrated: 7,380). Papers that print 7,433 for the six
classes count feature files (those of DialogueRNN), which hold 648 happy utterances where the release labels 595. The
fourth configuration, `multilabel`, is the MulT pickle (2,717/798/938).

Split protocol: one session is the test split (`fold`, 5 by default, as in the papers on dialogues), so its speakers
were never heard in training. Validation is the session before it, or dialogues drawn from the other four.
"""

import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..record import CorpusRecord, DroppedClip
from .layouts import Corpus, CorpusLayout, LayoutFile, LayoutOption
from .mult_pickle import MultPickleLayout


LICENSE = "IEMOCAP license of the University of Southern California, signed for research; no redistribution"
CITATION = (
    "C. Busso, M. Bulut, C.-C. Lee, A. Kazemzadeh, E. Mower, S. Kim, J. Chang, S. Lee, S. Narayanan: IEMOCAP: "
    "interactive emotional dyadic motion capture database. Language Resources and Evaluation 42, 2008."
)
CLASSES = {  # label of the release -> class, for every configuration
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
DRAWN = 0.1  # share of the training dialogues that validation takes when it is drawn by dialogue

_EVALUATION = re.compile(r"^\[([\d.]+)\s*-\s*([\d.]+)\]\s+(\S+)\s+(\S+)\s+\[([^\]]+)\]")
_TRANSCRIPT = re.compile(r"^(Ses\S+)\s+\[[^\]]*\]:\s*(.*)$")
_ALIGNED = re.compile(r"^\s*(\d+)\s+(\d+)\s+-?\d+\s+(\S+)")


class IemocapReleaseLayout(CorpusLayout):
    """The full release: `Session1` to `Session5`, in the folder itself or in `IEMOCAP_full_release` below it.

    Sound comes from the sentence's own wav. Where pictures are wanted and the dialogue's avi is there, both come from
    the files of the dialogue, from `start` to `end`: a row has one pair of times for both.
    """

    name = "release"
    title = "the full release (Session1 to Session5)"
    shardable = True
    files = (
        LayoutFile("Session?/dialog/EmoEvaluation", "labels and times of the utterances"),
        LayoutFile("Session?/dialog/transcriptions", "what is said", required=False),
        LayoutFile("Session?/sentences/wav", "sound of each utterance", required=False),
        LayoutFile("Session?/sentences/ForcedAlignment", "times of the words", required=False),
        LayoutFile("Session?/dialog/avi/DivX", "pictures of each dialogue", required=False),
        LayoutFile("Session?/dialog/wav", "sound of each dialogue", required=False),
    )
    extra_options = {
        "label_set": LayoutOption("which utterances and classes", "four", tuple(CLASSES)),
        "fold": LayoutOption("the session that is the test split", 5, SESSIONS),
        "validation": LayoutOption(
            "the session before the test session, dialogues drawn from the other four, or none",
            "session",
            ("session", "dialogues", "none"),
        ),
    }

    @staticmethod
    def find_files(folder: Path, wanted: LayoutFile) -> list[Path]:
        """Like `CorpusLayout.find_files`, one folder further down if the release was unpacked with its own folder."""
        return CorpusLayout.find_files(folder, wanted) or CorpusLayout.find_files(
            Path(folder) / "IEMOCAP_full_release", wanted
        )

    def describe(self) -> CorpusRecord:
        fold, way = self.options["fold"], self.options["validation"]
        validation = {
            "session": f"session {self._validation_session}",
            "dialogues": f"{DRAWN:.0%} of the other dialogues, drawn with seed {fold}",
            "none": "none",
        }[way]
        return CorpusRecord(
            "IEMOCAP",
            license=LICENSE,
            citation=CITATION,
            label_fields=self._label_fields(),
            split_protocol={
                "name": f"leave one session out: test is session {fold}",
                "validation": validation,
                "groups_may_cross": way == "dialogues",
            },
            counts=dict(self._documented_counts()),
        )

    def rows(self, split: str) -> Iterator[dict]:
        for dialogue in self.select_shard(path for path, home in self._splits.items() if home == split):
            yield from self._dialogue_rows(dialogue)

    # splits and counts --------------------------------------------------------------------------------------------

    @property
    def _validation_session(self) -> int:
        return (self.options["fold"] - 2) % 5 + 1

    @cached_property
    def _splits(self) -> dict[Path, str]:
        """The evaluation file of every dialogue, in order, and the split that the dialogue is in."""
        fold, way = self.options["fold"], self.options["validation"]
        dialogues = [
            path
            for folder in self.find_files(self.folder, self.files[0])
            for path in sorted(folder.glob("Ses*.txt"))
            if folder.parent.parent.name.removeprefix("Session").isdecimal()
        ]
        others = [path for path in dialogues if _session(path) != fold]
        chosen = set()
        if way == "session":
            chosen = {path for path in others if _session(path) == self._validation_session}
        elif way == "dialogues" and others:
            drawn = np.random.default_rng(fold).permutation(len(others))[: max(1, round(DRAWN * len(others)))]
            chosen = {others[i] for i in drawn}
        return {
            path: "test" if _session(path) == fold else "validation" if path in chosen else "train"
            for path in dialogues
        }

    def _documented_counts(self) -> dict[str, int]:
        sessions = {s: sum(IN_RELEASE[label][s - 1] for label in CLASSES[self.options["label_set"]]) for s in SESSIONS}
        counts = {"train": sum(sessions.values()), "validation": 0, "test": sessions[self.options["fold"]]}
        counts["train"] -= counts["test"]
        if self.options["validation"] == "session":
            counts["validation"] = sessions[self._validation_session]
        elif self.options["validation"] == "dialogues":  # the draw decides how many; together they are documented
            drawn = [path for path, split in self._splits.items() if split == "validation"]
            kept = CLASSES[self.options["label_set"]]
            counts["validation"] = sum(line[2] in kept for path in drawn for line in read_evaluation(path).values())
        counts["train"] -= counts["validation"]
        return {split: count for split, count in counts.items() if count}

    def _label_fields(self) -> list[LabelField]:
        emotion = LabelField("emotion", "single_label_classification", tuple(self._classes))
        return [emotion, *(LabelField(name, "regression") for name in DIMENSIONS)]

    @property
    def _classes(self) -> list[str]:
        return list(dict.fromkeys(CLASSES[self.options["label_set"]].values()))

    # rows -----------------------------------------------------------------------------------------------------------

    def _dialogue_rows(self, evaluation: Path) -> Iterator[dict]:
        dialogue, session = evaluation.stem, evaluation.parents[2]
        spoken = read_transcriptions(session / "dialog" / "transcriptions" / f"{dialogue}.txt")
        lines = read_evaluation(evaluation)
        kept = CLASSES[self.options["label_set"]]
        sound = session / "sentences" / "wav" / dialogue
        unlabeled = {path.stem for path in sound.glob("Ses*.wav")} - set(lines)
        self.reported.update({"clip_without_label": len(unlabeled)} if unlabeled else {})
        for utterance, (start, end, label, dimensions) in lines.items():
            if label not in kept:
                reason = f"its label `{label}` is not in the configuration {self.options['label_set']}"
                self.dropped.append(DroppedClip(utterance, reason))
                continue
            row = {"id": utterance, "group": _speaker(utterance), "transcript": None, "spans": None}
            if "text" in self.options["modalities"]:
                row["transcript"] = spoken.get(utterance)
                if row["transcript"]:
                    row["spans"] = self._spans(session, dialogue, utterance, row["transcript"])
                else:
                    self.reported["no_transcript"] += 1
            row |= self._media(session, dialogue, utterance, start, end)
            if row["transcript"] is None and row["audio_file"] is None and row["video_file"] is None:
                self.dropped.append(DroppedClip(utterance, "neither transcript nor media of it are there"))
                continue
            labels = {"emotion": self._classes.index(kept[label])} | dict(zip(DIMENSIONS, dimensions, strict=True))
            self.reported.update({"out_of_range": 1} if any(not 1 <= value <= 5 for value in dimensions) else {})
            yield row | {"labels": labels}

    def _media(self, session: Path, dialogue: str, utterance: str, start: float, end: float) -> dict:
        wanted = self.options["modalities"]
        whole = session / "dialog" / "wav" / f"{dialogue}.wav"
        sentence = session / "sentences" / "wav" / dialogue / f"{utterance}.wav"
        pictures = session / "dialog" / "avi" / "DivX" / f"{dialogue}.avi"
        media = {"audio_file": None, "video_file": None, "start": None, "end": None}
        if "visual" in wanted and pictures.is_file():
            media |= {"video_file": str(pictures), "start": start, "end": end}
            if "audio" in wanted and whole.is_file():  # without it the sound of the avi is taken
                media["audio_file"] = str(whole)
        elif "audio" in wanted and sentence.is_file():
            media["audio_file"] = str(sentence)
        elif {"audio", "visual"} & set(wanted):
            self.reported["no_media"] += 1
        return media

    def _spans(self, session: Path, dialogue: str, utterance: str, transcript: str) -> list[list[float]] | None:
        path = session / "sentences" / "ForcedAlignment" / dialogue / f"{utterance}.wdseg"
        if not path.is_file():
            self.reported["no_word_times"] += 1
            return None
        spans = word_spans(transcript, read_alignment(path))
        if spans is None:
            self.reported["words_differ_from_alignment"] += 1
        return spans


def read_evaluation(path: Path) -> dict[str, tuple[float, float, str, tuple[float, float, float]]]:
    """Utterance -> (start and end in seconds of the dialogue, label, (valence, activation, dominance))."""
    found = {}
    for number, line in enumerate(_lines(path), 1):
        match = _EVALUATION.match(line)
        if match is None:
            continue  # the votes of single judges, headings, blank lines
        start, end, utterance, label, dimensions = match.groups()
        try:
            values = tuple(float(value) for value in dimensions.split(","))
            start, end = float(start), float(end)
        except ValueError:
            values = ()
        if len(values) != 3 or not start < end:
            raise ValueError(
                f"{path} line {number}: expected `[start - end] utterance label [v, a, d]`, found {line!r}."
            )
        if utterance in found:
            raise ValueError(f"{path} line {number}: utterance {utterance} is there twice; copy the file again.")
        found[utterance] = (start, end, label, values)
    if not found:
        raise ValueError(f"{path} holds no evaluation lines; expected `[start - end] utterance label [v, a, d]`.")
    return found


def read_transcriptions(path: Path) -> dict[str, str]:
    """Utterance -> what is said, of a dialogue; empty without the file."""
    matches = map(_TRANSCRIPT.match, _lines(path)) if path.is_file() else ()
    return {match[1]: " ".join(match[2].split()) for match in matches if match}


def read_alignment(path: Path) -> list[tuple[str, float, float]]:
    """(word, start, end) in seconds of the sentence, without silences, noises and the marks of its ends."""
    words = []
    for line in _lines(path):
        match = _ALIGNED.match(line)
        if match and match[3][0] not in "<+":
            start, end = int(match[1]) * FRAME, (int(match[2]) + 1) * FRAME  # the last frame belongs to the word
            words.append((re.sub(r"\(\d+\)$", "", match[3]), round(start, 2), round(end, 2)))  # `THE(2)`: a variant
    return words


def word_spans(transcript: str, aligned: list[tuple[str, float, float]]) -> list[list[float]] | None:
    """The times of each word of `transcript.split()`, or None if the aligned words are other words.

    What is no word (`--`, `[LAUGHTER]`) takes no time: it stands at the end of the word before it.
    """
    rest, spans, now = list(reversed(aligned)), [], 0.0
    for token in re.sub(r"\[[^\]]*\]", lambda noise: re.sub(r"\S", "-", noise[0]), transcript).split():
        spoken = _plain(token)
        if not spoken:
            spans.append([now, now])
            continue
        if not rest or _plain(rest[-1][0]) != spoken:
            return None
        _, start, now = rest.pop()
        spans.append([start, now])
    return None if rest else spans


def _plain(word: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", word.upper())


def _session(evaluation: Path) -> int:
    return int(evaluation.parents[2].name.removeprefix("Session"))


def _speaker(utterance: str) -> str:
    """`Ses01F` of `Ses01M_impro01_F003`: the letter before the last number; the first says who wore the markers."""
    return utterance[:5] + utterance.rsplit("_", 1)[1][0]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8.") from error


class IemocapMultLayout(MultPickleLayout):
    """The MulT pickle: four emotions, each present or not, in segments whose origin the file does not name."""

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
