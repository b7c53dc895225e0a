# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A checkpoint by its folder, and by its name on the Hub, which every command that reads one takes. (`test_hub_round_trip.py`
asks a Hub; here it is told where the folder is.)"""

from dataclasses import replace
from pathlib import Path

import pytest
from corpora import sample_rows, sample_run

from mm_affect.checkpoints import hub
from mm_affect.checkpoints import loading as checkpoint
from mm_affect.cli.main import main
from mm_affect.data import read_corpus
from mm_affect.inference.demo.model_info import read_model_info
from mm_affect.preparation.weak_labels import read_label_source
from mm_affect.tasks import Task


NAME = "org/trained@v1"


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Names that the Hub was asked for; it has `sample_run` under each."""
    names: list[str] = []
    monkeypatch.setattr(hub, "pull", lambda name: names.append(name) or Path(sample_run()))
    checkpoint._pulled.cache_clear()
    yield names
    checkpoint._pulled.cache_clear()


@pytest.mark.full
def test_a_name_is_asked_for_once_and_a_folder_never(asked):
    assert checkpoint.find_checkpoint(sample_run()) == Path(sample_run()) and asked == []
    for _ in range(2):
        assert checkpoint.find_checkpoint(NAME) == Path(sample_run())
    checkpoint.load_checkpoint(NAME)
    assert asked == [NAME]


def test_what_is_neither_is_one_sentence(monkeypatch):
    def pull(name):
        raise FileNotFoundError(f"There is no model {name} on the Hub.")

    monkeypatch.setattr(hub, "pull", pull)
    with pytest.raises(
        ValueError, match=r"org/none is not a checkpoint \(neither a folder nor on the Hub\): There is no"
    ):
        checkpoint.load_checkpoint("org/none")


@pytest.mark.full
def test_every_reader_of_a_checkpoint_takes_the_name(asked, tmp_path):
    task = Task("sentiment", "regression")
    here, there = read_label_source(sample_run(), task, 0.5), read_label_source(NAME, task, 0.5)
    assert there == replace(here, model=NAME)
    model, _ = checkpoint.load_checkpoint(NAME)
    assert (
        read_model_info(NAME, model).corpus
        == read_model_info(str(sample_run()), model).corpus
        == "mm_affect sample corpus"
    )
    command = ["embed", "--model", NAME, "--rows", str(sample_rows()), "--output", str(tmp_path / "joint"), "--pooled"]
    assert main(command) == 0
    assert read_corpus(tmp_path / "joint").extractors["audio"]["model"] == NAME
    assert set(asked) == {NAME}
