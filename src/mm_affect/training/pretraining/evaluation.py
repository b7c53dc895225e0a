# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a model has learned, on clips that it was not trained on: characters, words and persons."""

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
    """Measures clips with a copy of the model, so it does not matter how the trained one lies on its devices.

    Args:
        model: that will be trained.
        collator: makes the batches.
        sets: rows by the name that their metrics begin with.
        most_characters: ids of the longest transcript that is looked for.
    """

    def __init__(self, model, collator: PretrainingCollator, sets: dict[str, list[dict]], most_characters: int):
        self.model, self.collator, self.sets = copy.deepcopy(model).eval(), collator, sets
        self.most_characters = most_characters

    def __call__(self, weights: dict[str, torch.Tensor], device: torch.device, num_beams: int = 1) -> dict:
        """Metrics `<set>.<metric>`: `cer`, `wer` and `loss_speech`; `accuracy` of the persons that can be identified; `eer`, the equal
        error rate of telling by the cosine of two joint embeddings whether they are of one person; and an example.

        Words are hidden from the encoder: they are what is to be recognized.
        """
        self.model.load_state_dict(weights)
        self.model.to(device)
        found = {}
        for name, rows in self.sets.items():
            found |= {f"{name}.{metric}": value for metric, value in self._measure(rows, device, num_beams).items()}
        return found

    @torch.no_grad()
    def _measure(self, rows: list[dict], device, num_beams: int) -> dict:
        tokenizer = self.collator.tokenizer
        rows = sorted(rows, key=lambda row: len(row["audio"]))
        said, embeddings, right, losses, characters = [], [], [], 0.0, 0
        for first in range(0, len(rows), BATCH_CLIPS):
            part = rows[first : first + BATCH_CLIPS]
            batch = send_to_device(self.collator(part, np.ones(len(part), bool)), device)
            output = self.model(**batch)
            count = int((batch["characters"] != UNKNOWN).sum())
            losses, characters = losses + float(output.losses["speech"]) * count, characters + count
            persons = batch.pop("labels")["person"]
            del batch["characters"]
            known = persons != UNKNOWN
            right += (output.logits["person"].argmax(1) == persons)[known].tolist()
            embeddings.append(output.pooler_output.float().cpu().numpy())
            ids = self.model.generate_transcript(num_beams=num_beams, max_length=self.most_characters, **batch)
            said += tokenizer.batch_decode(ids.tolist(), skip_special_tokens=True)
        truths = [tokenizer.normalize(row["transcript"]) for row in rows]
        same, cosines = make_verification_pairs([row["group"] for row in rows], np.concatenate(embeddings))
        found = {
            "clips": len(rows),
            "cer": character_error_rate(truths, said),
            "wer": word_error_rate(truths, said),
            "loss_speech": losses / characters,
        }
        if right:
            found["accuracy"] = sum(right) / len(right)
        if same.any() and not same.all():
            found["eer"] = equal_error_rate(same, cosines)
        return found | {"said": truths[0], "recognized": said[0]}
