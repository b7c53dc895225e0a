# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What `push` sends, and what it refuses. The network itself is not tested here."""

from types import SimpleNamespace

import pytest
from huggingface_hub.utils import filter_repo_objects

from mm_affect.hub import REQUIRED, push


class Recorder:
    """Stands for the Hub: notes the files that a real upload of the same arguments would send."""

    def create_repo(self, repo_id, private, exist_ok):
        self.repo = (repo_id, private, exist_ok)

    def upload_folder(self, repo_id, folder_path, allow_patterns, commit_message):
        files = [str(path.relative_to(folder_path)) for path in folder_path.rglob("*") if path.is_file()]
        self.sent = sorted(filter_repo_objects(files, allow_patterns=allow_patterns))
        return SimpleNamespace(commit_url=f"{repo_id}/commit/1")


@pytest.fixture
def finished(tmp_path):
    for name in (
        *REQUIRED,
        "run.json",
        "plots/training.png",
        "seeds/seed-0/model.safetensors",
        "seeds/seed-0/seed.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def test_the_checkpoint_is_sent_and_the_seeds_stay(finished):
    hub = Recorder()
    assert push(finished, "org/ef-lf", private=True, api=hub) == "org/ef-lf/commit/1"
    assert hub.repo == ("org/ef-lf", True, True)
    assert hub.sent == sorted([*REQUIRED, "run.json", "plots/training.png"])


@pytest.mark.parametrize("name", REQUIRED)
def test_an_unfinished_run_is_refused(finished, name):
    (finished / name).unlink()
    hub = Recorder()
    with pytest.raises(FileNotFoundError, match=f"no {name}"):
        push(finished, "org/ef-lf", api=hub)
    assert not hasattr(hub, "repo")
