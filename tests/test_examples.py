# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Examples are programs under test: every config loads, the demo runs on few clips, fine-tuning goes on from a checkpoint."""

import importlib
import json
from pathlib import Path

import pytest
from corpora import tiny_rows, tiny_run
from transformers import AutoConfig, AutoModel

from mm_affect.training.config import RunConfig


ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    return importlib.import_module


RUNS = [path for path in (ROOT / "examples" / "configs").rglob("*.json") if not path.stem.startswith("pretrain_")]


@pytest.mark.parametrize("path", sorted(RUNS), ids=lambda path: path.stem)
def test_every_config_describes_a_run(path):
    config = RunConfig.load(path)
    AutoConfig.for_model(config.architecture, **config.model)


def test_the_demo_walks_the_whole_road(example, monkeypatch, tmp_path, capsys):
    """On sixty clips and one epoch: every stop leaves its output, and the prediction is printed."""
    demo = example("demo")
    config = json.loads((ROOT / demo.CONFIG).read_text())
    config["training"]["epochs"] = 1
    monkeypatch.chdir(tmp_path)
    (tmp_path / demo.CONFIG).parent.mkdir(parents=True)
    (tmp_path / demo.CONFIG).write_text(json.dumps(config))
    step = demo.step
    fewer = {"Generate the sample corpus (synthetic)": ("--clips", "60"), "Extract features": ("--workers", "1")}
    monkeypatch.setattr(demo, "step", lambda title, *command: step(title, *command, *fewer.get(title, ())))
    demo.main()
    printed = capsys.readouterr().out
    for output in (
        "corpus/manifest.csv",
        "rows/corpus.json",
        "run/results.json",
        "run/README.md",
        "run/plots/subsets.png",
    ):
        assert (tmp_path / "demo_output" / output).stat().st_size > 0, output
    prediction = printed[printed.index("== Predict") :]
    assert all(task in prediction for task in ("emotion", "sentiment", "sarcasm", "Labels of the clip"))


def test_fine_tuning_lowers_the_validation_loss(example, tmp_path):
    finetune = example("finetune").finetune
    first = finetune(str(tiny_run()), str(tiny_rows()), str(tmp_path / "a"), epochs=1, learning_rate=1e-6, seed=0)
    more = finetune(str(tiny_run()), str(tiny_rows()), str(tmp_path / "b"), epochs=4, learning_rate=5e-3, seed=0)
    assert more["eval_loss"] < first["eval_loss"]
    AutoModel.from_pretrained(tmp_path / "b")
