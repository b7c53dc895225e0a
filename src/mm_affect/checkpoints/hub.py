# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A checkpoint, as a rule a finished run, to the Hub, and back: `push` uploads what a user needs, `pull` fetches it and checks what came.

Differs from `HfApi.upload_folder`, which may make several commits of one folder: here one commit holds all, so that nobody ever
sees weights without their config. What was uploaded before a connection broke is not uploaded again.
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
MARKERS = {"config.json": "mm_affect_", "processor_config.json": "AffectProcessor"}  # a file of ours holds this text
IGNORED_FILES = (".gitattributes", ".gitignore", "README.md", "LICENSE")


def push(
    folder: str | Path,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    with_code: bool = False,
    api: HfApi | None = None,
) -> str:
    """Upload checkpoint, processor, card, results and plots of a run in one commit; returns the commit's address.

    The seeds' own checkpoints and the optimizer's state stay here. Pushing the same folder again changes nothing.

    Args:
        folder: output folder of a finished run, or of a checkpoint without one: pretrained, or converted.
        repo_id: `"organization/name"`; made if it does not exist.
        revision: branch; made if it does not exist. Default: main.
        with_code: whether the model's code goes along, see `remote_code`; the folder stays as it is.
        api: where to; default: the Hub with the token of `hf auth login`.

    Raises:
        FileNotFoundError: the run is not finished, or something of the checkpoint is missing.
        ValueError: damaged weights, or see `upload`.
        OSError: see `upload`.
    """
    folder = Path(folder)
    for name in (*REQUIRED, *(RUN_FILES if (folder / "run.json").is_file() else ())):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} has no {name}, so it is neither a finished run nor a whole checkpoint; train it before pushing."
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
    """The files of a folder that match, in one commit to a repository, which is made if need be; returns its address.

    Args:
        ours: `{file: text}`; a repository that holds files already must have one of these files with this text in it.
        gated: whether access has to be granted to each reader.

    Raises:
        ValueError: the repository holds something else, or everybody can read what is to be private.
        OSError: what the Hub, or the way there, does not allow; see `hub_errors.readable_errors`.
    """
    api = api or HfApi()
    where: dict[str, Any] = {"repo_id": repo_id, "repo_type": repo_type}
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [name for path in paths if matches(name := path.relative_to(folder).as_posix(), patterns)]
    additions = [CommitOperationAdd(name, str(folder / name)) for name in names]
    with readable_errors(api, writing=True, **where):
        with_retries(api.create_repo, **where, private=private or None, exist_ok=True)
        found = with_retries(api.repo_info, **where)
        if private and not found.private:
            raise ValueError(
                f"{repo_id} exists and is public; make it private in its settings on the Hub, or push to another name."
            )
        _check_ours(api, {file.rfilename for file in found.siblings or ()} - {*IGNORED_FILES}, ours, **where)
        if gated:
            with_retries(api.update_repo_settings, **where, gated="manual")
        if revision is not None:
            with_retries(api.create_branch, **where, branch=revision, exist_ok=True)
        api.preupload_lfs_files(**where, additions=additions, revision=revision, free_memory=False)
        message = f"Upload {folder.resolve().name}"
        commit = {"operations": additions, "commit_message": message, "revision": revision}
        return with_retries(api.create_commit, **where, **commit).commit_url


def matches(name: str, patterns: list[str]) -> bool:
    """Whether the name of a file is one of these, in the same folder: `*` is no `/`."""
    return any(fnmatchcase(name, pattern) and name.count("/") == pattern.count("/") for pattern in patterns)


def _check_ours(api: HfApi, there: set[str], ours: dict[str, str], repo_id: str, repo_type: str) -> None:
    """Refuse a repository that holds files, none of which says that it is one of ours."""
    for name in sorted(there & ours.keys()):
        if ours[name] in Path(api.hf_hub_download(repo_id, name, repo_type=repo_type)).read_text(encoding="utf-8"):
            return
    if there:
        raise ValueError(
            f"{repo_id} exists and holds something else (such as {min(there)}); nothing was uploaded. Push to another "
            "name, or remove what is there first."
        )


def pull(name: str, revision: str | None = None, api: HfApi | None = None) -> Path:
    """The local folder of a published checkpoint: its files of that revision, downloaded if they are not in the cache.

    Every file is compared with the hash that the Hub gives it; a damaged one is thrown away, and fetched by the next try.

    Args:
        name: `"organization/name"`, or `"organization/name@revision"`.
        revision: branch, tag or sha of a commit; default: that of the name, or the newest on main.

    Raises:
        ValueError: the repository holds no model of ours, or a file that came is not the one that the Hub has.
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
        if MARKERS["config.json"] not in config.read_text(encoding="utf-8"):  # before its weights are fetched
            raise ValueError(f"{repo_id} on the Hub is a model of another architecture; give one that mm_affect made.")
        folder = Path(api.snapshot_download(repo_id, revision=revision, allow_patterns=FETCHED))
    if not any(folder.glob("model*.safetensors")):
        raise ValueError(f"{repo_id} on the Hub has no weights (model.safetensors), or they are not in the cache.")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        _check_hash(path, repo_id)
    return folder


def pull_file(name: str, filename: str, api: HfApi | None = None) -> Path:
    """One file of a published checkpoint, named as for `pull`, downloaded if it is not in the cache.

    Raises:
        FileNotFoundError: the repository has no such file.
        ValueError, OSError: as of `pull`.
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
    """Repository and revision of `"organization/name"` or `"organization/name@revision"`."""
    repo_id, _, of_name = name.partition("@")
    return repo_id, revision or of_name or None


def _check_hash(path: Path, repo_id: str) -> None:
    """Compare a file of the cache with the hash that the Hub gives it: the name of what the path is a link to.

    Where a file system has no links, the cache keeps no hash, and nothing can be compared.
    """
    if not path.is_symlink():
        return
    blob = path.parent / os.readlink(path)
    if len(blob.name) in (40, 64) and _hash_of(path, sha256=len(blob.name) == 64) != blob.name:
        blob.unlink()
        path.unlink()
        raise ValueError(f"{path.name} of {repo_id} was damaged on its way and is thrown away; try again.")


def _hash_of(path: Path, sha256: bool) -> str:
    """The hash by which the Hub names a file: sha256 of a large one, git's of the others."""
    found = hashlib.sha256() if sha256 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()
