# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The figures of TAILOR: their numbers by independent ways, and a sentence for each that a checkpoint cannot have."""

import csv
import functools
import json
import math
import shutil
import sys

import numpy as np
import pytest
import torch
from corpora import FIELDS, SHARED, SIZES, make_rows, run_config, tiny_rows, tiny_run, write_tiny_rows
from transformers import AutoModel, AutoProcessor

from mm_affect import Task
from mm_affect.cli.main import main
from mm_affect.evaluation import selection
from mm_affect.evaluation.plots import FigureInputs
from mm_affect.experiments.figures.tailor import (
    compute_label_correlations,
    compute_refined_features,
    embed,
    plot_label_correlations,
)
from mm_affect.features.processor import AffectProcessor
from mm_affect.models.tailor import TailorConfig
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig


ALL = {"adversarial_losses", "discriminator", "representations", "label_correlations"}
TASKS = [
    Task(field.name, field.problem_type, () if field.problem_type == "regression" else field.labels)
    for field in FIELDS
]
MODEL = {
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "encoder_layers": {"text": 1, "audio": 1, "visual": 1},
    "cross_layers": 1,
    "aligner": "none",
    "max_position_embeddings": 12,
}


@functools.cache
def tailor_run():
    """A finished run of two seeds, two epochs each."""
    output = SHARED / "tailor_run"
    fields = {"architecture": "mm_affect_tailor", "model": MODEL, "seeds": [0, 1]}
    experiments.run(RunConfig.from_dict(run_config(output, **fields)))
    return output


def save_checkpoint(folder, modalities=tuple(SIZES), **fields):
    """An untrained checkpoint, without a history."""
    torch.manual_seed(0)
    sizes = {m: SIZES[m] for m in modalities}
    config = TailorConfig(**MODEL | {"tasks": TASKS, "modalities": list(modalities), "feature_sizes": sizes} | fields)
    AutoModel.from_config(config).save_pretrained(folder)
    AffectProcessor(sizes, {}, dict.fromkeys(sizes, "none")).save_pretrained(folder)
    return folder


def subject(folder) -> FigureInputs:
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    return FigureInputs(folder, model, AutoProcessor.from_pretrained(folder), make_rows("train"), "")


