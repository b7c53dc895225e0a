# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Embeddings as rows: they are the model's own, they say which model made them, and other models are trained on them."""

import hashlib
import json

import numpy as np
import pytest
import torch
from corpora import SIZES, make_rows, run_config, sample_rows, sample_run, tiny_rows, tiny_run, write_tiny_rows
from transformers import AutoModel, AutoProcessor

from mm_affect import AffectProcessor, JointEmbeddingsConfig, JointEmbeddingsForPreTraining
from mm_affect.checkpoints.loading import load_checkpoint
from mm_affect.cli.main import main
from mm_affect.data import RowReader, load, read_corpus
from mm_affect.data.ragged import RowDataset
from mm_affect.preparation.embedding import Embedder, embed_rows
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


SMALL = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "encoder_layers": 1, "decoder_layers": 1}


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """A random model as pretraining leaves it, for the tiny rows."""
    folder = tmp_path_factory.mktemp("joint") / "tiny_joint"
    torch.manual_seed(0)
    config = JointEmbeddingsConfig.pretraining(["x", "y"], feature_sizes=SIZES, modalities=list(SIZES), **SMALL)
    JointEmbeddingsForPreTraining(config).save_pretrained(folder)
    AffectProcessor(SIZES).fit(make_rows("train")).save_pretrained(folder)
    return folder


@pytest.fixture
def embed(tmp_path, capsys):
    def run(model, rows, output, *words, code=0):
        given = main(["embed", "--model", str(model), "--rows", str(rows), "--output", str(output), *map(str, words)])
        printed = capsys.readouterr()
        assert given == code and "Traceback" not in printed.err, printed.err
        errors = [line for line in printed.err.splitlines() if line.startswith("mm-affect: ")]
        assert len(errors) == code, printed.err
        return errors[0] if code else printed.out

    return run


def rows_of(folder, split="test"):
    return RowReader(load(folder)[split])


def test_a_sequence_is_the_joint_embedding_of_each_row(joint, embed, tmp_path):
    embed(joint, tiny_rows(), tmp_path / "out")
    model, processor = load_checkpoint(str(joint))
    assert read_corpus(tmp_path / "out").sizes == SIZES | {"audio": 8}
    steps = []
    for ours, theirs in zip(rows_of(tmp_path / "out"), rows_of(tiny_rows()), strict=True):
        with torch.no_grad():
            values, mask = model.embed(**processor(theirs))
        np.testing.assert_allclose(ours["audio"], values[0][mask[0]].numpy(), atol=1e-5)
        steps.append(len(theirs["audio"]))
        assert len(ours["audio"]) == steps[-1]
        assert all(np.array_equal(ours[m], theirs[m], equal_nan=True) for m in ("text", "visual"))
        assert ours["labels"] == theirs["labels"] and ours["id"] == theirs["id"]
    assert 0 in steps and max(steps) > 3, "one without audio, or this test says less"


def test_any_model_gives_its_fusion_view(embed, tmp_path):
    assert "has no joint embedding of every step; use its pooled embedding" in embed(
        tiny_run(), tiny_rows(), tmp_path / "out", code=1
    )
    embed(tiny_run(), tiny_rows(), tmp_path / "out", "--pooled", "--as", "visual", "--modalities", "text", "audio")
    model, processor = AutoModel.from_pretrained(tiny_run()).eval(), AutoProcessor.from_pretrained(tiny_run())
    seen = RowDataset(rows_of(tiny_rows()), ("text", "audio"))
    for ours, theirs in zip(rows_of(tmp_path / "out"), seen, strict=True):
        heard = len(theirs["text"]) + len(theirs["audio"]) > 0
        with torch.no_grad():
            expected = model(**processor(theirs)).pooler_output.numpy()
        assert ours["visual"].shape == (int(heard), expected.shape[1])
        np.testing.assert_allclose(ours["visual"], expected[: int(heard)], atol=1e-5)


def test_masked_steps_inside_stay_masked(joint):
    model, processor = load_checkpoint(str(joint))
    audio = np.ones((4, 3), np.float32)
    audio[1] = np.nan
    found = Embedder(model, processor, tuple(SIZES))([{"audio": audio}, {"audio": np.ones((6, 3), np.float32)}])
    assert [len(values) for values in found] == [4, 6]
    assert np.isnan(found[0]).all(1).tolist() == [False, True, False, False] and np.isfinite(found[1]).all()


