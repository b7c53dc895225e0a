# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Speech recognizers with one face: any of transformers (CTC such as Wav2Vec2, sequence to sequence such as Whisper), and
our own joint embeddings with their decoder.

A recognizer turns a row with `audio_file` or `video_file` into a `Transcript`. Those of transformers hear a clip in pieces (of
as many seconds as their features are made for, else 30), so that a long clip costs little memory; a word on the border of two pieces may be lost. A piece of digital silence,
or shorter than 0.1 s, has no words, and no recognizer is asked: those that know speech alone make some up.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CTC_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

from ..features.media import iter_audio
from ..features.pretrained_files import folder_of, load_whole, sha256_of, weights_in
from ..features.processor import AffectProcessor, load_tokenizer
from ..models.configuration import AffectConfig


SECONDS = 30  # of a piece
SHORTEST = 0.1  # seconds
TRANSCRIPTS = "transcripts"  # the folder of a checkpoint of ours with the tokenizer of its decoder


class Transcript(NamedTuple):
    """What is said.

    Args:
        text: the words, None if there are none.
        likelihood: mean log-likelihood of a token, None without tokens.
        language: as the model names it, None if it says none.
    """

    text: str | None
    likelihood: float | None
    language: str | None


class SpeechRecognizer:
    """What recognizers share: `name` and `sha256` say which one it is."""

    def __init__(self, model: torch.nn.Module, name: str, folder: Path):
        self.model, self.sha256 = model, sha256_of(weights_in(folder))
        self.name = folder.resolve().name if Path(name).exists() else name


class TransformersRecognizer(SpeechRecognizer):
    """A recognizer of transformers; `_recognize` answers to the features of one piece."""

    def __init__(self, model: torch.nn.Module, name: str, folder: Path):
        super().__init__(model, name, folder)
        self.tokenizer = load_tokenizer(folder)
        try:
            self.features = AutoFeatureExtractor.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{name} has no feature extractor (preprocessor_config.json) that can be read "
                f"({str(error).splitlines()[0]}); a speech recognizer needs one."
            ) from error
        self.rate = self.features.sampling_rate
        self.seconds = getattr(self.features, "chunk_length", None) or SECONDS

    @torch.no_grad()
    def __call__(self, row: dict) -> Transcript:
        """The transcript of a row. Raises `MediaError` if its sound cannot be decoded."""
        source = row.get("audio_file") or row["video_file"]
        words, total, tokens, languages = [], 0.0, 0, []
        for piece in iter_audio(source, self.rate, row.get("start"), row.get("end"), self.seconds):
            if len(piece) < SHORTEST * self.rate or np.ptp(piece) == 0:
                continue
            heard = self.features(piece, sampling_rate=self.rate, return_tensors="pt").to(self.model.device)
            text, scores, language = self._recognize(heard)
            words.append(text.strip())
            total, tokens = total + sum(scores), tokens + len(scores)
            languages.append(language)
        text = " ".join(filter(None, words))
        language = max(languages, key=languages.count) if languages else None
        return Transcript(text or None, total / tokens if tokens else None, language)

    def _recognize(self, heard) -> tuple[str, list[float], str | None]:
        """The words, log-likelihoods of their tokens, and the language."""
        raise NotImplementedError


class CTCRecognizer(TransformersRecognizer):
    """The most probable token of every frame; its likelihood counts where it begins, and the blanks between tokens do not."""

    def _recognize(self, heard):
        scores, best = self.model(**heard).logits[0].float().log_softmax(-1).max(-1)
        starts = torch.ones_like(best, dtype=torch.bool)
        starts[1:] = best[1:] != best[:-1]
        spoken = starts & (best != self.tokenizer.pad_token_id)  # the blank of CTC
        text = self.tokenizer.decode(
            best[spoken], group_tokens=False, skip_special_tokens=True
        )  # "b, blank, b" is "bb"
        return text, scores[spoken].tolist(), None


