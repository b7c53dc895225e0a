# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A finished run to the Hub, and back: `push` uploads what a user needs, `pull` fetches it."""

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download


REQUIRED = ("config.json", "model.safetensors", "processor_config.json", "README.md", "results.json")
PUBLISHED = [*REQUIRED, "run.json", "word_vectors.*", "transcripts/*", "plots/*"]


def push(folder: str | Path, repo_id: str, private: bool = False, api: HfApi | None = None) -> str:
    """Upload checkpoint, processor, card, results and plots of a run in one commit; returns the commit's address.

    The seeds' own checkpoints and the optimiser's state stay here. Pushing the same folder again changes nothing.

    Args:
        folder: output folder of a finished run.
        repo_id: `"organisation/name"`; made if it does not exist.
        api: where to; default: the Hub with the token of `hf auth login`.

    Raises:
        FileNotFoundError: the run is not finished, or the folder is none.
    """
    folder = Path(folder)
    for name in REQUIRED:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}, so it is not a finished run; train it before pushing.")
    api = api or HfApi()
    api.create_repo(repo_id, private=private, exist_ok=True)
    info = api.upload_folder(
        repo_id=repo_id, folder_path=folder, allow_patterns=PUBLISHED, commit_message=f"Upload {folder.name}"
    )
    return info.commit_url


def pull(repo_id: str, revision: str | None = None) -> Path:
    """The local folder of a published checkpoint, downloaded if it is not in the cache."""
    return Path(snapshot_download(repo_id, revision=revision, allow_patterns=PUBLISHED))
