# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Measure a trained run again with the modality weights re-normalized over the modalities that are present.

Khare et al. (2021, section 5.3) withhold modalities at test time by the weight 0 and keep the other weights, so that the joint
embedding shrinks; `renormalize_weights` scales the other weights to the same sum. Neither needs another training.
"""

from dataclasses import replace
from pathlib import Path

from transformers import AutoModel, AutoProcessor

from ..data import load, read_corpus
from ..evaluation.evaluator import evaluate_subsets
from ..evaluation.results import Results


def renormalize(results: Results) -> Results:
    """Return the results of a finished run with its test split measured with `renormalize_weights`.

    Raises:
        ValueError: If the architecture has no modality weights.
    """
    output, folder = Path(results.config["output"]), results.config["rows"]
    processor, rows = AutoProcessor.from_pretrained(output), load(folder)["test"]
    seeds = {}
    for seed, result in results.seeds.items():
        model = AutoModel.from_pretrained(output / "seeds" / f"seed-{seed}").eval()
        if not hasattr(model.config, "renormalize_weights"):
            raise ValueError(f"{type(model).__name__} has no modality weights to re-normalize.")
        model.config.renormalize_weights = True
        seeds[seed] = replace(result, test=evaluate_subsets(model, processor, rows, read_corpus(folder).label_fields))
    best = results.best and replace(results.best, intervals={})
    return replace(results, name=f"{results.name}, weights re-normalized", seeds=seeds, best=best)
