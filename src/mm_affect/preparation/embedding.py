# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Embeddings of a model as the stream of one modality of other rows, so that any other model of the package can be trained on
them: the "general embeddings" of Khare et al. (2021).

A sequence is the joint embedding, one step per step of what it started from; a pooled embedding, which every model has, is its
fusion view, one step per row. A row without any modality that the model reads has no steps. The other streams of the rows stay
as they are; a run that wants the embeddings alone says so in its `modalities`. The rows record which model made them, and a
model that was trained on the embeddings of one refuses those of another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import torch
from transformers import AutoProcessor

from ..checkpoints.loading import find_checkpoint
from ..data import RowReader
from ..data.ragged import RowDataset, ragged_array
from ..data.record import CorpusRecord
from ..features.pretrained_files import sha256_of, weights_in
from ..features.processor import AffectProcessor
from ..models.modeling import AffectPreTrainedModel
from ..vocabulary import MODALITIES
from .row_rewriting import Progress, read_rows_corpus, rewrite_rows


BATCH = 32


@dataclass
class Embedder:
    """A model that makes embeddings.

    Args:
        model, processor: of the checkpoint, evaluating.
        modalities: what the model is given; the others are missing.
        pooled: give the fusion view instead of the sequence.

    Raises:
        ValueError: a sequence is asked of a model that has none.
    """

    model: AffectPreTrainedModel
    processor: AffectProcessor
    modalities: tuple[str, ...]
    pooled: bool = False

    def __post_init__(self):
        if not self.pooled and not hasattr(self.model, "embed"):
            raise ValueError(
                f"A {self.model.config.model_type} has no joint embedding of every step; ask for its pooled one (--pooled)."
            )

    @torch.no_grad()
    def __call__(self, rows: Sequence[dict]) -> list[np.ndarray]:
        """The embedding of each row, float32 `(steps, size)`; masked steps among real ones are NaN."""
        found = []
        for start in range(0, len(rows), BATCH):
            batch = self.processor([rows[i] for i in range(start, min(start + BATCH, len(rows)))])
            seen = torch.stack([v.bool().any(1) for name, v in batch.items() if name.endswith("mask")]).any(0)
            batch = {name: values.to(self.model.device) for name, values in batch.items()}
            if self.pooled:
                values, mask = self.model(**batch).pooler_output.unsqueeze(1), seen.unsqueeze(1)
            else:
                values, mask = self.model.embed(**batch)
            pairs = zip(values.float().cpu().numpy(), mask.cpu().numpy(), strict=True)
            found += [_without_padding(*pair) for pair in pairs]
        return found

    @cached_property
    def size(self) -> int:
        """Numbers per step, as a row without any modality shows."""
        nothing = {m: np.zeros((0, size), np.float32) for m, size in self.processor.feature_sizes.items()}
        return self([nothing])[0].shape[1]

    def describe(self, checkpoint: str | Path, corpus: CorpusRecord) -> dict:
        """Everything that decides the numbers, as corpus.json records it under the modality that they are written as.

        Args:
            checkpoint: the folder or Hub name of the model.
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
            "weights_sha256": sha256_of(weights_in(folder)),
            "modalities": list(self.modalities),
        }


def _without_padding(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
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
    """Write the rows with the embeddings instead of one modality, in every split; return their record.

    Args:
        checkpoint: the folder or Hub name of the embedder's model.
        rows: a folder of rows; nothing in it changes.
        output: the folder to write; it appears when complete. The processor of the rows goes there too.
        modality: the name of the stream.
        progress: called with the number of shards that are done, and of all.

    Raises:
        ValueError: another name than that of a modality.
        FileExistsError: `output` holds something, unless it holds rows and `overwrite` is given.
    """
    if modality not in MODALITIES:
        raise ValueError(f"Embeddings are to be written as {modality!r}; expected one of {', '.join(MODALITIES)}.")
    corpus = read_rows_corpus(rows)
    description = embedder.describe(checkpoint, corpus)
    described = replace(
        corpus,
        sizes=corpus.sizes | {modality: embedder.size},
        extractors=corpus.extractors | {modality: description},
    )

    def embedded(table: pa.Table, schema: pa.Schema) -> dict[str, pa.Array]:
        found = embedder(RowDataset(RowReader(datasets.Dataset(table)), embedder.modalities))
        return {modality: ragged_array(found, embedder.size)}

    def with_processor(folder: Path, shards: list[str], record: CorpusRecord) -> CorpusRecord:
        if (folder / "processor_config.json").is_file():
            given = AutoProcessor.from_pretrained(folder)
            ways = given.normalization | {modality: "standard"}
            processor = AffectProcessor(record.sizes, record.extractors, ways)
            made = given.made_extractors()
            processor.share_extractors({m: extractor for m, extractor in made.items() if m != modality})
            processor.save_pretrained(folder)
        return record

    plan = {"embedding": description, "as": modality}
    return rewrite_rows(rows, output, plan, described, embedded, with_processor, overwrite, progress)
