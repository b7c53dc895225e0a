# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Corpora as rows: schema, manifests, builders, Parquet rows, splits and safe readers.

Nothing here imports torch. Importing the package is cheap: a public name is imported when it is asked for, and with it
`datasets` where needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING


if TYPE_CHECKING:
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
    from .synthetic.corpus import make_sample_corpus

_MODULES = {
    "..label_field": ("LabelField", "WeakLabels", "check_label_fields"),
    ".builder": ("AffectBuilder", "CorpusConfig"),
    ".loading": ("load", "read_corpus"),
    ".manifest": ("Manifest", "manifest_hash", "read_manifest"),
    ".own_corpus": ("OwnCorpus",),
    ".ragged": ("RaggedColumn", "RowReader"),
    ".readers.feature_files": ("read_features",),
    ".readers.legacy_pickle": ("read_pickle",),
    ".record": ("CorpusRecord", "DroppedClip"),
    ".rows": ("write_rows",),
    ".schema": ("SPLITS", "check_label", "features"),
    ".splits": ("k_folds_by_group", "split_by_group"),
    ".synthetic.corpus": ("make_sample_corpus",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

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
    """Import a public name from the module that defines it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