def test_provenance_is_recorded_and_mixing_refused(joint, embed, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments, "publish", lambda *_: None)
    embed(joint, tiny_rows(), tmp_path / "out")
    described = read_corpus(tmp_path / "out").extractors["audio"]
    weights = hashlib.sha256((joint / "model.safetensors").read_bytes()).hexdigest()
    assert described["weights_sha256"] == weights and described["model"] == "tiny_joint"
    assert read_corpus(tmp_path / "out").manifest_hash != read_corpus(tiny_rows()).manifest_hash
    config = run_config(tmp_path / "run", rows=str(tmp_path / "out"), modalities=["audio"], training={"epochs": 1})
    config["model"] = {"fusion": "lf", "encoder": "avg", "late_sizes": {"audio": 4}}
    experiments.run(RunConfig.from_dict(config))
    assert AutoProcessor.from_pretrained(tmp_path / "run").feature_sizes == {"audio": 8}
    model, processor = load_checkpoint(str(joint))
    model.projections["audio"].weight.data += 1
    model.save_pretrained(tmp_path / "other")
    processor.save_pretrained(tmp_path / "other")
    embed(tmp_path / "other", tiny_rows(), tmp_path / "others")
    assert main(["evaluate", "--model", str(tmp_path / "run"), "--rows", str(tmp_path / "out")]) == 0
    refused = AutoProcessor.from_pretrained(tmp_path / "run").check_extractors
    with pytest.raises(ValueError, match="audio features of the rows were made with model 'other'"):
        refused(read_corpus(tmp_path / "others").extractors)


def test_the_processor_of_the_rows_goes_along(embed, tmp_path, monkeypatch):
    """A run on embeddings beside extracted streams; only clips cannot be embedded on the way."""
    monkeypatch.setattr(experiments, "publish", lambda *_: None)
    embed(sample_run(), sample_rows(), tmp_path / "out", "--pooled")
    before, after = AutoProcessor.from_pretrained(sample_rows()), AutoProcessor.from_pretrained(tmp_path / "out")
    assert after.extractors["visual"] == before.extractors["visual"]
    assert after.extractors["audio"]["name"] == "pooled_embedding" and after.normalization["audio"] == "standard"
    config = run_config(tmp_path / "run", rows=str(tmp_path / "out"), training={"epochs": 1, "batch_size": 4})
    experiments.run(RunConfig.from_dict(config))
    with pytest.raises(ValueError, match="audio features were made by 'pooled_embedding', which cannot be run here"):
        AutoProcessor.from_pretrained(tmp_path / "run").extractor("audio")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_interruption_costs_no_shard(joint, tmp_path):
    model, processor = load_checkpoint(str(joint))
    embedder, calls = Embedder(model, processor, tuple(SIZES)), []
    embed_rows(embedder, joint, tiny_rows(), tmp_path / "whole")

    def stop(done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_rows(embedder, joint, tiny_rows(), tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()
    assert json.loads((tmp_path / ".out.rewriting" / "plan.json").read_text())["as"] == "audio"
    with pytest.MonkeyPatch.context() as patch:
        call = Embedder.__call__
        patch.setattr(Embedder, "__call__", lambda self, rows: calls.append(len(rows)) or call(self, rows))
        embed_rows(embedder, joint, tiny_rows(), tmp_path / "out")
    assert len(calls) == 1 and contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_bad_input_is_one_sentence(joint, embed, tmp_path):
    extracted = write_tiny_rows(tmp_path / "extracted", extractors={"audio": {"name": "log_mel", "version": 1}})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("keep me")
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in joint.iterdir():
        (bare / path.name).write_bytes(path.read_bytes())
    (bare / "model.safetensors").unlink()
    for model, rows, output, words, sentence in (
        (tmp_path / "none", tiny_rows(), "out", [], "is not a checkpoint"),
        (bare, tiny_rows(), "out", [], "no file named model.safetensors"),
        (joint, tmp_path / "none", "out", [], "is not a folder of rows"),
        (joint, sample_rows(), "out", [], "numbers per step; the model needs"),
        (joint, extracted, "out", [], "do not say which extractor"),
        (
            joint,
            tiny_rows(),
            "out",
            ["--as", "smell"],
            "--as is 'smell'; expected one of text, audio, visual",
        ),
        (joint, tiny_rows(), "out", ["--modalities", "smell"], "does not read 'smell'"),
        (joint, tiny_rows(), "full", [], "holds no mm_affect rows; it is left alone"),
    ):
        assert sentence in embed(model, rows, tmp_path / output, *words, code=1)
        assert not (tmp_path / "out").exists()
