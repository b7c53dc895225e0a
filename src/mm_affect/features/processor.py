# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The processor: raw media to features, and features to padded, normalized batches."""

import copy
from pathlib import Path

import numpy as np
import torch
from transformers import BatchFeature
from transformers.processing_utils import ProcessorMixin
from transformers.utils import cached_file, logging

from ..traveling_code import TravelingCode
from ..vocabulary import MODALITIES
from .extractors import build_extractor
from .log_mel import LogMelExtractor
from .media import iter_audio, iter_frames, probe
from .normalization import fit_statistics, load_scale, sanitize
from .pretrained_files import load_tokenizer
from .word_vectors import VECTORS_FILE, VOCABULARY_FILE, WordVectors, tokenize


logger = logging.get_logger(__name__)

NORMALIZATIONS = ("standard", "none")
MAX_TOKENS = 512  # of a transcript, unless `max_tokens` or the tokenizer has a lower limit
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "token")
SAVED = ("feature_sizes", "extractors", "normalization", "statistics", "padding_side", "max_tokens", "auto_map")


class AffectProcessor(TravelingCode, ProcessorMixin):
    """Turns rows, raw or extracted, into the padded batch that a model reads; saved beside the model's weights.

    Args:
        feature_sizes: features per step of each modality, as in the model's config.
        extractors: per modality the description of the extractor that made the features (`name`, `version`, `rate` and
            its parameters). A modality without one, such as a published feature file, can be trained and evaluated, but
            not extracted from raw media.
        normalization: per modality `"standard"` (subtract the mean and divide by the deviation of the training split,
            see `fit`) or `"none"`.
        statistics: per modality `{"mean": [...], "std": [...]}`, filled by `fit`.
        padding_side: `"right"` or `"left"`; a model's answer does not depend on it.
        tokenizer: that of the model's text encoder: text is then the tokens of the transcripts, and has no features.
        max_tokens: longer transcripts are cut, with a warning; counts what the tokenizer adds, such as [CLS]. Default: what
            the tokenizer says that its encoder reads, at most 512.
    """

    def __init__(
        self,
        feature_sizes=None,
        extractors=None,
        normalization=None,
        statistics=None,
        padding_side="right",
        tokenizer=None,
        max_tokens=None,
    ):
        super().__init__()
        if padding_side not in ("right", "left"):
            raise ValueError(f"`padding_side` is {padding_side!r}; expected 'right' or 'left'.")
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        if tokenizer is not None:
            self._check_tokens("text" in (feature_sizes or {}))
        elif max_tokens is not None:
            raise ValueError("`max_tokens` counts the tokens of a tokenizer; give one, or leave it out.")
        self.feature_sizes = {m: feature_sizes[m] for m in MODALITIES if m in (feature_sizes or {})}
        self.extractors = dict(extractors or {})
        self.normalization = {m: (normalization or {}).get(m, "standard") for m in self.feature_sizes}
        for modality, way in self.normalization.items():
            if way not in NORMALIZATIONS:
                raise ValueError(
                    f"`normalization` of {modality} is {way!r}; expected one of {', '.join(NORMALIZATIONS)}."
                )
        self.statistics = dict(statistics or {})
        self.padding_side = padding_side
        self._made = {}  # extractors that carry data of their own, such as a vocabulary
        self._scale = load_scale(self.statistics)

    def _check_tokens(self, features: bool) -> None:
        if features:
            raise ValueError("Text is either features or tokens: leave out `feature_sizes['text']`, or the tokenizer.")
        if self.max_tokens is None:
            self.max_tokens = min(self.tokenizer.model_max_length, MAX_TOKENS)
        added = self.tokenizer.num_special_tokens_to_add()
        if not added < self.max_tokens <= self.tokenizer.model_max_length:
            raise ValueError(
                f"`max_tokens` is {self.max_tokens}; the tokenizer adds {added} tokens to those of the words, and its "
                f"encoder reads {self.tokenizer.model_max_length} at most."
            )

    @classmethod
    def get_attributes(cls):
        """Return no attributes: transformers would otherwise require a tokenizer of every processor."""
        return []

    # what it reads -----------------------------------------------------------------------------------------------

    @property
    def modalities(self) -> list[str]:
        """Return the modalities of a batch, in their fixed order."""
        return [m for m in MODALITIES if m in self.feature_sizes or (m == "text" and self.tokenizer is not None)]

    @property
    def model_input_names(self):
        """Return the names of the arrays in a batch."""
        tokens = [] if self.tokenizer is None else ["input_ids", "attention_mask"]
        return tokens + [name for m in self.feature_sizes for name in (m, f"{m}_mask")]

    @classmethod
    def from_extractors(cls, extractors: dict, feature_sizes: dict | None = None, **options) -> "AffectProcessor":
        """Return a processor that runs these extractors.

        Args:
            extractors: extractor of each modality.
            feature_sizes: number of features of further modalities.
            **options: other arguments of the constructor.
        """
        described = {m: extractor.describe() for m, extractor in extractors.items()}
        sizes = {m: extractor.size for m, extractor in extractors.items()} | (feature_sizes or {})
        processor = cls(sizes, described, **options)
        processor.share_extractors(extractors)
        return processor

    def share_extractors(self, extractors: dict) -> None:
        """Use these extractors instead of building them from descriptions; some hold a vocabulary."""
        self._made |= extractors

    def made_extractors(self) -> dict:
        """Return the extractors built so far; others are built on first use."""
        return dict(self._made)

    def check_extractors(self, extractors: dict, modalities=MODALITIES) -> None:
        """Check that the features of rows were extracted like those of this processor.

        Args:
            extractors: description of the extractor of each modality, from the `corpus.json` of the rows.
            modalities: modalities to compare.

        Raises:
            ValueError: they differ; the message names the modality and the first difference.
        """
        for modality in (m for m in self.feature_sizes if m in modalities):
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
        """Return the extractor of a modality, built from its description on first use."""
        if modality not in self._made:
            self._made[modality] = build_extractor(modality, self.extractors.get(modality))
        return self._made[modality]

    # raw rows to feature rows ------------------------------------------------------------------------------------

    def extract(self, row: dict, modalities=MODALITIES) -> dict:
        """Return a row with features instead of media.

        Audio is read from `audio_file` or else from the audio track of `video_file`. A modality without a source has
        zero steps. Existing features are kept. A video frame without a face is a step of NaN. Decoding is streamed,
        so a long clip takes little memory. With a tokenizer, text stays the transcript.

        Args:
            row: a row with a transcript or media.
            modalities: modalities to extract; others have zero steps.

        Raises:
            MediaError: a file is missing, empty, truncated or not media, or an `audio_file` has no audio.
        """
        start, end = row.get("start"), row.get("end")
        features: dict[str, np.ndarray | None] = {}
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
        if self.tokenizer is not None and "text" not in modalities:
            features["transcript"] = None
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

    def fit(self, rows, keep=()) -> "AffectProcessor":
        """Compute mean and standard deviation of every feature from the training split.

        Args:
            rows: feature rows of the training split; read once, in constant memory.
            keep: modalities whose statistics do not change, such as those of pretrained weights.
        """
        fitted = [m for m, way in self.normalization.items() if way == "standard" and m not in keep]
        sizes = {m: self.feature_sizes[m] for m in fitted}
        self.statistics |= fit_statistics(({m: self._values(row, m) for m in fitted} for row in rows), sizes)
        self._scale = load_scale(self.statistics)
        return self

    def __call__(self, rows: dict | list[dict], augment=None) -> BatchFeature:
        """Pad rows to one batch.

        Args:
            rows: one row or several; raw rows (with a transcript or media, without features) are extracted first.
            augment: called with `(modality, values, mask)` of each row after normalization, as training does. Tokens
                come without values, so that it can only hide them.

        Returns:
            per modality the values `(batch, length, size)`, float32, and `<modality>_mask` `(batch, length)`, bool; with a
            tokenizer `input_ids` and `attention_mask` `(batch, tokens)`, int64, for text. A row without words has no token.

        Raises:
            ValueError: features of the wrong size or rank; raw rows without an extractor.
        """
        rows = [rows] if isinstance(rows, dict) else list(rows)
        if not rows:
            raise ValueError("An empty list of rows makes no batch; give at least one row.")
        rows = [row if any(row.get(m) is not None for m in MODALITIES) else self.extract(row) for row in rows]
        batch, replaced = {}, 0
        if self.tokenizer is not None:
            batch = self._token_batch(self._tokens(rows), augment)
        for modality in self.feature_sizes:
            sequences = []
            for row in rows:
                values, mask, count = sanitize(self._values(row, modality))
                replaced += count
                if modality in self._scale:
                    mean, deviation = self._scale[modality]
                    values = (values - mean) / deviation
                sequences.append((values, mask) if augment is None else augment(modality, values, mask))
            batch[modality], batch[f"{modality}_mask"] = self._padded(sequences)
        if replaced:
            logger.warning_once(f"{replaced} feature values of a batch were not finite and were set to 0.")
        return BatchFeature(batch)

    def _padded(self, sequences: list[tuple], fill: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad values `(steps, ...)` and masks `(steps,)` of the rows into one tensor each."""
        length, first = max(1, *(len(values) for values, _ in sequences)), sequences[0][0]
        padded = np.full((len(sequences), length, *first.shape[1:]), fill, first.dtype)
        real = np.zeros(padded.shape[:2], bool)
        for i, (values, mask) in enumerate(sequences):
            place = slice(0, len(values)) if self.padding_side == "right" else slice(length - len(values), length)
            padded[i, place], real[i, place] = values, mask
        return torch.from_numpy(padded), torch.from_numpy(real)

    def _tokens(self, rows: list[dict]) -> list[np.ndarray]:
        """Return the token ids of each transcript; none for a row without words."""
        texts = [(row.get("transcript") or "").strip() for row in rows]
        tokens = self.tokenizer(texts, verbose=False)["input_ids"]
        long = [i for i, ids in enumerate(tokens) if len(ids) > self.max_tokens]
        if long:
            cut = self.tokenizer([texts[i] for i in long], truncation=True, max_length=self.max_tokens)["input_ids"]
            for i, ids in zip(long, cut, strict=True):
                tokens[i] = ids
            logger.warning_once(
                f"{len(long)} of {len(rows)} transcripts of a batch had more than {self.max_tokens} tokens and were cut."
            )
        return [np.array(ids if text else [], np.int64) for ids, text in zip(tokens, texts, strict=True)]

    def _token_batch(self, tokens: list[np.ndarray], augment) -> dict[str, torch.Tensor]:
        sequences = []
        for ids in tokens:
            mask = np.ones(len(ids), bool)
            if augment is not None:
                mask = augment("text", np.zeros((len(ids), 0), np.float32), mask)[1]
            sequences.append((ids, mask))
        input_ids, real = self._padded(sequences, fill=self.tokenizer.pad_token_id or 0)
        return {"input_ids": input_ids, "attention_mask": real.long()}

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
        """Write `processor_config.json`, and the files of the tokenizer and of word vectors."""
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        if self.extractors.get("text", {}).get("name") == WordVectors.name:
            self.extractor("text").save(save_directory)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(save_directory)
        return super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):  # type: ignore[override]  # passes all options on
        """Load a processor as in transformers.

        Raises:
            ValueError: the processor was saved with a tokenizer that is missing.
        """
        saved, _ = cls.get_processor_dict(pretrained_model_name_or_path, **kwargs)
        if saved.get("max_tokens") is not None:
            kwargs["tokenizer"] = load_tokenizer(pretrained_model_name_or_path, **kwargs)
        processor = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        if processor.extractors.get("text", {}).get("name") == WordVectors.name:
            place = {name: value for name, value in kwargs.items() if name in HUB_OPTIONS}
            names = (VECTORS_FILE, VOCABULARY_FILE)
            files = [cached_file(pretrained_model_name_or_path, name, **place) for name in names]
            processor._made["text"] = WordVectors.load(Path(str(files[0])).parent)
        return processor

    def to_dict(self):
        """Return the content of `processor_config.json`; the tokenizer has its own files.

        The audio extractor is stored a second time under the name that `AutoFeatureExtractor` looks for.
        """
        kept = {name: vars(self)[name] for name in SAVED if vars(self).get(name) is not None}
        if (self.extractors.get("audio") or {}).get("name") == LogMelExtractor.name:
            kept["feature_extractor"] = self.extractors["audio"]
        return copy.deepcopy(kept) | {"processor_class": type(self).__name__}
