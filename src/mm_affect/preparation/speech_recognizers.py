# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech recognizers with one interface: the CTC and sequence-to-sequence models of transformers, and our joint embeddings.

A recognizer converts a row with `audio_file` or `video_file` to a `Transcript`. The models of transformers read a clip in
chunks (of the length that their features are made for, else 30 s), so that memory does not grow with the clip; a word at
the border of two chunks may be lost. Chunks of digital silence or under 0.1 s are skipped, because models that were trained
on speech alone invent words for them.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    AutoTokenizer,
    BatchFeature,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CTC_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

from ..features.media import iter_audio
from ..features.pretrained_files import compute_sha256, find_model_folder, list_weights, load_tokenizer, load_whole
from ..features.processor import AffectProcessor
from ..models.configuration import AffectConfig


CHUNK_SECONDS = 30
MIN_CHUNK_SECONDS = 0.1
TOKENIZER_FOLDER = "transcripts"  # in a checkpoint of the joint embeddings: the tokenizer of the decoder


class Transcript(NamedTuple):
    """The transcript of a clip.

    Args:
        text: the words; None if there are none.
        likelihood: mean log-likelihood per token; None without tokens.
        language: language code of the model; None if it does not detect languages.
    """

    text: str | None
    likelihood: float | None
    language: str | None


class SpeechRecognizer(ABC):
    """Base class of recognizers; `name` and `sha256` identify the model."""

    def __init__(self, model: Any, name: str, folder: Path):
        self.model, self.sha256 = model, compute_sha256(list_weights(folder))
        self.name = folder.resolve().name if Path(name).exists() else name

    @abstractmethod
    def __call__(self, row: dict[str, Any]) -> Transcript:
        """Transcribe a row. Raises `MediaError` if its audio cannot be decoded."""


class TransformersRecognizer(SpeechRecognizer):
    """A recognizer of transformers; `_recognize` transcribes the features of one chunk."""

    def __init__(self, model: Any, name: str, folder: Path):
        super().__init__(model, name, folder)
        self.tokenizer = load_tokenizer(folder)
        try:
            self.features = AutoFeatureExtractor.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{name} has no feature extractor that can be read ({str(error).splitlines()[0]}); a speech recognizer "
                "needs its preprocessor_config.json."
            ) from error
        self.rate = self.features.sampling_rate
        self.chunk_seconds = getattr(self.features, "chunk_length", None) or CHUNK_SECONDS

    @torch.no_grad()
    def __call__(self, row: dict[str, Any]) -> Transcript:
        """Transcribe a row. Raises `MediaError` if its audio cannot be decoded."""
        source = row.get("audio_file") or row["video_file"]
        texts: list[str] = []
        languages: list[str | None] = []
        total, num_tokens = 0.0, 0
        for chunk in iter_audio(source, self.rate, row.get("start"), row.get("end"), self.chunk_seconds):
            if len(chunk) < MIN_CHUNK_SECONDS * self.rate or np.ptp(chunk) == 0:
                continue
            inputs = self.features(chunk, sampling_rate=self.rate, return_tensors="pt").to(self.model.device)
            text, scores, language = self._recognize(inputs)
            texts.append(text.strip())
            languages.append(language)
            total, num_tokens = total + sum(scores), num_tokens + len(scores)
        text = " ".join(filter(None, texts))
        language = max(languages, key=languages.count) if languages else None
        return Transcript(text or None, total / num_tokens if num_tokens else None, language)

    @abstractmethod
    def _recognize(self, inputs: BatchFeature) -> tuple[str, list[float], str | None]:
        """Return the text, the log-likelihood of each token, and the language."""


class CTCRecognizer(TransformersRecognizer):
    """Greedy CTC decoding; a token's likelihood is that of its first frame, and blanks do not count."""

    def _recognize(self, inputs: BatchFeature) -> tuple[str, list[float], str | None]:
        scores, best = self.model(**inputs).logits[0].float().log_softmax(-1).max(-1)
        starts = torch.ones_like(best, dtype=torch.bool)
        starts[1:] = best[1:] != best[:-1]
        tokens = starts & (best != self.tokenizer.pad_token_id)  # the padding token is the blank
        text = self.tokenizer.decode(
            best[tokens], group_tokens=False, skip_special_tokens=True
        )  # repeats are merged already: "b, blank, b" is "bb"
        return text, scores[tokens].tolist(), None


