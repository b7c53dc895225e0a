# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Embeddings of a model as one modality of new rows, on which any other model can be trained.

They are the "general embeddings" of Khare et al. (2021).

A sequence is the joint embedding, with one step per step of the modality that it starts from. A pooled embedding, which
every model has, is its fusion view, with one step per row. A row without any modality that the model reads has no steps.
The other modalities of the rows are copied; a run on the embeddings alone selects them by its `modalities`. The rows record
the model that made them, and a model that was trained on embeddings refuses those of another model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import torch
from transformers import AutoProcessor

from ..checkpoints.loading import find_checkpoint
from ..data import RowReader
from ..data.ragged import RowDataset, ragged_array
from ..data.record import CorpusRecord
from ..features.pretrained_files import compute_sha256, list_weights
from ..features.processor import AffectProcessor
from ..models.modeling import AffectPreTrainedModel
from ..vocabulary import MODALITIES
from .row_rewriting import Progress, read_rows_corpus, rewrite_rows


BATCH_SIZE = 32


@dataclass
class Embedder:
    """A model that computes embeddings.

    Args:
        model: model of the checkpoint, in evaluation mode.
        processor: processor of the checkpoint.
        modalities: modalities that the model reads; the others are missing.
        pooled: compute the fusion view instead of the sequence.

    Raises:
        ValueError: If a sequence is requested from a model that has none.
    """

    model: AffectPreTrainedModel
    processor: AffectProcessor
    modalities: tuple[str, ...]
    pooled: bool = False

    def __post_init__(self) -> None:
        if not self.pooled and not hasattr(self.model, "embed"):
            raise ValueError(
                f"A {self.model.config.model_type} has no joint embedding of every step; use its pooled embedding "
                "(--pooled)."
            )

    @torch.no_grad()
    def __call__(self, rows: Sequence[dict[str, Any]] | RowDataset) -> list[np.ndarray]:
        """Return the embedding of each row, float32 `(steps, size)`; masked steps between real ones are NaN."""
        embeddings: list[np.ndarray] = []
        for start in range(0, len(rows), BATCH_SIZE):
            features = self.processor([rows[i] for i in range(start, min(start + BATCH_SIZE, len(rows)))])
            masks = [values.bool().any(1) for name, values in features.items() if name.endswith("mask")]
            has_steps = torch.stack(masks).any(0)
            batch = {name: values.to(self.model.device) for name, values in features.items()}
            if self.pooled:
                values, mask = self.model(**batch).pooler_output.unsqueeze(1), has_steps.unsqueeze(1)
            else:
                values, mask = self.model.embed(**batch)  # type: ignore[operator]  # a method of the joint embeddings
            pairs = zip(values.float().cpu().numpy(), mask.cpu().numpy(), strict=True)
            embeddings += [_strip_padding(*pair) for pair in pairs]
        return embeddings

    @cached_property
    def size(self) -> int:
        """Features per step."""
        empty = {m: np.zeros((0, size), np.float32) for m, size in self.processor.feature_sizes.items()}
        return self([empty])[0].shape[1]

    def describe(self, checkpoint: str | Path, corpus: CorpusRecord) -> dict[str, Any]:
        """Describe everything that determines the embeddings, as corpus.json records it for their modality.

        Args:
            checkpoint: folder or Hub name of the model.
            corpus: record of the rows that are read.
        """
        folder = find_checkpoint(checkpoint)
        return {
            "name": "pooled_embedding" if self.pooled else "joint_embedding",
            "version": 1,
            "size": self.size,
            "steps": "one per row" if self.pooled else "as of the audio",
            "rate": None if self.pooled else (corpus.extractors.get("audio") or {}).get("rate"),
            "model": folder.resolve().name if Path(checkpoint).exists() else str(checkpoint),
            "model_type": self.model.config.model_type,
            "weights_sha256": compute_sha256(list_weights(folder)),
            "modalities": list(self.modalities),
        }


def _strip_padding(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    real = np.flatnonzero(mask)
    values = np.where(mask[:, None], values, np.float32(np.nan))
    return values[real[0] : real[-1] + 1] if len(real) else values[:0]


def embed_rows(
    embedder: Embedder,
    checkpoint: str | Path,
    rows: str | Path,
    output: str | Path,
    modality: str = "audio",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> CorpusRecord:
    """Write rows with embeddings in place of one modality, in every split, and return their record.

    Args:
        embedder: model and processor.
        checkpoint: folder or Hub name of the embedder's model.
        rows: folder of rows; it is not changed.
        output: folder to write, with the processor of the rows; it appears when complete.
        modality: the modality that the embeddings replace.
        overwrite: replace earlier rows in `output`.
        progress: called with the number of finished shards and of all shards.

    Raises:
        ValueError: If `modality` is not a modality.
        FileExistsError: If `output` is not empty, unless it holds rows and `overwrite` is True.
    """
    if modality not in MODALITIES:
        raise ValueError(f"--as is {modality!r}; expected one of {', '.join(MODALITIES)}.")
    source = read_rows_corpus(rows)
    description = embedder.describe(checkpoint, source)
    corpus = replace(
        source,
        sizes=source.sizes | {modality: embedder.size},
        extractors=source.extractors | {modality: description},
    )

    def embed(table: pa.Table, schema: pa.Schema) -> dict[str, pa.Array]:
        embeddings = embedder(RowDataset(RowReader(datasets.Dataset(table)), embedder.modalities))
        return {modality: ragged_array(embeddings, embedder.size)}

    def save_processor(folder: Path, shards: list[str], record: CorpusRecord) -> CorpusRecord:
        if (folder / "processor_config.json").is_file():
            earlier = AutoProcessor.from_pretrained(folder)
            normalization = earlier.normalization | {modality: "standard"}
            processor = AffectProcessor(record.sizes, record.extractors, normalization)
            extractors = earlier.made_extractors()
            processor.share_extractors({m: extractor for m, extractor in extractors.items() if m != modality})
            processor.save_pretrained(folder)
        return record

    plan = {"embedding": description, "as": modality}
    return rewrite_rows(rows, output, plan, corpus, embed, save_processor, overwrite, progress)
