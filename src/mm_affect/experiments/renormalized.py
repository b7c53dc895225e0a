# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The same trained models with the weights of absent modalities given to the others: a measurement, not another training.

Khare et al. (2021, section 5.3) withhold modalities at test time by the weight 0 and leave the other weights as they are, so that the
joint embedding shrinks; `renormalize_weights` lets them grow to the same sum. Both are read from one trained model.
"""

from dataclasses import replace
from pathlib import Path

from transformers import AutoModel, AutoProcessor

from ..data import load, read_corpus
from ..evaluation.evaluator import evaluate_subsets
from ..evaluation.results import Results


def renormalized(results: Results) -> Results:
    """The results of a finished run, its test split measured again with `renormalize_weights`.

    Raises:
        ValueError: the architecture has no weights of modalities.
    """
    output, folder = Path(results.config["output_dir"]), results.config["rows"]
    processor, rows = AutoProcessor.from_pretrained(output), load(folder)["test"]
    seeds = {}
    for seed, found in results.seeds.items():
        model = AutoModel.from_pretrained(output / "seeds" / f"seed-{seed}").eval()
        if not hasattr(model.config, "renormalize_weights"):
            raise ValueError(f"{type(model).__name__} weighs no modalities, so there is nothing to re-normalize.")
        model.config.renormalize_weights = True
        seeds[seed] = replace(found, test=evaluate_subsets(model, processor, rows, read_corpus(folder).label_fields))
    best = results.best and replace(results.best, intervals={})
    return replace(results, name=f"{results.name}, weights re-normalized", seeds=seeds, best=best)
