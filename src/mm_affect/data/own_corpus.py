# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Builder of own corpora: folders of a user with a manifest, media files or feature files."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..vocabulary import MODALITIES
from .builder import AffectBuilder
from .manifest import read_manifest
from .readers.feature_files import read_features
from .record import CorpusRecord
from .schema import SPLITS


class OwnCorpus(AffectBuilder):
    """Builder of an own corpus; the manifest is read and checked at construction.

    A row has the features of the files `<modality>/<id>.*`, and the absolute paths of its media for extraction.
    """

    def __init__(self, data_dir: str | Path, cache_dir: str | Path | None = None, **options):
        self.manifest = read_manifest(data_dir)
        self._sizes = self._first_sizes()
        super().__init__(
            data_dir=str(Path(data_dir).resolve()),
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name=re.sub(r"\W+", "_", self._name()).strip("_") or "own_corpus",
            manifest_hash=self.manifest.hash(),
            **options,
        )

    def describe(self) -> CorpusRecord:
        """Return the record of the corpus before its rows are read."""
        corpus = self.manifest.corpus
        counts = Counter(record["split"] for record in self.manifest.records)
        return CorpusRecord(
            self._name(),
            synthetic=bool(corpus.get("synthetic", False)),
            license=corpus.get("license"),
            citation=corpus.get("citation"),
            label_fields=self.manifest.label_fields,
            sizes=self._sizes,
            split_protocol=corpus["split_protocol"],
            counts={split: counts[split] for split in SPLITS if counts[split]},
        )

    def read_rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of one split."""
        for record in self.manifest.records:
            if record["split"] == split:
                features = {
                    modality: read_features(path, self._sizes[modality])
                    for modality, path in record["features"].items()
                }
                yield record | features

    def _name(self) -> str:
        return self.manifest.corpus.get("name") or self.manifest.path.resolve().parent.name

    def _first_sizes(self) -> dict[str, int]:
        sizes = {}
        for modality in MODALITIES:
            paths = (
                record["features"][modality] for record in self.manifest.records if modality in record["features"]
            )
            first = next(paths, None)
            if first is not None:
                sizes[modality] = read_features(first).shape[1]
        return sizes
