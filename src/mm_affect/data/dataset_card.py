# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The card of a folder of rows for the Hub, from its corpus.json through one template."""

from collections import Counter
from pathlib import Path

from huggingface_hub import DatasetCard, DatasetCardData

from .licenses import make_license_fields
from .record import CorpusRecord
from .schema import describe_weak_labels
from .splits import describe_protocol


TEMPLATE = Path(__file__).parents[1] / "templates" / "dataset_card.md"
SHOWN_REASONS = 30
SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (float("inf"), "n>1M"))


def write_dataset_card(folder: Path, corpus: CorpusRecord, access: str = "", command: str = "") -> Path:
    """Write the dataset card `folder/README.md`; return its path.

    Args:
        folder: folder of the rows.
        corpus: record of the rows.
        access: where the corpus comes from.
        command: command that made the rows.
    """
    padding = corpus.padding
    card = DatasetCard.from_template(
        _front_matter(corpus),
        template_path=str(TEMPLATE),
        corpus=corpus,
        protocol=describe_protocol(corpus.split_protocol),
        made_by={modality: _made_by(corpus, modality) for modality in corpus.sizes},
        padding={m: (padding.get(m) if isinstance(padding, dict) else padding) or "none" for m in corpus.sizes},
        weak={field.name: describe_weak_labels(field) for field in corpus.label_fields if field.weak},
        dropped=dict(Counter(clip.reason for clip in corpus.dropped).most_common(SHOWN_REASONS)),
        access=access,
        command=command,
    )
    path = folder / "README.md"
    path.write_text(str(card).rstrip() + "\n", encoding="utf-8")
    return path


def _made_by(corpus: CorpusRecord, modality: str) -> str:
    extractor = corpus.extractors.get(modality)
    if extractor:
        return f"extractor `{extractor.get('name')}`, version {extractor.get('version')}"
    source = corpus.provenance.get(modality, "the corpus' own, as published")
    return f"{source}: to train and evaluate with, but raw clips cannot be predicted"


def _front_matter(corpus: CorpusRecord) -> DatasetCardData:
    splits = [{"split": split, "path": f"{split}-*.parquet"} for split, count in corpus.counts.items() if count]
    rows = sum(count or 0 for count in corpus.counts.values())
    known_license: dict = make_license_fields(corpus.license) if corpus.license else {"license": "unknown"}
    return DatasetCardData(
        pretty_name=corpus.name,
        tags=["mm_affect", "multimodal", "affect-recognition"] + (["synthetic-data"] if corpus.synthetic else []),
        size_categories=next(name for most, name in SIZES if rows < most),
        configs=[{"config_name": "default", "data_files": splits}],
        **known_license,
    )