class Seq2SeqRecognizer(TransformersRecognizer):
    """Greedy decoding; a token's likelihood is conditional on those before it, and special tokens do not count."""

    def __init__(self, model: Any, name: str, folder: Path):
        super().__init__(model, name, folder)
        token_ids = getattr(model.generation_config, "lang_to_id", None) or {}
        self.languages = {token_id: token.strip("<|>") for token, token_id in token_ids.items()}

    def _recognize(self, inputs: BatchFeature) -> tuple[str, list[float], str | None]:
        features = {self.model.main_input_name: inputs[self.model.main_input_name]}
        language, options = None, {}
        if self.languages:
            language = self.languages.get(int(self.model.detect_language(**features)[0]))
            options = {"language": language, "task": "transcribe"}
        output = self.model.generate(
            **features, **options, num_beams=1, do_sample=False, return_dict_in_generate=True, output_logits=True
        )
        ids = output.sequences[0][-len(output.logits) :]  # without the prompt
        scores = torch.stack(output.logits)[:, 0].float().log_softmax(-1).gather(1, ids.unsqueeze(1)).squeeze(1)
        is_word = ~torch.isin(ids, ids.new_tensor(self.tokenizer.all_special_ids))
        return self.tokenizer.decode(ids, skip_special_tokens=True), scores[is_word].tolist(), language


class CharacterRecognizer(SpeechRecognizer):
    """The joint embeddings with their character decoder, which reads audio and, depending on the model, video."""

    def __init__(self, model: Any, processor: AffectProcessor, name: str, folder: Path):
        super().__init__(model, name, folder)
        self.processor = processor
        if not (folder / TOKENIZER_FOLDER).is_dir():
            raise ValueError(f"{name} has no folder `{TOKENIZER_FOLDER}` with the tokenizer of its decoder.")
        self.tokenizer = AutoTokenizer.from_pretrained(folder / TOKENIZER_FOLDER)
        self.modalities = [m for m in processor.modalities if m != "text"]

    @torch.no_grad()
    def __call__(self, row: dict[str, Any]) -> Transcript:
        """Transcribe a row. Raises `MediaError` if its media cannot be decoded."""
        features = self.processor.extract(row, self.modalities)
        batch = {name: values.to(self.model.device) for name, values in self.processor(features).items()}
        if not any(len(features[m]) for m in self.modalities):
            return Transcript(None, None, None)
        ids = self.model.generate_transcript(**batch)
        text = str(self.tokenizer.decode(ids[0], skip_special_tokens=True)).strip()
        loss = self.model(**batch, characters=ids).losses["speech"]  # the end token counts as a character
        return Transcript(text or None, -loss.item(), None)


def load_recognizer(name: str) -> SpeechRecognizer:
    """Load the recognizer in a folder or Hub repository, on the accelerator if there is one.

    Raises:
        ValueError: If there is no speech recognizer, or its files are incomplete.
    """
    from accelerate import PartialState

    folder = find_model_folder(name)
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} is not a model of transformers ({str(error).splitlines()[0]}); give a speech recognizer."
        ) from error
    device = PartialState().device
    if isinstance(config, AffectConfig):
        from ..checkpoints.loading import load_checkpoint

        model, processor = load_checkpoint(str(folder))
        if not hasattr(model, "generate_transcript"):
            raise ValueError(
                f"{name} is a {config.model_type} without a speech decoder; give a pretraining checkpoint of the joint "
                "embeddings, or a speech recognizer of transformers."
            )
        return CharacterRecognizer(model.to(device), processor, name, folder)
    recognizers: tuple[tuple[type[TransformersRecognizer], Any, Any], ...] = (
        (Seq2SeqRecognizer, AutoModelForSpeechSeq2Seq, MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES),
        (CTCRecognizer, AutoModelForCTC, MODEL_FOR_CTC_MAPPING_NAMES),
    )
    for recognizer, auto_class, model_types in recognizers:
        if config.model_type in model_types:
            return recognizer(load_whole(auto_class, folder)[0].to(device), name, folder)
    raise ValueError(
        f"{name} is a model of type {config.model_type!r}, which does not recognize speech; give one such as Whisper or "
        "Wav2Vec2."
    )
