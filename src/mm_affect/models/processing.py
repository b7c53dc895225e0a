# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Rows to batches: extract features from raw media, normalise, pad, mask, and encode the labels of the tasks."""

from pathlib import Path

import numpy as np
import torch
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.utils import cached_file, logging

from .configuration import MODALITIES, Task, suggestion
from .faces import FaceDescriptor
from .log_mel import LogMelExtractor
from .media import iter_audio, iter_frames, probe
from .word_vectors import VECTORS_FILE, VOCABULARY_FILE, HashedWordVectors, WordVectors, tokenize


logger = logging.get_logger(__name__)

EXTRACTORS = {kind.name: kind for kind in (LogMelExtractor, FaceDescriptor, HashedWordVectors, WordVectors)}
NORMALISATIONS = ("standard", "none")


class AffectProcessor(ProcessorMixin):
    """Turns rows, raw or extracted, into the padded batch that a model reads; saved beside the model's weights.

    Args:
        feature_sizes: features per step of each modality, as in the model's config.
        extractors: per modality the description of the extractor that made the features (`name`, `version`, `rate` and
            its parameters). A modality without one, such as a published feature file, can be trained and evaluated, but
            not extracted from raw media.
        normalisation: per modality `"standard"` (subtract the mean and divide by the deviation of the training split,
            see `fit`) or `"none"`.
        statistics: per modality `{"mean": [...], "std": [...]}`, filled by `fit`.
        padding_side: `"right"` or `"left"`; a model's answer does not depend on it.
    """

    def __init__(self, feature_sizes=None, extractors=None, normalisation=None, statistics=None, padding_side="right"):
        super().__init__()
        if padding_side not in ("right", "left"):
            raise ValueError(f"`padding_side` is {padding_side!r}; expected 'right' or 'left'.")
        self.feature_sizes = {m: feature_sizes[m] for m in MODALITIES if m in (feature_sizes or {})}
        self.extractors = dict(extractors or {})
        self.normalisation = {m: (normalisation or {}).get(m, "standard") for m in self.feature_sizes}
        for modality, way in self.normalisation.items():
            if way not in NORMALISATIONS:
                raise ValueError(
                    f"`normalisation` of {modality} is {way!r}; expected one of {', '.join(NORMALISATIONS)}."
                )
        self.statistics = dict(statistics or {})
        self.padding_side = padding_side
        self._made = {}  # extractors that carry data of their own, such as a vocabulary
        self._scale = {
            m: (np.asarray(s["mean"], np.float32), np.asarray(s["std"], np.float32))
            for m, s in self.statistics.items()
        }

    # what it reads -----------------------------------------------------------------------------------------------

    @property
    def model_input_names(self):
        return [name for m in self.feature_sizes for name in (m, f"{m}_mask")]

    @classmethod
    def from_extractors(cls, extractors: dict, feature_sizes: dict | None = None, **options) -> "AffectProcessor":
        """A processor that runs these extractor objects, given per modality; `feature_sizes` are of further ones."""
        described = {m: extractor.describe() for m, extractor in extractors.items()}
        sizes = {m: extractor.size for m, extractor in extractors.items()} | (feature_sizes or {})
        processor = cls(sizes, described, **options)
        processor.share_extractors(extractors)
        return processor

    def share_extractors(self, extractors: dict) -> None:
        """Use these extractor objects instead of making them from their descriptions (some hold a vocabulary)."""
        self._made |= extractors

    def check_extractors(self, extractors: dict) -> None:
        """Refuse rows whose features were made in another way than this processor's.

        Args:
            extractors: descriptions per modality, as the rows' `corpus.json` records them.

        Raises:
            ValueError: naming the modality and the first difference.
        """
        for modality in self.feature_sizes:
            ours, theirs = self.extractors.get(modality), extractors.get(modality)
            if ours == theirs:
                continue
            if not ours or not theirs:
                side = "the rows" if ours else "the model"
                raise ValueError(
                    f"The {modality} features of {side} do not say which extractor made them; extract them anew."
                )
            keys = sorted(ours.keys() | theirs.keys(), key=lambda key: (key == "dimension_names", key != "name", key))
            name = next(key for key in keys if ours.get(key) != theirs.get(key))
            raise ValueError(
                f"The {modality} features of the rows were made with {name} {theirs.get(name)!r}; the model needs "
                f"{name} {ours.get(name)!r}. Extract them again with the model's processor."
            )

    def extractor(self, modality: str):
        """The extractor of one modality, made from its description when first used."""
        if modality not in self._made:
            description = self.extractors.get(modality)
            if description is None or description["name"] not in EXTRACTORS:
                name = "an unknown extractor" if description is None else repr(description["name"])
                raise ValueError(
                    f"The {modality} features were made by {name}, which cannot be run here; give features instead "
                    f"of raw {modality}."
                )
            self._made[modality] = EXTRACTORS[description["name"]].from_description(description)
        return self._made[modality]

    # raw rows to feature rows ------------------------------------------------------------------------------------

    def extract(self, row: dict, modalities=MODALITIES) -> dict:
        """A row with features in place of its media, of `modalities` only.

        Audio comes from `audio_file` or, without one, from the sound of `video_file`; a modality without a source, such
        as the picture of a `video_file` that has only sound, has zero steps. Features that the row has are kept. A video
        frame without a face is a step of NaN. Decoding streams: a long clip costs little memory.

        Raises:
            MediaError: a file that is missing, empty, cut off or not media, or an `audio_file` without sound.
        """
        start, end = row.get("start"), row.get("end")
        features = {}
        for modality in self.feature_sizes:
            given = row.get(modality)
            source = self._source(row, modality) if modality in modalities else None
            if modality in modalities and given is not None and len(given):
                features[modality] = np.asarray(given, np.float32)
                continue
            if source is None:
                features[modality] = np.zeros((0, self.feature_sizes[modality]), np.float32)
                continue
            extractor = self.extractor(modality)
            if modality == "text":
                features[modality] = extractor(tokenize(source))
            elif modality == "audio":
                chunks = iter_audio(source, extractor.sampling_rate, start=start, end=end)
                steps = list(extractor.stream(chunks))
                features[modality] = np.concatenate(steps) if steps else np.zeros((0, extractor.size), np.float32)
            else:
                features[modality] = extractor(iter_frames(source, extractor.rate, start=start, end=end))
        media = ("audio_file", "video_file")
        return {name: value for name, value in row.items() if name not in media} | features

    @staticmethod
    def _source(row: dict, modality: str):
        if modality == "text":
            return row.get("transcript") or None
        video = row.get("video_file")
        if modality == "visual":
            return video if video and probe(video).has_video else None
        return row.get("audio_file") or (video if video and probe(video).has_audio else None)

    # feature rows to a batch -------------------------------------------------------------------------------------

    def fit(self, rows) -> "AffectProcessor":
        """Take mean and deviation of every feature from these rows: the training split, and nothing else.

        Args:
            rows: an iterable of feature rows; read once, in constant memory.
        """
        sums = {m: np.zeros((3, self.feature_sizes[m])) for m, way in self.normalisation.items() if way == "standard"}
        for row in rows:
            for m, total in sums.items():
                values, mask, _ = sanitise(self._values(row, m), m)
                values = values[mask].astype(np.float64)
                total += np.stack([np.full(values.shape[1], len(values)), values.sum(0), (values**2).sum(0)])
        for m, (count, total, squares) in sums.items():
            count = np.maximum(count, 1)
            mean = total / count
            deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
            deviation[deviation < 1e-6] = 1.0  # a feature that never moves
            self.statistics[m] = {"mean": mean.tolist(), "std": deviation.tolist()}
            self._scale[m] = (mean.astype(np.float32), deviation.astype(np.float32))
        return self

    def __call__(self, rows: dict | list[dict], augment=None) -> BatchFeature:
        """Pad rows to one batch.

        Args:
            rows: one row or several; raw rows (with a transcript or media, without features) are extracted first.
            augment: called with `(modality, values, mask)` of each row after normalisation, as training does.

        Returns:
            per modality the values `(batch, length, size)`, float32, and `<modality>_mask` `(batch, length)`, bool.

        Raises:
            ValueError: features of the wrong size or rank; raw rows without an extractor.
        """
        rows = [rows] if isinstance(rows, dict) else list(rows)
        if not rows:
            raise ValueError("An empty list of rows makes no batch; give at least one row.")
        rows = [row if any(row.get(m) is not None for m in MODALITIES) else self.extract(row) for row in rows]
        batch, replaced = {}, 0
        for modality, size in self.feature_sizes.items():
            sequences = []
            for row in rows:
                values, mask, count = sanitise(self._values(row, modality), modality)
                replaced += count
                if modality in self._scale:
                    mean, deviation = self._scale[modality]
                    values = (values - mean) / deviation
                sequences.append((values, mask) if augment is None else augment(modality, values, mask))
            length = max(1, *(len(values) for values, _ in sequences))
            padded = np.zeros((len(rows), length, size), np.float32)
            real = np.zeros((len(rows), length), bool)
            for i, (values, mask) in enumerate(sequences):
                place = slice(0, len(values)) if self.padding_side == "right" else slice(length - len(values), length)
                padded[i, place], real[i, place] = values, mask
            batch |= {modality: torch.from_numpy(padded), f"{modality}_mask": torch.from_numpy(real)}
        if replaced:
            logger.warning_once(f"{replaced} feature values of a batch were not finite and were set to 0.")
        return BatchFeature(batch)

    def _values(self, row: dict, modality: str) -> np.ndarray:
        size, values = self.feature_sizes[modality], row.get(modality)
        values = np.zeros((0, size), np.float32) if values is None else np.asarray(values, np.float32)
        if values.ndim and not len(values):
            return np.zeros((0, size), np.float32)
        name = f"`{modality}` of row {row.get('id', '?')!r}"
        if values.ndim != 2:
            raise ValueError(f"{name} has shape {values.shape}; expected (steps, {size}).")
        if values.shape[1] != size:
            raise ValueError(f"{name} has {values.shape[1]} features per step; the processor expects {size}.")
        return values

    # files -------------------------------------------------------------------------------------------------------

    def save_pretrained(self, save_directory, push_to_hub=False, **kwargs):
        """Write `processor_config.json` and, for word vectors of a file, the vocabulary that training used."""
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        if self.extractors.get("text", {}).get("name") == WordVectors.name:
            self.extractor("text").save(save_directory)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        processor = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        if processor.extractors.get("text", {}).get("name") == WordVectors.name:
            files = [cached_file(pretrained_model_name_or_path, name) for name in (VECTORS_FILE, VOCABULARY_FILE)]
            processor._made["text"] = WordVectors.load(Path(files[0]).parent)
        return processor

    def to_dict(self):
        return {name: value for name, value in super().to_dict().items() if not name.startswith("_")}


