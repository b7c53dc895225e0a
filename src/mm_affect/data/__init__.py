# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Corpora as rows: schema, manifests, builders, Parquet rows, splits and safe readers. Nothing here imports torch."""

from ..label_field import LabelField, WeakLabels, check_label_fields
from .builder import AffectBuilder, CorpusConfig
from .loading import load, read_corpus
from .manifest import Manifest, manifest_hash, read_manifest
from .own_corpus import OwnCorpus
from .ragged import RaggedColumn, RowReader
from .readers.feature_files import read_features
from .readers.legacy_pickle import read_pickle
from .record import CorpusRecord, DroppedClip
from .rows import write_rows
from .schema import SPLITS, check_label, features
from .splits import k_folds_by_group, split_by_group


__all__ = [
    "SPLITS",
    "AffectBuilder",
    "CorpusConfig",
    "CorpusRecord",
    "DroppedClip",
    "LabelField",
    "Manifest",
    "OwnCorpus",
    "RaggedColumn",
    "RowReader",
    "WeakLabels",
    "check_label",
    "check_label_fields",
    "features",
    "k_folds_by_group",
    "load",
    "make_sample_corpus",
    "manifest_hash",
    "read_corpus",
    "read_features",
    "read_manifest",
    "read_pickle",
    "split_by_group",
    "write_rows",
]


def __getattr__(name: str):
    """`make_sample_corpus` is imported when asked for: drawing and speaking clips needs the media extras."""
    if name == "make_sample_corpus":
        from .synthetic.corpus import make_sample_corpus

        return make_sample_corpus
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
