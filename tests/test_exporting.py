# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""ONNX graphs answer as the models they were made from, at rows and lengths that these were not traced with.

An export takes its time, so that two architectures stand for all: a loop over the steps (MFN), and attention within and
across modalities (joint embeddings). What the others do while they are exported is compared in `test_modeling_common.py`, and
`benchmarks/onnx_export.py` exports every one.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from corpora import sample_corpus, sample_run
from test_mfn import SMALL as SMALL_MFN
from test_modeling_common import SIZES, TASKS, make_inputs, one_row, with_padding, without
from torch import nn
from transformers import AutoModel, AutoProcessor, BertConfig

from mm_affect import FusionConfig, FusionForAffect, JointEmbeddingsConfig, MFNConfig
from mm_affect.checkpoints import onnx_export as exporting
from mm_affect.cli.main import main


CONFIGS = {
    "mfn": lambda fields: MFNConfig(**SMALL_MFN | fields),
    "joint": lambda fields: JointEmbeddingsConfig(hidden_size=8, intermediate_size=6, encoder_layers=1, **fields),
}


def small_model(name: str):
    torch.manual_seed(0)
    return AutoModel.from_config(CONFIGS[name]({"feature_sizes": SIZES, "tasks": TASKS})).eval()


def one_masked_step(inputs: dict, modality: str) -> dict:
    """The batch without a modality, which is how the graph is told that it is missing in all rows."""
    rows = len(inputs[modality])
    return inputs | {modality: torch.zeros(rows, 1, SIZES[modality]), f"{modality}_mask": torch.zeros(rows, 1) > 0}


def batches(config) -> dict[str, dict]:
    """Batches that are shaped unlike the sample of the export, with padding everywhere, and with modalities missing."""
    ragged = make_inputs(config)
    found = {"ragged": ragged, "padded with numbers": with_padding(ragged, 1e4)}
    found |= {f"row {row}": one_row(ragged, row) for row in (0, 1, 4)}
    for m in config.modalities:
        found |= {f"some without {m}": without(ragged, m, [0, 2]), f"no {m}": one_masked_step(ragged, m)}
    long = make_inputs(config, ragged=False)
    return found | {"long": {name: value.repeat(1, 9, *[1] * (value.ndim - 2)) for name, value in long.items()}}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_graph_answers_as_its_model(name, tmp_path):
    model = small_model(name)
    folder = exporting.export_onnx(model, tmp_path / name)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert {given.name for given in session.get_inputs()} == {*SIZES, *(f"{m}_mask" for m in SIZES)}
    outputs = [output.name for output in session.get_outputs()]
    assert sorted(outputs) == sorted([*(f"logits.{task.name}" for task in TASKS), "pooler_output"])
    for case, inputs in batches(model.config).items():
        if name == "mfn" and case.startswith("row"):  # word-aligned: cut alike
            inputs = {key: value[:, :5] for key, value in make_inputs(model.config).items()}
        with torch.inference_mode():
            expected = model(**inputs)
        found = dict(zip(outputs, session.run(None, {key: value.numpy() for key, value in inputs.items()})))
        np.testing.assert_allclose(found["pooler_output"], expected.pooler_output, rtol=0, atol=1e-5, err_msg=case)
        for task, logits in expected.logits.items():
            np.testing.assert_allclose(found[f"logits.{task}"], logits, rtol=0, atol=1e-5, err_msg=case)
    assert exporting.measure_difference(model, folder) < 1e-5


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The export of a run that reads raw clips."""
    folder = tmp_path_factory.mktemp("export") / "exported"
    assert main(["export", "--model", str(sample_run()), "--output", str(folder)]) == 0
    return folder


def test_the_runtime_example_predicts_a_clip(exported, monkeypatch, capsys):
    """As the checkpoint does, which it does not read."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parent.parent / "examples"))
    clip = next(sample_corpus().rglob("*.mp4"))
    row = {"video_file": str(clip), "transcript": "what a lovely day"}
    found = importlib.import_module("onnx_runtime").predict(exported, row)
    model, processor = AutoModel.from_pretrained(sample_run()).eval(), AutoProcessor.from_pretrained(sample_run())
    with torch.inference_mode():
        logits = model(**processor([row])).logits
    for task in model.config.tasks:
        scores = np.ravel(task.scores(logits[task.name].numpy())[0])
        np.testing.assert_allclose(list(found[task.name].values()), scores, atol=1e-5)
    monkeypatch.setattr(sys, "argv", ["onnx_runtime.py", str(exported), str(clip)])
    assert importlib.import_module("onnx_runtime").main() == 0
    said = capsys.readouterr().out
    assert all(task.name in said for task in model.config.tasks)


