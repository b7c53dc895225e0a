# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MUStARD: 690 utterances of television shows, sarcastic or sincere, each with its context (Castro et al. 2019).

Split protocols: the five official folds (552/138 each, `fold` 1 to 5), in which speakers are in training and test; or
`speaker_independent`: trained on the other shows (334), tested on Friends (356). Neither has a validation split: whole
speakers are taken out of training for it, about a tenth of the rows (`validation`; 0: none, as in the papers).

Laughter of the audience follows many punch lines and gives the label away. Where it begins is not part of the corpus;
with a table of your own (`laughter`: csv with `id` and `start`, seconds in the clip) clips end there. That needs the
videos: published features carry no times, so those of sound and pictures are then left aside, and laughter before the
end of the sentence stays in.
"""

import csv
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..readers.legacy_pickle import read_pickle
from ..record import CorpusRecord
from .layouts import Corpus, CorpusLayout, LayoutFile, LayoutOption
from .official_folds import carve_validation, load_folds


LICENSE = "MIT (annotations and transcripts); the clips belong to the owners of the shows"
CITATION = (
    "S. Castro, D. Hazarika, V. Perez-Rosas, R. Zimmermann, R. Mihalcea, S. Poria: Toward Multimodal Sarcasm "
    "Detection (An _Obviously_ Perfect Paper). ACL 2019."
)
UTTERANCES = 690
KEYS = {"utterance": str, "speaker": str, "context": list, "context_speakers": list, "show": str, "sarcasm": bool}
LABEL_FIELDS = [LabelField("sarcasm", "single_label_classification", ("sincere", "sarcastic"))]
SIZES = {"text": 768, "audio": 283, "visual": 2048}
PROVENANCE = {  # what the authors' repository says of its features
    "text": "BERT-base uncased, mean of the last four layers, a step for each word piece and for [CLS] and [SEP]",
    "audio": "librosa: MFCC, mel spectrogram, their deltas, spectral centroid of the voice; about 12 steps per clip",
    "visual": "ResNet-152, pool5, a step for each frame",
}
JSON, FOLDS, VIDEOS, BERT, AUDIO, RESNET = WANTED = (
    LayoutFile("sarcasm_data.json", "utterances, contexts, speakers and labels"),
    LayoutFile("split_indices.p", "the five official folds (also shipped with this package)", required=False),
    LayoutFile("utterances_final", "the videos, <id>.mp4", required=False),
    LayoutFile("bert-output.jsonl", "BERT features of the utterances", required=False),
    LayoutFile("audio_features.p", "audio features of the utterances", required=False),
    LayoutFile("features/utterances_final/resnet_pool5.hdf5", "ResNet features of the frames", required=False),
)
FEATURES = {"text": BERT, "audio": AUDIO, "visual": RESNET}


class MustardRepositoryLayout(CorpusLayout):
    """The authors' repository, or its `data` folder: the json, and what else of it is there."""

    name = "repository"
    title = "the authors' repository (sarcasm_data.json)"
    files = WANTED
    extra_options = {
        "protocol": LayoutOption(
            "the official folds, or test on Friends",
            "speaker_dependent",
            ("speaker_dependent", "speaker_independent"),
        ),
        "fold": LayoutOption("the official fold that is tested", 1, (1, 2, 3, 4, 5)),
        "validation": LayoutOption("the share of the training rows that become the validation split", 0.1),
        "transcript": LayoutOption(
            "the utterance, the context before it, or both with the name of each speaker",
            "utterance",
            ("utterance", "context", "dialogue"),
        ),
        "laughter": LayoutOption("csv file of where laughter begins (columns id, start): clips end there"),
    }

    @staticmethod
    def find_files(folder: Path, wanted: LayoutFile) -> list[Path]:
        """Like `CorpusLayout.find_files`, also below `data` and, for the videos, below `data/videos`."""
        places = (Path(folder) / place for place in ("", "data", "videos", "data/videos"))
        return next(filter(None, (CorpusLayout.find_files(place, wanted) for place in places)), [])

    def describe(self) -> CorpusRecord:
        counts = {
            split: sum(home == split for home in self._splits.values()) for split in ("train", "validation", "test")
        }
        test = self._documented_test
        counts |= {"train": UTTERANCES - test - counts["validation"], "test": test}
        given = {modality for modality in FEATURES if self._file(modality)}
        independent = self.options["protocol"] == "speaker_independent"
        return CorpusRecord(
            "MUStARD",
            license=LICENSE,
            citation=CITATION,
            label_fields=LABEL_FIELDS,
            sizes={modality: SIZES[modality] for modality in FEATURES if modality in given},
            provenance={modality: PROVENANCE[modality] for modality in FEATURES if modality in given},
            split_protocol={
                "name": "speaker-independent: test is Friends"
                if independent
                else f"official fold {self.options['fold']}",
                "validation": f"whole speakers of the training rows, about {self.options['validation']:.0%}, seed 0",
                "groups_may_cross": not independent,
            },
            counts={split: count for split, count in counts.items() if count},
        )

    def rows(self, split: str) -> Iterator[dict]:
        self._check_folds()
        laughter = self._read_laughter()
        wanted = {clip for clip, home in self._splits.items() if home == split}
        sources = {"text": self._bert, "audio": self._audio, "visual": self._resnet}
        streams = {modality: sources[modality](wanted) for modality in FEATURES if self._file(modality)}
        if split == "test":  # once
            self._count_strangers()
        for clip in self._clips:
            features = {modality: next(stream) for modality, stream in streams.items()}
            if clip in wanted:
                yield self._row(clip, features, laughter.get(clip))

    def _row(self, clip: str, features: dict, laughter: float | None) -> dict:
        told = self._clips[clip]
        for modality, steps in features.items():
            self.reported.update({f"no_{modality}_features": 1} if steps is None else {})
        row = {"id": clip, "group": _speaker(told), "labels": {"sarcasm": int(told["sarcasm"])}, **features}
        if "text" in self.options["modalities"]:
            row["transcript"] = self._transcript(told)
        if {"audio", "visual"} & set(self.options["modalities"]) and self._videos is not None:
            video = self._videos / f"{clip}.mp4"
            row["video_file"] = str(video) if video.is_file() else None
            self.reported.update({} if video.is_file() else {"no_video": 1})
            if video.is_file() and laughter is not None:
                row |= {"start": 0.0, "end": laughter}
                self.reported["laughter_cut"] += 1
        return row

    def _transcript(self, told: dict) -> str:
        said = [*zip(told["context_speakers"], told["context"], strict=True), (told["speaker"], told["utterance"])]
        if self.options["transcript"] == "dialogue":
            return " ".join(f"{speaker}: {text}" for speaker, text in said)
        return " ".join(text for _, text in said) if self.options["transcript"] == "context" else told["utterance"]

    # the json and its splits --------------------------------------------------------------------------------------

    @cached_property
    def _clips(self) -> dict[str, dict]:
        path = self.find_files(self.folder, JSON)[0]
        try:
            clips = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON in UTF-8 ({error}); copy it again.") from error
        if not isinstance(clips, dict) or not clips:
            raise ValueError(f"{path} holds no utterances; expected an object of id -> utterance.")
        for clip, told in clips.items():
            for key, kind in KEYS.items():
                if not isinstance(told, dict) or not isinstance(told.get(key), kind):
                    raise ValueError(
                        f"{path}: utterance `{clip}` has no `{key}` of type {kind.__name__}; copy it again."
                    )
            if len(told["context"]) != len(told["context_speakers"]):
                raise ValueError(
                    f"{path}: utterance `{clip}` has {len(told['context'])} context utterances and "
                    f"{len(told['context_speakers'])} speakers of them; copy it again."
                )
        return clips

    @cached_property
    def _splits(self) -> dict[str, str]:
        """The split of every utterance that the json holds."""
        share = self.options["validation"]
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise ValueError(f"Option `validation` is {share!r}; expected a share from 0 to less than 1.")
        if self.options["protocol"] == "speaker_independent":
            tested = {clip for clip, told in self._clips.items() if told["show"] == "FRIENDS"}
        else:
            tested = set(load_folds("mustard")[f"fold_{self.options['fold']}"])
        trained = [clip for clip in self._clips if clip not in tested]
        groups = [_speaker(self._clips[clip]) for clip in trained]
        held_out = carve_validation(groups, share) if share else set()
        homes = {c: "validation" if group in held_out else "train" for c, group in zip(trained, groups, strict=True)}
        return {clip: homes.get(clip, "test") for clip in self._clips}

    @property
    def _documented_test(self) -> int:
        return 356 if self.options["protocol"] == "speaker_independent" else 138

    def _check_folds(self) -> None:
        """The user's own `split_indices.p`, positions in the json, must be the folds that are shipped."""
        found = self.find_files(self.folder, FOLDS)
        if not found or len(self._clips) != UTTERANCES:
            return
        clips, folds = list(self._clips), read_pickle(found[0])
        try:
            tested = [{clips[position] for position in test} for _, test in folds]
        except (TypeError, ValueError, IndexError):
            tested = []
        if tested != [set(load_folds("mustard")[f"fold_{number}"]) for number in (1, 2, 3, 4, 5)]:
            raise ValueError(
                f"{found[0]} does not hold the five official folds of {UTTERANCES} utterances; restore it, or remove "
                "it: the package brings them."
            )

    # media and features, joined by id -----------------------------------------------------------------------------

    @cached_property
    def _videos(self) -> Path | None:
        return next(iter(self.find_files(self.folder, VIDEOS)), None)

    def _count_strangers(self) -> None:
        if self._videos is not None:
            strangers = {path.stem for path in self._videos.glob("*.mp4")} - set(self._clips)
            self.reported.update({"video_without_utterance": len(strangers)} if strangers else {})

    def _file(self, modality: str) -> Path | None:
        """The feature file of a modality, if it is there and wanted."""
        if modality not in self.options["modalities"]:
            return None
        if modality == "text" and self.options["transcript"] != "utterance":
            return None  # the features are those of the utterance alone
        if modality != "text" and self.options["laughter"] is not None:
            return None  # they cannot be cut
        return next(iter(self.find_files(self.folder, FEATURES[modality])), None)

    def _bert(self, wanted: set[str]) -> Iterator[np.ndarray | None]:
        """(word pieces, 768) for each utterance of the json, in its order, which is that of the lines of the file."""
        path = self._file("text")
        with open(path, "rb") as file:
            for clip in self._clips:
                line = file.readline()
                if not line.strip():
                    raise ValueError(
                        f"{path} ends before utterance `{clip}`; it has one line for each; copy it again."
                    )
                yield _word_pieces(path, clip, line) if clip in wanted else None

    def _audio(self, wanted: set[str]) -> Iterator[np.ndarray | None]:
        """(12, 283) for each utterance; the file holds it the other way round."""
        path = self._file("audio")
        found = read_pickle(path)
        if not isinstance(found, dict):
            raise ValueError(f"{path} holds a {type(found).__name__}; expected a dict of id -> (283, steps).")
        for clip in self._clips:
            values = found.get(clip) if clip in wanted else None
            if values is not None and (getattr(values, "ndim", 0) != 2 or values.shape[0] != SIZES["audio"]):
                raise ValueError(
                    f"{path}: `{clip}` has shape {getattr(values, 'shape', None)}; expected (283, steps)."
                )
            yield None if values is None else values.T.astype(np.float32)

    def _resnet(self, wanted: set[str]) -> Iterator[np.ndarray | None]:
        """(frames, 2048) for each utterance, read one at a time."""
        try:
            import h5py
        except ImportError as error:
            raise ImportError("Reading HDF5 needs h5py: pip install 'mm_affect[data]'") from error
        path = self._file("visual")
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise ValueError(f"{path} is no readable HDF5 file ({error}); copy it again.") from error
        with file:
            for clip in self._clips:
                if clip in wanted and clip in file and file[clip].shape[1:] != (SIZES["visual"],):
                    raise ValueError(f"{path}: `{clip}` has shape {file[clip].shape}; expected (frames, 2048).")
                yield file[clip][()].astype(np.float32) if clip in wanted and clip in file else None

    def _read_laughter(self) -> dict[str, float]:
        """Clip -> the second in which laughter begins."""
        if self.options["laughter"] is None:
            return {}
        path = Path(self.options["laughter"])
        if self._videos is None:
            raise ValueError(f"Laughter is cut out of the videos, and {self.folder} has no `{VIDEOS.path}`.")
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
        try:
            times = {line["id"]: float(line["start"]) for line in lines}
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{path} needs the columns `id` and `start` (seconds in the clip) in every line."
            ) from None
        wrong = [clip for clip, time in times.items() if clip not in self._clips or not 0 < time < np.inf]
        if wrong:
            raise ValueError(f"{path}: `{wrong[0]}` is no id of the corpus, or its start is not above 0.")
        return times


def _speaker(told: dict) -> str:
    return f"{told['show']}/{told['speaker']}"


def _word_pieces(path: Path, clip: str, line: bytes) -> np.ndarray:
    try:
        pieces = json.loads(line)["features"]
        values = np.array([[layer["values"] for layer in piece["layers"]] for piece in pieces], dtype=np.float32)
        values = values.mean(axis=1)  # over the layers
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path}: the line of `{clip}` is not what BERT's extract_features.py writes.") from error
    if values.ndim != 2 or values.shape[1] != SIZES["text"]:
        raise ValueError(f"{path}: `{clip}` has shape {values.shape}; expected (word pieces, 768).")
    return values


CORPUS = Corpus(
    name="mustard",
    title="MUStARD",
    license=LICENSE,
    citation=CITATION,
    access="Annotations and links to the videos are at https://github.com/soujanyaporia/MUStARD.",
    layouts=(MustardRepositoryLayout,),
    gated=False,
    configs={name: {"protocol": name} for name in ("speaker_dependent", "speaker_independent")},
    counts={"utterances": UTTERANCES},
)
