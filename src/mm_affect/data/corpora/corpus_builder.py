# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Load a published corpus from a folder into `datasets`."""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets

from ..builder import AffectBuilder
from ..record import VERSION, CorpusRecord
from .layouts import CorpusLayout
from .registry import find_layout, fingerprint


logger = logging.getLogger(__name__)


class CorpusBuilder(AffectBuilder):
    """Dataset builder of a corpus layout.

    The description of the layout is cached beside the dataset, so that its files are not read again for it.

    Args:
        layout: the layout to read.
        corpus: name of the corpus.
        cache_dir: cache of the dataset; by default that of `datasets`.
    """

    def __init__(self, layout: CorpusLayout, corpus: str, cache_dir: str | Path | None = None):
        self.layout = layout
        digest = fingerprint(layout)
        cache = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser()
        self._description_file = cache / "mm_affect_layouts" / f"{corpus}-{digest}-{VERSION}.json"
        super().__init__(
            data_dir=str(layout.folder.resolve()),
            cache_dir=None if cache_dir is None else str(cache_dir),
            dataset_name=corpus,
            manifest_hash=digest,
            allow_partial=layout.options["allow_partial"],
        )
        self.dropped, self.reported = layout.dropped, layout.reported

    def describe(self) -> CorpusRecord:
        """Return the record of the layout before its rows are read."""
        file = self._description_file
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(
                json.dumps(replace(self.layout.describe(), layout=self.layout.name).to_dict()), encoding="utf-8"
            )
            os.replace(temporary, file)
        return CorpusRecord.from_dict(json.loads(file.read_text(encoding="utf-8")))

    def read_rows(self, split: str) -> Iterator[dict]:
        """Iterate over the rows of a split."""
        return self.layout.rows(split)

    def as_splits(self) -> datasets.DatasetDict:
        """Return the prepared splits that have rows; with `allow_partial` some may be missing."""
        counts = self.record.counts
        if not any(counts.values()):
            raise ValueError(
                f"{self.layout.folder} holds no rows of {self.record.name}; run `mm-affect data doctor` to see why "
                "they were dropped."
            )
        return datasets.DatasetDict({split: self.as_dataset(split) for split, count in counts.items() if count})


def load_corpus(
    name: str,
    data_dir: str | Path,
    config: str | None = None,
    allow_partial: bool = False,
    cache_dir: str | Path | None = None,
    streaming: bool = False,
    **options,
) -> datasets.DatasetDict | datasets.IterableDatasetDict:
    """Load the splits of a published corpus.

    Dropped and unusual clips are logged; the complete list is in the `corpus.json` of the cached dataset.

    Args:
        name: name of the corpus.
        data_dir: folder that holds the corpus in one of its layouts, or one of its files.
        config: named configuration of the corpus.
        allow_partial: accept splits whose number of rows is not the documented one.
        cache_dir: cache of the dataset; by default that of `datasets`.
        streaming: read rows as they are needed instead of caching them.
        options: options of the layout; `layout` selects one where the folder holds several.

    Raises:
        ValueError: if a split does not have the documented number of rows, unless `allow_partial`.
    """
    layout = find_layout(name, data_dir, config, allow_partial=allow_partial, **options)
    builder = CorpusBuilder(layout, name, cache_dir)
    if streaming:
        return datasets.IterableDatasetDict({s: builder.as_streaming_dataset(s) for s in builder.describe().counts})
    builder.download_and_prepare()
    _log_irregularities(builder.record)
    return builder.as_splits()


def _log_irregularities(record: CorpusRecord) -> None:
    """Log a warning if clips were dropped or are unusual."""
    reasons = Counter(clip.reason for clip in record.dropped)
    parts = [f"{count} dropped because {reason}" for reason, count in reasons.items()]
    parts += [f"{count} {kind.replace('_', ' ')}" for kind, count in record.reported.items()]
    if parts:
        counts = ", ".join(f"{split} {count}" for split, count in record.counts.items())
        logger.warning("%s (%s): %s; %s.", record.name, record.layout, counts, "; ".join(parts))
