# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Evaluation on held-out clips: recognition of characters and words, identification and verification of speakers."""

import copy

import numpy as np
import torch
from accelerate.utils import send_to_device

from ...evaluation.speech_metrics import (
    character_error_rate,
    equal_error_rate,
    make_verification_pairs,
    word_error_rate,
)
from .batches import UNKNOWN, PretrainingCollator


BATCH_CLIPS = 32


class Evaluation:
    """Evaluation with a copy of the model, independent of how the trained model is sharded.

    Args:
        model: Model that will be trained.
        collator: Collator of the batches.
        sets: Rows by the prefix of their metrics.
        most_characters: Maximum number of ids in a recognized transcript.
    """

    def __init__(self, model, collator: PretrainingCollator, sets: dict[str, list[dict]], most_characters: int):
        self.model, self.collator, self.sets = copy.deepcopy(model).eval(), collator, sets
        self.most_characters = most_characters

    def __call__(self, weights: dict[str, torch.Tensor], device: torch.device, num_beams: int = 1) -> dict:
        """Return metrics `<set>.<metric>` and an example.

        The metrics are `cer`, `wer` and `loss_speech`; `accuracy` on the speakers that can be identified; and `eer`, the equal
        error rate of verifying by the cosine of two joint embeddings that they belong to one speaker. The encoder does not get
        the transcripts, which are to be recognized.
        """
        self.model.load_state_dict(weights)
        self.model.to(device)
        metrics: dict = {}
        for name, rows in self.sets.items():
            metrics |= {f"{name}.{metric}": value for metric, value in self._measure(rows, device, num_beams).items()}
        return metrics

    @torch.no_grad()
    def _measure(self, rows: list[dict], device, num_beams: int) -> dict:
        tokenizer = self.collator.tokenizer
        rows = sorted(rows, key=lambda row: len(row["audio"]))
        recognized, embeddings, correct, losses, characters = [], [], [], 0.0, 0
        for first in range(0, len(rows), BATCH_CLIPS):
            part = rows[first : first + BATCH_CLIPS]
            batch = send_to_device(self.collator(part, np.ones(len(part), bool)), device)
            output = self.model(**batch)
            count = int((batch["characters"] != UNKNOWN).sum())
            losses, characters = losses + float(output.losses["speech"]) * count, characters + count
            persons = batch.pop("labels")["person"]
            del batch["characters"]
            known = persons != UNKNOWN
            correct += (output.logits["person"].argmax(1) == persons)[known].tolist()
            embeddings.append(output.pooler_output.float().cpu().numpy())
            ids = self.model.generate_transcript(num_beams=num_beams, max_length=self.most_characters, **batch)
            recognized += tokenizer.batch_decode(ids.tolist(), skip_special_tokens=True)
        truths = [tokenizer.normalize(row["transcript"]) for row in rows]
        same, cosines = make_verification_pairs(np.array([row["group"] for row in rows]), np.concatenate(embeddings))
        metrics = {
            "clips": len(rows),
            "cer": character_error_rate(truths, recognized),
            "wer": word_error_rate(truths, recognized),
            "loss_speech": losses / characters,
        }
        if correct:
            metrics["accuracy"] = sum(correct) / len(correct)
        if same.any() and not same.all():
            metrics["eer"] = equal_error_rate(same, cosines)
        return metrics | {"said": truths[0], "recognized": recognized[0]}