def table(path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def plot(capsys, tmp_path):
    """Run `mm-affect plot`: exit code, the names of the figures it left, and the sentences it printed on stderr."""

    def run(folder, *options, rows=None, output=tmp_path / "figures"):
        capsys.readouterr()
        words = ["plot", "--model", folder, "--rows", rows or tiny_rows(), "--output", output, "--clips", 8, *options]
        code = main([str(word) for word in words])
        names = {path.stem for path in output.glob("*.png")} if output.is_dir() else set()
        assert {path.stem for path in output.glob("*.csv")} == names
        printed = capsys.readouterr()
        assert set(printed.out.splitlines()) == {str(output / f"{name}.png") for name in names}
        sentences = [line for line in printed.err.splitlines() if line.startswith("mm-affect: ")]
        assert "Traceback" not in printed.err
        return code, names, sentences

    return run


# what the figures show --------------------------------------------------------------------------------------------


def test_every_figure_of_a_run(plot, tmp_path):
    assert plot(tailor_run(), "--split", "train") == (0, ALL, [])
    for path in (tmp_path / "figures").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000
    best = selection.read_best_seed(tailor_run())
    history = json.loads((tailor_run() / "seeds" / f"seed-{best}" / "history.json").read_text())
    expected = [
        (name, entry["epoch"], entry[name])
        for name in ("loss_common_adversarial", "loss_private_adversarial", "loss")
        for entry in history
        if name in entry
    ]
    drawn = [(row["loss"], float(row["epoch"]), float(row["value"]))
             for row in table(tmp_path / "figures" / "adversarial_losses.csv")]  # fmt: skip
    assert drawn == expected and len(drawn) == 6


def test_a_seed_has_its_own_history(plot, tmp_path):
    code, names, _ = plot(tailor_run() / "seeds" / "seed-1", rows=write_tiny_rows(tmp_path / "rows"))
    assert (code, names) == (1, set())  # a seed's folder holds no processor
    folder = tmp_path / "seed"
    shutil.copytree(tailor_run() / "seeds" / "seed-1", folder)
    AutoProcessor.from_pretrained(tailor_run()).save_pretrained(folder)
    assert plot(folder)[:2] == (0, ALL)
    first = table(tmp_path / "figures" / "adversarial_losses.csv")[0]
    history = json.loads((folder / "history.json").read_text())
    assert float(first["value"]) == history[0]["loss_common_adversarial"]


def test_parts_are_those_of_each_row_alone():
    """Means are the model's views, probabilities means over real steps; missing modalities are left out."""
    chosen = subject(tailor_run())
    parts = compute_refined_features(chosen)
    assert [(p.kind, p.modality) for p in parts] == [(k, m) for k in ("private", "common") for m in SIZES]
    for part in parts:
        real = [row for row in chosen.rows if np.isfinite(row[part.modality]).all(1).any()]
        assert part.ids == [row["id"] for row in real] and 0 < len(real) < len(chosen.rows)
        for row, mean, probabilities in zip(real, part.means, part.probabilities, strict=True):
            with torch.no_grad():
                batch = chosen.processor(row)
                view = chosen.model(**batch).representations[f"{part.kind}_{part.modality}"][0]
                private, common = chosen.model.refined(**batch)
                values, mask = {"private": private, "common": common}[part.kind][part.modality]
                expected = chosen.model.discriminator(values[mask]).softmax(-1).mean(0)
            assert mean == pytest.approx(view.numpy(), abs=1e-5)
            assert probabilities == pytest.approx(expected.numpy(), abs=1e-5)
            assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_tables_of_the_parts(plot, tmp_path):
    rows = make_rows("test")
    assert plot(tailor_run(), "--clips", len(rows))[0] == 0
    present = {(row["id"], kind, m) for row in rows for m in SIZES for kind in ("private", "common") if len(row[m])}
    told_apart = table(tmp_path / "figures" / "discriminator.csv")
    places = table(tmp_path / "figures" / "representations.csv")
    for drawn in (told_apart, places):
        assert {(row["id"], row["kind"], row["modality"]) for row in drawn} == present and len(drawn) == len(present)
    assert all(math.isclose(sum(float(row[f"P({m})"]) for m in SIZES), 1, abs_tol=1e-5) for row in told_apart)
    before = (tmp_path / "figures" / "representations.csv").read_bytes()
    plot(tailor_run(), "--clips", len(rows))
    assert (tmp_path / "figures" / "representations.csv").read_bytes() == before


def test_the_seed_chooses_the_rows(plot, tmp_path):
    def ids(seed):
        assert plot(tailor_run(), "--clips", 4, "--seed", seed)[0] == 0
        return {row["id"] for row in table(tmp_path / "figures" / "discriminator.csv")}

    assert len(ids(0)) == 4 and ids(0) != ids(1)


def test_another_checkpoint_beside(plot, tmp_path):
    other = save_checkpoint(tmp_path / "other", loss_weights={"common_adversarial": 0.0})
    assert plot(tailor_run(), "--compare", other) == (0, ALL, [])
    drawn = table(tmp_path / "figures" / "representations.csv")
    assert list(dict.fromkeys(row["checkpoint"] for row in drawn)) == [str(other), str(tailor_run())]
    half = len(drawn) // 2
    assert [(r["id"], r["kind"], r["modality"]) for r in drawn[:half]] == [
        (r["id"], r["kind"], r["modality"]) for r in drawn[half:]
    ]


def test_embedding_keeps_neighbors_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 20)
    points = embed(10 * np.eye(8)[groups] + rng.normal(size=(60, 8)) / 4)
    centers = np.stack([points[groups == group].mean(0) for group in range(3)])
    nearest = np.linalg.norm(points[:, None] - centers, axis=-1).argmin(1)
    assert (nearest == groups).all()
    with pytest.raises(ValueError, match="10 representations.*give 9"):
        embed(np.eye(9))


@pytest.mark.parametrize("decoder", ["label_guided", "label_correlations"])
@torch.no_grad()
def test_label_correlations_by_hand(tmp_path, decoder):
    """Softmax of the scaled products of the normalized label embeddings, whatever the rows."""
    chosen = subject(save_checkpoint(tmp_path, decoder=decoder))
    weights, tasks = compute_label_correlations(chosen)
    assert tasks == [["sentiment"], ["no", "yes"], ["happy", "sad"]]
    step = chosen.model.decoder.correlation.attention
    labels = torch.cat([chosen.model.decoder.labels[task.name].weight for task in TASKS])
    labels = chosen.model.decoder.norm(labels)
    query, key = (part(labels).view(5, 2, 8).permute(1, 0, 2) for part in (step.query, step.key))
    expected = (query @ key.transpose(1, 2) / 8**0.5).softmax(-1)
    assert np.abs(weights - 0.2).max() > 1e-4  # not uniform, so that a wrong one would show
    np.testing.assert_allclose(weights, expected.numpy(), atol=1e-6)
    others = chosen._replace(rows=chosen.rows[5:])
    np.testing.assert_allclose(compute_label_correlations(others)[0], weights, atol=1e-6)