def sanitise(values: np.ndarray, modality: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Values without NaN or inf, the mask of measured steps, and how many values were replaced by 0.

    A step that is NaN throughout was not measured (a frame without a face): it is masked, not counted.
    """
    finite = np.isfinite(values)
    if finite.all():
        return values, np.ones(len(values), bool), 0
    mask = ~np.isnan(values).all(1)
    return np.where(finite, values, np.float32(0)), mask, int((~finite[mask]).sum())


def label_encoder(task: Task, field: dict):
    """A function from a row's label to the task's target: float, class index (-100 = unknown) or list (NaN = unknown).

    A regression column can be read as classes: as two, class 1 above `task.positive_above`; or as an odd number n of
    them, clipped to +-(n - 1) / 2 and rounded half to even, as in Acc-5 and Acc-7 of sentiment.

    Args:
        field: the label field of the corpus that the task reads: name, problem_type, labels, range.

    Raises:
        ValueError: the field cannot answer the task, or lacks one of its labels.
    """
    kind, given = task.problem_type, field["problem_type"]
    if kind == "regression" and given == "regression":
        low, high = task.value_range if task.clip else (-np.inf, np.inf)
        return lambda value: np.nan if value is None else min(max(float(value), low), high)
    if kind == "single_label_classification" and given == "regression":
        classes = len(task.labels)
        if classes == 2:
            return lambda value: -100 if value is None else int(value > task.positive_above)
        if classes % 2 == 0:
            raise ValueError(
                f"Task {task.name!r} reads the regression column {field['name']!r} as {classes} classes; give it 2 "
                "labels, or an odd number of them."
            )
        most = classes // 2
        return lambda value: -100 if value is None else most + round(min(max(value, -most), most))
    if kind != given:
        raise ValueError(
            f"Task {task.name!r} ({kind}) cannot be read from the label column {field['name']!r} ({given})."
        )
    for label in task.labels:
        if label not in field["labels"]:
            raise ValueError(
                f"Task {task.name!r} asks for the label {label!r}, which the corpus does not have."
                + suggestion(label, field["labels"])
            )
    if kind == "single_label_classification":
        index = {i: task.labels.index(label) for i, label in enumerate(field["labels"]) if label in task.labels}
        return lambda value: -100 if value is None else index.get(int(value), -100)
    order = [field["labels"].index(label) for label in task.labels]
    unknown = [np.nan] * len(order)

    def encode(value):
        if value is None:
            return unknown
        picked = [value[i] for i in order]
        return [np.nan if v is None or v != v else float(v > task.positive_above) for v in picked]

    return encode


class AffectCollator:
    """Feature rows to the keyword arguments of a model's forward, `labels` included.

    Args:
        processor: pads and normalises.
        tasks: the model's tasks.
        label_fields: the corpus' label fields; a task that no field answers gets no labels.
        augment: see `AffectProcessor.__call__`; for training only.
    """

    def __init__(self, processor: AffectProcessor, tasks, label_fields, augment=None):
        self.processor, self.augment = processor, augment
        fields = {field["name"]: field for field in label_fields}
        self.encoders = {t.name: (t, label_encoder(t, fields[t.source])) for t in tasks if t.source in fields}
        if not self.encoders:
            raise ValueError(
                f"No task can be read from the labels {', '.join(fields) or 'none'}; the tasks read "
                f"{', '.join(t.source for t in tasks)}."
            )

    def __call__(self, rows: list[dict]) -> dict:
        batch = dict(self.processor(rows, augment=self.augment))
        batch["labels"] = {}
        for name, (task, encode) in self.encoders.items():
            dtype = torch.int64 if task.problem_type == "single_label_classification" else torch.float32
            targets = [encode((row.get("labels") or {}).get(task.source)) for row in rows]
            batch["labels"][name] = torch.tensor(targets, dtype=dtype)
        return batch
