# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Publish a folder of rows as a dataset on the Hub."""

from pathlib import Path

import pyarrow.parquet as pq
from huggingface_hub import HfApi

from ..checkpoints.hub import upload
from ..data.corpora.registry import CORPORA, get_corpus
from ..data.dataset_card import write_dataset_card
from ..data.loading import read_corpus


VISIBILITY = ("private", "gated", "public")


UPLOAD_PATTERNS = ["*.parquet", "corpus.json", "README.md", "processor_config.json", "word_vectors.*"]


def push_rows(
    folder: str | Path,
    repo_id: str,
    corpus: str | None = None,
    visibility: str | None = None,
    revision: str | None = None,
    api: HfApi | None = None,
) -> str:
    """Upload a folder of rows to the data set `repo_id`, with its card, in one commit; returns the commit's address.

    `corpus` is by default the published one whose name the rows carry, if any. `visibility` is by default `private` where
    the license of the corpus asks for it, or where the rows are of no published corpus, else `public`; `gated` shows the
    card to everyone and the rows to whom you grant it. Raises `ValueError` if a protected corpus is to be public, if the
    rows are those of another corpus, or if they name media files of this machine instead of holding features; and what
    `hub.upload` raises.
    """
    folder = Path(folder)
    record = read_corpus(folder)
    owner = {get_corpus(name).title: name for name in CORPORA}.get(record.name, corpus)
    known = None if (corpus or owner) is None else get_corpus(corpus or owner)
    visibility = visibility or ("public" if known and not known.gated else "private")
    if visibility not in VISIBILITY:
        raise ValueError(f"`visibility` is {visibility!r}; expected one of {', '.join(VISIBILITY)}.")
    if known and known.gated and visibility == "public":
        raise ValueError(
            f"{known.title} may not be given to everyone ({known.license}); push it as private, or as gated."
        )
    if corpus is not None and owner != corpus:
        raise ValueError(f"{folder} holds rows of {record.name}; push them with datasets_scripts/{owner}.py.")
    for path in sorted(folder.glob("*.parquet")):
        for column in pq.read_table(path, columns=["audio_file", "video_file"]).columns:
            if column.null_count < len(column):
                raise ValueError(
                    f"{path} names media files, which stay on this machine; extract features with `mm-affect extract` "
                    "and push those."
                )
    if not (folder / "README.md").is_file():  # as after `mm-affect extract`
        write_dataset_card(folder, record, known.access if known else "")
    return upload(
        folder,
        UPLOAD_PATTERNS,
        repo_id,
        {"corpus.json": "label_fields"},
        repo_type="dataset",
        private=visibility == "private",
        gated=visibility == "gated",
        revision=revision,
        api=api,
    )
