# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Upload of checkpoints and finished runs to the Hub (`push`), and verified download (`pull`).

Unlike `HfApi.upload_folder`, which may split a folder into several commits, everything is uploaded in one commit, so that
weights are never visible without their config. After a broken connection, completed uploads are not repeated.
"""

import hashlib
import os
import shutil
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, HfApi
from safetensors import SafetensorError, safe_open

from .hub_errors import readable_errors, with_retries


REQUIRED = ("config.json", "model.safetensors", "processor_config.json")
RUN_FILES = ("README.md", "results.json")
TOKENIZER = ["tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json"]
TOKENIZER += ["spiece.model", "spm.model", "sentencepiece.bpe.model"]
PUBLISHED = [
    *REQUIRED,
    *RUN_FILES,
    *TOKENIZER,
    "run.json",
    "word_vectors.*",
    "transcripts/*",
    "plots/*",
    ".eval_results/*",
]
FETCHED = [*PUBLISHED, "model*.safetensors*"]
MARKERS = {"config.json": "mm_affect_", "processor_config.json": "AffectProcessor"}  # text that identifies our files
IGNORED_FILES = (".gitattributes", ".gitignore", "README.md", "LICENSE")


def push(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    with_code: bool = False,
    api: HfApi | None = None,
) -> str:
    """Upload checkpoint, processor, card, results and plots of a run in one commit and return the URL of the commit.

    Checkpoints of single seeds and optimizer states are not uploaded. Pushing the same folder again changes nothing.

    Args:
        folder: output folder of a finished run, or a pretrained or converted checkpoint.
        repo_id: `"organization/name"`; created if it does not exist.
        private: True if a new repository is private.
        revision: branch; created if it does not exist. Default: main.
        with_code: also upload the code of the model, see `remote_code`; the folder is not changed.
        api: client; default: the Hub with the token of `hf auth login`.

    Raises:
        FileNotFoundError: the run is not finished, or a file of the checkpoint is missing.
        ValueError: the weights are damaged; see also `upload`.
        OSError: see `upload`.
    """
    folder = Path(folder)
    for name in (*REQUIRED, *(RUN_FILES if (folder / "run.json").is_file() else ())):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}, so it is neither a finished run nor a complete checkpoint; finish training before pushing."
            )
    try:
        with safe_open(folder / "model.safetensors", framework="np"):
            pass
    except SafetensorError as error:
        raise ValueError(f"The weights in {folder} are damaged ({error}); train it again before pushing.") from error
    options: dict[str, Any] = {"private": private, "revision": revision, "api": api}
    if not with_code:
        return upload(folder, PUBLISHED, repo_id, MARKERS, **options)
    from .remote_code import add_code

    with tempfile.TemporaryDirectory() as place:
        copied = Path(place) / folder.resolve().name
        shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("seeds"))
        return upload(copied, [*PUBLISHED, *add_code(copied)], repo_id, MARKERS, **options)


def upload(
    folder: Path,
    patterns: list[str],
    repo_id: str,
    ours: dict[str, str],
    repo_type: str = "model",
    private: bool = False,
    gated: bool = False,
    revision: str | None = None,
    api: HfApi | None = None,
) -> str:
    """Upload the matching files of a folder in one commit and return the URL of the commit.

    Args:
        folder: folder to upload.
        patterns: names of files, `*` matches within a folder; see `matches`.
        repo_id: `"organization/name"`; created if it does not exist.
        ours: `{file: text}`; a repository with files is accepted only if one of these files contains its text.
        repo_type: `"model"` or `"dataset"`.
        private: True if a new repository is private.
        gated: True if every reader has to be granted access.
        revision: branch; created if it does not exist. Default: main.
        api: client; default: the Hub with the token of `hf auth login`.

    Raises:
        ValueError: the repository holds other files, or is public although `private` is requested.
        OSError: the Hub refuses or cannot be reached; see `hub_errors.readable_errors`.
    """
    api = api or HfApi()
    where: dict[str, Any] = {"repo_id": repo_id, "repo_type": repo_type}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [name for path in paths if matches(name := path.relative_to(folder).as_posix(), patterns)]
    additions = [CommitOperationAdd(name, str(folder / name)) for name in names]
    with readable_errors(api, writing=True, **where):
        with_retries(api.create_repo, **where, private=private or None, exist_ok=True)
        repository = with_retries(api.repo_info, **where)
        if private and not repository.private:
            raise ValueError(
                f"{repo_id} exists and is public; make it private in its settings on the Hub, or push to another name."
            )
        files = repository.siblings or ()  # type: ignore[union-attr]  # only kernels have none
        _check_ours(api, {file.rfilename for file in files} - {*IGNORED_FILES}, ours, **where)
        if gated:
            with_retries(api.update_repo_settings, **where, gated="manual")
        if revision is not None:
            with_retries(api.create_branch, **where, branch=revision, exist_ok=True)
        api.preupload_lfs_files(**where, additions=additions, revision=revision, free_memory=False)
        message = f"Upload {folder.resolve().name}"
        commit = {"operations": additions, "commit_message": message, "revision": revision}
        return with_retries(api.create_commit, **where, **commit).commit_url


def matches(name: str, patterns: list[str]) -> bool:
    """Return True if the name of a file matches one of the patterns; `*` does not match `/`."""
    return any(fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns)


def _check_ours(api: HfApi, there: set[str], ours: dict[str, str], repo_id: str, repo_type: str) -> None:
    """Raise a ValueError if the repository holds files, but none that identifies it as ours."""
    for name in sorted(there & ours.keys()):
        if ours[name] in Path(api.hf_hub_download(repo_id, name, repo_type=repo_type)).read_text(encoding="utf-8"):
            return
    if there:
        raise ValueError(
            f"{repo_id} exists and holds other files (such as {min(there)}); nothing was uploaded. Push to another "
            "name, or delete these files first."
        )


def pull(name: str, revision: str | None = None, api: HfApi | None = None) -> Path:
    """Download a published checkpoint, unless it is in the cache, and return its local folder.

    Every file is verified against its hash on the Hub. A damaged file is deleted, so that the next call downloads it again.

    Args:
        name: `"organization/name"`, or `"organization/name@revision"`.
        revision: branch, tag or commit hash; default: the revision in the name, or the newest commit on main.
        api: client; default: the Hub with the token of `hf auth login`.

    Raises:
        ValueError: the repository is not a model of mm_affect, or a downloaded file is damaged.
        OSError: no such repository or revision, no permission, no network; see `hub_errors.readable_errors`.
    """
    api = api or HfApi()
    repo_id, revision = parse_name(name, revision)
    with readable_errors(api, repo_id, revision=revision):
        config = (
            Path(api.snapshot_download(repo_id, revision=revision, allow_patterns=["config.json"])) / "config.json"
        )
        if not config.is_file():
            raise ValueError(f"{repo_id} on the Hub is not a model (it has no config.json).")
        _check_hash(config, repo_id)
        if MARKERS["config.json"] not in config.read_text(encoding="utf-8"):  # before the weights are downloaded
            raise ValueError(f"{repo_id} on the Hub is a model of another architecture; choose a model of mm_affect.")
        folder = Path(api.snapshot_download(repo_id, revision=revision, allow_patterns=FETCHED))
    if not any(folder.glob("model*.safetensors")):
        raise ValueError(f"{repo_id} on the Hub has no weights (model.safetensors), or they are not in the cache.")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        _check_hash(path, repo_id)
    return folder


def pull_file(name: str, filename: str, api: HfApi | None = None) -> Path:
    """Download one file of a published checkpoint, unless it is in the cache, and return its local path.

    Args:
        name: see `pull`.
        filename: path of the file in the repository.
        api: client; default: the Hub with the token of `hf auth login`.

    Raises:
        FileNotFoundError: the repository has no such file.
        ValueError: see `pull`.
        OSError: see `pull`.
    """
    api = api or HfApi()
    repo_id, revision = parse_name(name)
    with readable_errors(api, repo_id, revision=revision):
        folder = Path(api.snapshot_download(repo_id, revision=revision, allow_patterns=[filename]))
    if not (folder / filename).is_file():
        raise FileNotFoundError(f"{repo_id} on the Hub has no {filename}.")
    _check_hash(folder / filename, repo_id)
    return folder / filename


def parse_name(name: str, revision: str | None = None) -> tuple[str, str | None]:
    """Split `"organization/name@revision"` into repository and revision; an explicit `revision` wins."""
    repo_id, _, suffix = name.partition("@")
    return repo_id, revision or suffix or None


def _check_hash(path: Path, repo_id: str) -> None:
    """Verify a cached file against its hash on the Hub, which is the name of the file that the path links to.

    On file systems without links the cache holds no hashes, and the file is not verified.
    """
    if not path.is_symlink():
        return
    blob = path.parent / os.readlink(path)
    if len(blob.name) in (40, 64) and _compute_hash(path, sha256=len(blob.name) == 64) != blob.name:
        blob.unlink()
        path.unlink()
        raise ValueError(f"{path.name} of {repo_id} was damaged in transfer and has been deleted; try again.")


def _compute_hash(path: Path, sha256: bool) -> str:
    """Compute the hash that the Hub names a file by: sha256 for large files, that of git for others."""
    digest = hashlib.sha256() if sha256 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
