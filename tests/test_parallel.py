# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Several trainings at a time: the same results in the same order, failures pass, one thread each."""

import json
import operator
import os

import pytest
from corpora import run_config, tiny_run

from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig
from mm_affect.training.parallel import run_parallel
from mm_affect.training.run_output import read_finished


def test_one_job_stays_here():
    assert run_parallel(operator.sub, [(7, 1), (7, 2)], 1) == [6, 5]
    assert run_parallel(os.getpid, [()], 4) == [os.getpid()], "one call needs no process"
    assert run_parallel(os.getpid, [], 2) == []
    with pytest.raises(ValueError, match="The number of jobs is 0; expected 1 or more"):
        run_parallel(os.getpid, [()], 0)


def test_a_failure_in_another_process_passes():
    with pytest.raises(ZeroDivisionError):
        run_parallel(operator.truediv, [(1, 1), (1, 0)], 2)


def test_seeds_at_a_time_are_those_one_after_another(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "publish", lambda output, best: None)
    config = json.loads((tiny_run() / "run.json").read_text()) | {"output": str(tmp_path / "run")}
    experiments.run(RunConfig.from_dict(config), jobs=2)
    ours, theirs = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path / "run", tiny_run()))
    assert ours["summary"] == theirs["summary"] and list(ours["seeds"]) == list(theirs["seeds"]) == ["0", "1"]


def test_seeds_can_be_added_and_finished_ones_are_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "publish", lambda output, best: None)
    trained, train = [], experiments.train_seed
    monkeypatch.setattr(
        experiments, "train_seed", lambda prepared, seed, folder: trained.append(seed) or train(prepared, seed, folder)
    )
    fields = run_config(tmp_path / "run", training={"epochs": 1})
    one, two = (RunConfig.from_dict(fields | {"seeds": seeds}) for seeds in ([0], [0, 1]))
    experiments.run(one)
    assert read_finished(one) and read_finished(two) is None, "one seed does not stand for two"
    assert list(experiments.run(two, resume=True).seeds) == ["0", "1"] and trained == [0, 1]
    assert read_finished(two) and read_finished(one) is None
