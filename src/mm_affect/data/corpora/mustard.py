# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MUStARD: 690 utterances of TV shows, sarcastic or sincere, each with its context (Castro et al. 2019).

Source: the authors' repository on GitHub. License: MIT for annotations and transcripts; the clips belong to their owners.

Splits: the five official folds (552/138 each, `fold` 1 to 5), with the same speakers in training and test; or
`speaker_independent`: training on the other shows (334), test on Friends (356). Validation consists of whole speakers
taken from training, about a tenth of the rows (`validation`; with 0 there is none, as in the papers).

Labels: sincere or sarcastic.

Canned laughter follows many punch lines and reveals the label. Its start is not annotated in the corpus; with a table of
your own (`laughter`: csv with `id` and `start` in seconds of the clip), clips end where the laughter starts. This needs the
videos: the published features have no times, so audio and visual features are not read then. Laughter before the end of an
utterance is kept.
"""

import csv
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from ...label_field import LabelField
from ..readers.hdf5 import import_h5py
from ..readers.legacy_pickle import read_pickle
from ..record import CorpusRecord
from .layouts import Corpus, CorpusLayout, LayoutFile, LayoutOption, check_fraction
from .official_folds import load_folds, select_validation_groups


LICENSE = "MIT (annotations and transcripts); the clips belong to the owners of the shows"
CITATION = (
    "S. Castro, D. Hazarika, V. Perez-Rosas, R. Zimmermann, R. Mihalcea, S. Poria: Toward Multimodal Sarcasm "
    "Detection (An _Obviously_ Perfect Paper). ACL 2019."
)
UTTERANCES = 690
KEYS = {"utterance": str, "speaker": str, "context": list, "context_speakers": list, "show": str, "sarcasm": bool}
LABEL_FIELDS = [LabelField("sarcasm", "single_label_classification", ("sincere", "sarcastic"))]
SIZES = {"text": 768, "audio": 283, "visual": 2048}
PROVENANCE = {  # description of the features in the authors' repository
    "text": "BERT-base uncased, mean of the last four layers, one step per word piece, [CLS] and [SEP]",
    "audio": "librosa: MFCC, mel spectrogram, their deltas, spectral centroid of the voice; about 12 steps per clip",
    "visual": "ResNet-152, pool5, one step per frame",
}
JSON, FOLDS, VIDEOS, BERT, AUDIO, RESNET = WANTED = (
    LayoutFile("sarcasm_data.json", "utterances, contexts, speakers and labels"),
    LayoutFile("split_indices.p", "the five official folds (shipped with this package, too)", required=False),
    LayoutFile("utterances_final", "the videos, <id>.mp4", required=False),
    LayoutFile("bert-output.jsonl", "BERT features of the utterances", required=False),
    LayoutFile("audio_features.p", "audio features of the utterances", required=False),
    LayoutFile("features/utterances_final/resnet_pool5.hdf5", "ResNet features of the frames", required=False),
)
FEATURES = {"text": BERT, "audio": AUDIO, "visual": RESNET}


class MustardRepositoryLayout(CorpusLayout):
    """Repository of the authors, or its `data` folder: the JSON file and any of the other files."""

    name = "repository"
    title = "the authors' repository (sarcasm_data.json)"
    files = WANTED
    extra_options = {
        "protocol": LayoutOption(
            "the official folds, or Friends as test split",
            "speaker_dependent",
            ("speaker_dependent", "speaker_independent"),
        ),
        "fold": LayoutOption("number of the official test fold", 1, (1, 2, 3, 4, 5)),
        "validation": LayoutOption("fraction of the training rows that become the validation split", 0.1),
        "transcript": LayoutOption(
            "transcript: the utterance, the context and the utterance, or both with speaker names",
            "utterance",
            ("utterance", "context", "dialogue"),
        ),
        "laughter": LayoutOption("csv file with the start of laughter (columns id, start), where clips are cut"),
    }

    @staticmethod
    def find_files(folder: Path, file: LayoutFile) -> list[Path]:
        """Return the paths that match `file`, also in `data`, `videos` and `data/videos`."""
        places = (Path(folder) / place for place in ("", "data", "videos", "data/videos"))
        return next(filter(None, (CorpusLayout.find_files(place, file) for place in places)), [])

    def describe(self) -> CorpusRecord:
        """Return the description of the corpus."""
        counts = {
            split: sum(assigned == split for assigned in self._splits.values())
            for split in ("train", "validation", "test")
        }
        test = self._documented_test
        counts |= {"train": UTTERANCES - test - counts["validation"], "test": test}
        available = {modality for modality in FEATURES if self._file(modality)}
        independent = self.options["protocol"] == "speaker_independent"
        return CorpusRecord(
            "MUStARD",
            license=LICENSE,
            citation=CITATION,
            label_fields=LABEL_FIELDS,
            sizes={modality: SIZES[modality] for modality in FEATURES if modality in available},
            provenance={modality: PROVENANCE[modality] for modality in FEATURES if modality in available},
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
        """Iterate over the rows of a split."""
        self._check_folds()
        laughter = self._read_laughter()
        selected = {clip for clip, assigned in self._splits.items() if assigned == split}
        readers = {"text": self._read_bert, "audio": self._read_audio, "visual": self._read_resnet}
        streams = {
            modality: readers[modality](path, selected)
            for modality in FEATURES
            if (path := self._file(modality)) is not None
        }
        if split == "test":  # once
            self._count_unknown_videos()
        for clip in self._clips:
            features = {modality: next(stream) for modality, stream in streams.items()}
            if clip in selected:
                yield self._build_row(clip, features, laughter.get(clip))

    def _build_row(self, clip: str, features: dict, laughter: float | None) -> dict:
        record = self._clips[clip]
        for modality, steps in features.items():
            self.report(f"no_{modality}_features", int(steps is None))
        row = {"id": clip, "group": _get_speaker(record), "labels": {"sarcasm": int(record["sarcasm"])}, **features}
        if "text" in self.options["modalities"]:
            row["transcript"] = self._build_transcript(record)
        if {"audio", "visual"} & set(self.options["modalities"]) and self._videos is not None:
            video = self._videos / f"{clip}.mp4"
            row["video_file"] = str(video) if video.is_file() else None
            self.report("no_video", int(not video.is_file()))
            if video.is_file() and laughter is not None:
                row |= {"start": 0.0, "end": laughter}
                self.reported["laughter_cut"] += 1
        return row

    def _build_transcript(self, record: dict) -> str:
        turns = [
            *zip(record["context_speakers"], record["context"], strict=True),
            (record["speaker"], record["utterance"]),
        ]
        if self.options["transcript"] == "dialogue":
            return " ".join(f"{speaker}: {text}" for speaker, text in turns)
        return " ".join(text for _, text in turns) if self.options["transcript"] == "context" else record["utterance"]

    @cached_property
    def _clips(self) -> dict[str, dict]:
        path = self.find_files(self.folder, JSON)[0]
        try:
            clips = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON in UTF-8 ({error}); download it again.") from error
        if not isinstance(clips, dict) or not clips:
            raise ValueError(f"{path} holds no utterances; expected an object of id -> utterance.")
        for clip, record in clips.items():
            for key, kind in KEYS.items():
                if not isinstance(record, dict) or not isinstance(record.get(key), kind):
                    raise ValueError(
                        f"{path}: utterance `{clip}` has no `{key}` of type {kind.__name__}; download it again."
                    )
            if len(record["context"]) != len(record["context_speakers"]):
                raise ValueError(
                    f"{path}: utterance `{clip}` has {len(record['context'])} context utterances and "
                    f"{len(record['context_speakers'])} speakers for them; download it again."
                )
        return clips

    @cached_property
    def _splits(self) -> dict[str, str]:
        """Return the split of every utterance in the JSON file."""
        fraction = check_fraction("validation", self.options["validation"])
        if self.options["protocol"] == "speaker_independent":
            tested = {clip for clip, record in self._clips.items() if record["show"] == "FRIENDS"}
        else:
            tested = set(load_folds("mustard")[f"fold_{self.options['fold']}"])
        trained = [clip for clip in self._clips if clip not in tested]
        groups = [_get_speaker(self._clips[clip]) for clip in trained]
        held_out = select_validation_groups(groups, fraction) if fraction else set()
        assigned = {
            c: "validation" if group in held_out else "train" for c, group in zip(trained, groups, strict=True)
        }
        return {clip: assigned.get(clip, "test") for clip in self._clips}

    @property
    def _documented_test(self) -> int:
        return 356 if self.options["protocol"] == "speaker_independent" else 138

    def _check_folds(self) -> None:
        """Check that `split_indices.p`, positions in the JSON file, holds the folds shipped with the package."""
        paths = self.find_files(self.folder, FOLDS)
        if not paths or len(self._clips) != UTTERANCES:
            return
        clips, folds = list(self._clips), read_pickle(paths[0])
        try:
            tested = [{clips[position] for position in test} for _, test in folds]  # type: ignore[attr-defined]  # TypeError
        except (TypeError, ValueError, IndexError):
            tested = []
        if tested != [set(load_folds("mustard")[f"fold_{number}"]) for number in (1, 2, 3, 4, 5)]:
            raise ValueError(
                f"{paths[0]} does not hold the five official folds of {UTTERANCES} utterances; restore or "
                "remove it; the folds are shipped with the package."
            )

    @cached_property
    def _videos(self) -> Path | None:
        return next(iter(self.find_files(self.folder, VIDEOS)), None)

    def _count_unknown_videos(self) -> None:
        if self._videos is not None:
            unknown = {path.stem for path in self._videos.glob("*.mp4")} - set(self._clips)
            self.report("video_without_utterance", len(unknown))

    def _file(self, modality: str) -> Path | None:
        """Return the feature file of a modality, or None if it does not exist or is not to be read."""
        if modality not in self.options["modalities"]:
            return None
        if modality == "text" and self.options["transcript"] != "utterance":
            return None  # the features cover the utterance only
        if modality != "text" and self.options["laughter"] is not None:
            return None  # features without times cannot be cut
        return next(iter(self.find_files(self.folder, FEATURES[modality])), None)

    def _read_bert(self, path: Path, selected: set[str]) -> Iterator[np.ndarray | None]:
        """Iterate over the utterances of the JSON file, in the order of its lines: float32 (word pieces, 768), or None."""
        with open(path, "rb") as file:
            for clip in self._clips:
                line = file.readline()
                if not line.strip():
                    raise ValueError(
                        f"{path} ends before utterance `{clip}`; it has one line for each; download it again."
                    )
                yield _parse_bert_line(path, clip, line) if clip in selected else None

    def _read_audio(self, path: Path, selected: set[str]) -> Iterator[np.ndarray | None]:
        """Iterate over the utterances: float32 (steps, 283), transposed in the file, or None."""
        arrays = read_pickle(path)
        if not isinstance(arrays, dict):
            raise ValueError(f"{path} holds a {type(arrays).__name__}; expected a dict of id -> (283, steps).")
        for clip in self._clips:
            values = arrays.get(clip) if clip in selected else None
            if values is not None and (getattr(values, "ndim", 0) != 2 or values.shape[0] != SIZES["audio"]):
                raise ValueError(
                    f"{path}: `{clip}` has shape {getattr(values, 'shape', None)}; expected (283, steps)."
                )
            yield None if values is None else values.T.astype(np.float32)

    def _read_resnet(self, path: Path, selected: set[str]) -> Iterator[np.ndarray | None]:
        """Iterate over the utterances: float32 (frames, 2048), or None."""
        h5py = import_h5py("HDF5")
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise ValueError(f"{path} is not a readable HDF5 file ({error}); download it again.") from error
        with file:
            for clip in self._clips:
                if clip in selected and clip in file and file[clip].shape[1:] != (SIZES["visual"],):
                    raise ValueError(f"{path}: `{clip}` has shape {file[clip].shape}; expected (frames, 2048).")
                yield file[clip][()].astype(np.float32) if clip in selected and clip in file else None

    def _read_laughter(self) -> dict[str, float]:
        """Read the table of laughter: clip -> start in seconds."""
        if self.options["laughter"] is None:
            return {}
        path = Path(self.options["laughter"])
        if self._videos is None:
            raise ValueError(f"The option `laughter` needs the videos, but {self.folder} has no `{VIDEOS.path}`.")
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
            raise ValueError(f"{path}: `{wrong[0]}` is not an id of the corpus, or its start is not above 0.")
        return times


def _get_speaker(record: dict) -> str:
    return f"{record['show']}/{record['speaker']}"


def _parse_bert_line(path: Path, clip: str, line: bytes) -> np.ndarray:
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