class Seq2SeqRecognizer(TransformersRecognizer):
    """Greedy decoding; the likelihood is that of each word token, given those before it, without special tokens."""

    def __init__(self, model: torch.nn.Module, name: str, folder: Path):
        super().__init__(model, name, folder)
        names = getattr(model.generation_config, "lang_to_id", None) or {}
        self.languages = {token: name.strip("<|>") for name, token in names.items()}

    def _recognize(self, heard):
        inputs = {self.model.main_input_name: heard[self.model.main_input_name]}
        language, options = None, {}
        if self.languages:
            token = int(self.model.detect_language(**inputs)[0])
            language = self.languages.get(token)
            options = {"language": language, "task": "transcribe"}
        answer = self.model.generate(
            **inputs, **options, num_beams=1, do_sample=False, return_dict_in_generate=True, output_logits=True
        )
        ids = answer.sequences[0][-len(answer.logits) :]  # what was generated: the prompt stands before it
        scores = torch.stack(answer.logits)[:, 0].float().log_softmax(-1).gather(1, ids.unsqueeze(1)).squeeze(1)
        spoken = ~torch.isin(ids, ids.new_tensor(self.tokenizer.all_special_ids))
        return self.tokenizer.decode(ids, skip_special_tokens=True), scores[spoken].tolist(), language


class CharacterRecognizer(SpeechRecognizer):
    """The joint embeddings with their decoder over characters, from sound and, if they read it, the picture."""

    def __init__(self, model: torch.nn.Module, processor: AffectProcessor, name: str, folder: Path):
        super().__init__(model, name, folder)
        self.processor = processor
        if not (folder / TRANSCRIPTS).is_dir():
            raise ValueError(f"{name} has no folder `{TRANSCRIPTS}` with the tokenizer of its characters.")
        self.tokenizer = AutoTokenizer.from_pretrained(folder / TRANSCRIPTS)
        self.seen = [m for m in processor.modalities if m != "text"]

    @torch.no_grad()
    def __call__(self, row: dict) -> Transcript:
        """The transcript of a row, as that of `TransformersRecognizer`."""
        features = self.processor.extract(row, self.seen)
        batch = {name: values.to(self.model.device) for name, values in self.processor(features).items()}
        if not any(len(features[m]) for m in self.seen):
            return Transcript(None, None, None)
        ids = self.model.generate_transcript(**batch)
        text = self.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
        loss = self.model(**batch, characters=ids).losses["speech"]  # the end token counts as one more character
        return Transcript(text or None, -loss.item(), None)


def load_recognizer(name: str) -> SpeechRecognizer:
    """The recognizer in a folder or Hub repository, on the accelerator if there is one.

    Raises:
        ValueError: there is none, or it is not whole.
    """
    from accelerate import PartialState

    folder = folder_of(name)
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} is no model of transformers ({str(error).splitlines()[0]}); give a speech recognizer."
        ) from error
    device = PartialState().device
    if isinstance(config, AffectConfig):
        from ..checkpoints.loading import load_checkpoint

        model, processor = load_checkpoint(str(folder))
        if not hasattr(model, "generate_transcript"):
            raise ValueError(
                f"{name} is a {config.model_type} without a decoder of speech; give a checkpoint of the joint embeddings as "
                "pretraining leaves it, or a speech recognizer of transformers."
            )
        return CharacterRecognizer(model.to(device), processor, name, folder)
    for kind, auto, known in (
        (Seq2SeqRecognizer, AutoModelForSpeechSeq2Seq, MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES),
        (CTCRecognizer, AutoModelForCTC, MODEL_FOR_CTC_MAPPING_NAMES),
    ):
        if config.model_type in known:
            return kind(load_whole(auto, folder)[0].to(device), name, folder)
    raise ValueError(
        f"{name} is a model of type {config.model_type!r}, which recognizes no speech; give one such as Whisper or Wav2Vec2."
    )
