# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Publishing of a folder of rows as a dataset on the Hub."""

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
    """Upload a folder of rows with its card to the Hub in one commit, and return the URL of the commit.

    Args:
        folder: folder of rows.
        repo_id: dataset repository.
        corpus: published corpus of the rows; default: the one whose name the rows carry, if any.
        visibility: `private`, `gated` (everyone sees the card, and you grant access to the rows) or `public`; default:
            `private` if the license of the corpus requires it or the rows belong to no published corpus, else `public`.
        revision: branch to commit to.
        api: client of the Hub.

    Raises:
        ValueError: If a protected corpus would become public, the rows belong to another corpus, or they name media files
            of this machine instead of features; and the errors of `hub.upload`.
    """
    folder = Path(folder)
    record = read_corpus(folder)
    owner = {get_corpus(name).title: name for name in CORPORA}.get(record.name, corpus)
    name = corpus or owner
    published = None if name is None else get_corpus(name)
    visibility = visibility or ("public" if published and not published.gated else "private")
    if visibility not in VISIBILITY:
        raise ValueError(f"`visibility` is {visibility!r}; expected one of {', '.join(VISIBILITY)}.")
    if published and published.gated and visibility == "public":
        raise ValueError(
            f"{published.title} may not be shared publicly ({published.license}); push it as private, or as gated."
        )
    if corpus is not None and owner != corpus:
        raise ValueError(f"{folder} holds rows of {record.name}; push them with datasets_scripts/{owner}.py.")
    for path in sorted(folder.glob("*.parquet")):
        for column in pq.read_table(path, columns=["audio_file", "video_file"]).columns:
            if column.null_count < len(column):
                raise ValueError(
                    f"{path} names media files, which are not uploaded; extract features with `mm-affect extract` and push "
                    "those."
                )
    if not (folder / "README.md").is_file():  # `mm-affect extract` writes none
        write_dataset_card(folder, record, published.access if published else "")
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