def test_label_correlations_drawn(tmp_path):
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 3))
    drawn = table(plot_label_correlations(weights, [["a", "b"], ["c"]], tmp_path / "r.png").with_suffix(".csv"))
    for row in drawn:
        place = int(row["head"]) - 1, "abc".index(row["label"]), "abc".index(row["attends to"])
        assert float(row["weight"]) == weights[place]
    assert len(drawn) == weights.size
    with pytest.raises(ValueError, match="3 labels"):
        plot_label_correlations(weights[:, :2, :2], [["a", "b"], ["c"]], tmp_path / "s.png")


# what cannot be drawn ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "missing", "reason"),
    [
        ({}, set(), None),
        ({"refinement": "none"}, {"discriminator", "representations"}, "refinement of the model is 'none'"),
        ({"refinement": "common"}, set(), None),
        ({"refinement": "private"}, set(), None),
        ({"decoder": "identical"}, {"label_correlations"}, "decoder is 'identical'"),
        ({"decoder": "label_embeddings"}, {"label_correlations"}, "decoder is 'label_embeddings'"),
        ({"tasks": [Task("sentiment", "regression")]}, {"label_correlations"}, "only the label 'sentiment'"),
        ({"modalities": ("audio",)}, {"discriminator"}, "only audio"),
        ({"aligner": "ctc", "aligned_length": 6, "discriminator": "mlp"}, set(), None),
    ],
)
def test_checkpoints_without_some_part(plot, tmp_path, fields, missing, reason):
    code, names, sentences = plot(save_checkpoint(tmp_path / "model", **fields))
    assert code == 0 and names == ALL - missing - {"adversarial_losses"}
    expected = [missing, {"adversarial_losses"}] if missing else [{"adversarial_losses"}]
    assert len(sentences) == len(expected)
    assert sum("There is no training history" in sentence for sentence in sentences) == 1
    if reason:
        told = next(sentence for sentence in sentences if reason in sentence)
        assert all(name in told for name in missing)


def test_a_run_without_refinement_has_no_adversarial_losses(plot, tmp_path):
    folder = save_checkpoint(tmp_path / "model", refinement="none", decoder="identical")
    (folder / "history.json").write_text(json.dumps([{"loss": 1.0, "epoch": 1.0}]))
    code, names, sentences = plot(folder)
    assert (code, names, len(sentences)) == (1, set(), 3)
    assert any("trained without refinement" in sentence for sentence in sentences)
    (folder / "history.json").write_text("[{")
    assert any("history.json is not JSON" in sentence for sentence in plot(folder)[2])


def test_too_few_rows_for_t_sne(plot):
    code, names, sentences = plot(tailor_run(), "--clips", 1)
    assert code == 0 and names == ALL - {"representations"}
    assert len(sentences) == 1 and "t-SNE needs 10 representations" in sentences[0]


def test_missing_extras_are_named(plot, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    code, names, sentences = plot(tailor_run())
    assert code == 0 and names == ALL - {"representations"} and "mm_affect[metrics]" in sentences[0]


def test_without_matplotlib_there_is_one_sentence(plot, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, names, sentences = plot(tailor_run())
    assert (code, names, len(sentences)) == (1, set(), 1) and "mm_affect[plots]" in sentences[0]


def test_wrong_input_is_one_sentence(plot, tmp_path):
    broken = save_checkpoint(tmp_path / "broken")
    model = AutoModel.from_pretrained(broken)
    torch.nn.init.constant_(model.common[0].bias, torch.nan)
    model.save_pretrained(broken)
    aligned = save_checkpoint(tmp_path / "aligned", aligner="given")
    (tmp_path / "file").write_text("words")
    for folder, options, reason in (
        (tiny_run(), (), "mm_affect_fusion, which has no figures"),
        (tmp_path / "nothing", (), "not a checkpoint"),
        (tailor_run(), ("--rows", tmp_path / "nothing"), "nothing"),
        (tailor_run(), ("--clips", 0), "samples is 0"),
        (tailor_run(), ("--compare", tiny_run()), "those of another TAILOR checkpoint"),
        (tailor_run(), ("--compare", tmp_path / "nothing"), "not a checkpoint"),
        (tailor_run(), ("--output", tmp_path / "file"), "File exists"),
        (broken, (), "not finite; train it again"),
        (aligned, (), "word-aligned"),
    ):
        code, names, sentences = plot(folder, *options)
        assert (code, names) == (1, set()) and len(sentences) == 1 and reason in sentences[0], sentences