def test_weights_of_8_bits_are_smaller_and_still_tell_the_same(tmp_path):
    torch.manual_seed(0)
    sizes = dict.fromkeys(SIZES, 128)
    model = FusionForAffect(FusionConfig(feature_sizes=sizes, tasks=TASKS, fusion="ef", encoder="avg")).eval()
    folder = exporting.export_onnx(model, tmp_path / "graph", int8=True)
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert (folder / "model.onnx.data").stat().st_size < 0.3 * weights
    assert 1e-6 < exporting.measure_difference(model, folder) < 0.05


def test_a_folder_is_replaced_on_request_only(exported, tmp_path, monkeypatch, capsys):
    kept = {path.name: path.read_bytes() for path in exported.iterdir()}
    assert main(["export", "--model", str(sample_run()), "--output", str(exported)]) == 1
    assert "already exists; replace it" in capsys.readouterr().err
    monkeypatch.setattr(exporting, "trace", lambda model, int8: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["export", "--model", str(sample_run()), "--output", str(exported), "--overwrite"])
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == kept
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]
    monkeypatch.undo()
    (exported / "notes.txt").write_text("seen by a person")
    assert main(["export", "--model", str(sample_run()), "--output", str(exported), "--overwrite"]) == 1
    assert "notes.txt" in capsys.readouterr().err
    (exported / "notes.txt").unlink()
    (tmp_path / "thesis.tex").write_text("years of work")
    assert main(["export", "--model", str(sample_run()), "--output", str(tmp_path), "--overwrite"]) == 1
    assert "is not overwritten" in capsys.readouterr().err and (tmp_path / "thesis.tex").is_file()


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxscript" else object())
    assert main(["export", "--model", str(sample_run()), "--output", str(tmp_path / "graph")]) == 1
    assert "onnxscript" in (said := capsys.readouterr().err) and "[onnx]" in said
    assert not (tmp_path / "graph").exists()


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_gates_are_brought_into_the_order_of_onnx(kind):
    """By the names that ONNX and PyTorch give them: LSTM iofc of ifco, GRU zrh of rzh."""
    order = {"LSTM": ("ifco", "iofc"), "GRU": ("rzh", "zrh")}[kind.__name__]
    gates = torch.arange(len(order[0]))
    assert [order[0][gate] for gate in exporting.reorder_gates(gates, kind.__name__)] == list(order[1])


def test_tokens_take_the_way_of_an_export_alike(monkeypatch):
    text = BertConfig(
        vocab_size=20, hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=24,
    )  # fmt: skip
    fields = {"feature_sizes": SIZES, "tasks": TASKS, "encoder": "avg", "text_config": text}
    model = FusionForAffect(FusionConfig(**fields)).eval()
    inputs = make_inputs(model.config)
    mask = inputs.pop("text_mask").long()
    mask[0] = 0
    inputs |= {"input_ids": torch.randint(20, mask.shape), "attention_mask": mask}
    del inputs["text"]
    with torch.inference_mode():
        expected = model(**inputs).pooler_output
        monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True, raising=False)
        torch.testing.assert_close(model(**inputs).pooler_output, expected)
