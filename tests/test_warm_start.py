# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Runs that start from a checkpoint: what is taken, what is not, what is said of it, and what is refused."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from corpora import FIELDS, SIZES, make_rows, run_config
from safetensors.torch import load_file, save_file
from test_experiments import no_plots  # noqa: F401
from transformers import set_seed

from mm_affect import AffectProcessor, Task
from mm_affect.data import write_rows
from mm_affect.evaluation.cards import write_card
from mm_affect.models.joint_embeddings import JointEmbeddingsConfig, JointEmbeddingsForPreTraining
from mm_affect.training import prepared_run, warm_start
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig
from mm_affect.training.run_output import read_finished


SMALL = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "encoder_layers": 1}
HEARD = {"audio": SIZES["audio"], "visual": SIZES["visual"]}
EMOTION = {"name": "emotion", "labels": ["happy", "sad"]}
SARCASM = {"name": "sarcasm", "problem_type": "single_label_classification", "labels": ["no", "yes"]}


def save_pretrained(folder, tasks=(), processor=True, **fields):
    """A pretraining of speech and persons, which read neither words nor these rows' scale."""
    torch.manual_seed(7)
    config = JointEmbeddingsConfig.pretraining(
        ["ann", "bob", "eve"], modalities=["audio", "visual"], feature_sizes=HEARD, decoder_layers=1, **SMALL | fields
    )
    config.tasks = [*config.tasks, *map(Task.from_dict, tasks)]
    JointEmbeddingsForPreTraining(config).save_pretrained(folder)
    if processor:
        rows = [{m: row[m] * 3 + 100 for m in HEARD} for row in make_rows("validation")]
        AffectProcessor(HEARD).fit(rows).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return save_pretrained(tmp_path_factory.mktemp("pretrained") / "speech")


def config_from(folder, output="unused", **fields):
    model = SMALL | fields.pop("model", {})
    base = {
        "architecture": "mm_affect_joint_embeddings",
        "model": model,
        "tasks": [EMOTION],
        "pretrained": str(folder),
    }
    return RunConfig.from_dict(run_config(output, **base | fields))


def prepare(folder, **fields):
    return prepared_run.prepare(config_from(folder, **fields), measure_test=False)


def test_weights_of_the_same_name_are_taken_and_the_rest_is_named(pretrained, capsys):
    prepared = prepare(pretrained)
    told, start = capsys.readouterr().err, prepared.warm_start
    there, model = load_file(pretrained / "model.safetensors"), prepared.make_model()
    same = [name for name, value in model.state_dict().items() if name in there and torch.equal(value, there[name])]
    assert {name.split(".")[0] for name in same} == {"projections", "encoders"}
    assert start["taken"] == sum(there[name].numel() for name in same)
    assert start["new"] == ["encoders.text", "heads.heads.emotion", "projections.text"]
    assert start["dropped"] == ["decoder", "heads.heads.person"]
    unnamed = [name for name in model.state_dict() if name not in same and not name.startswith(tuple(start["new"]))]
    assert not unnamed
    assert start["settings"].keys() == {"modality_weights", "decoder_layers"}
    assert start["architecture"] == "JointEmbeddingsForPreTraining" and start["revision"] is None
    assert told.count("weights from") == 1 and all(
        part in told for part in ("heads.emotion", "heads.person", "decoder")
    )


def test_seeds_draw_what_is_new_as_they_do_without_pretraining(pretrained):
    prepared = prepare(pretrained)
    scratch = config_from(pretrained, pretrained=None)
    heads = []
    for run, seed in ((prepared.config, 0), (scratch, 0), (prepared.config, 1)):
        set_seed(seed)
        heads.append(replace(prepared, config=run).make_model().heads.heads["emotion"].weight)
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


@pytest.mark.parametrize(("labels", "kept"), [(["happy", "sad"], True), (["sad", "happy"], False)])
def test_a_head_is_taken_if_its_classes_are_in_the_same_order(tmp_path, labels, kept):
    folder = save_pretrained(tmp_path / "with_emotion", tasks=[EMOTION | {"labels": labels}])
    prepared = prepare(folder)
    head = prepared.make_model().heads.heads["emotion"].weight
    there = load_file(folder / "model.safetensors")["heads.heads.emotion.weight"]
    assert torch.equal(head, there) == kept == ("heads.heads.emotion" not in prepared.warm_start["new"])
    assert ("heads.heads.emotion" in prepared.warm_start["dropped"]) != kept


def test_the_scale_of_the_features_comes_with_the_weights(pretrained):
    processor = prepare(pretrained).processor
    theirs = AffectProcessor.from_pretrained(pretrained).statistics
    own = prepare(pretrained, pretrained=None).processor.statistics
    assert {m: processor.statistics[m] for m in HEARD} == theirs and theirs["audio"] != own["audio"]
    assert processor.statistics["text"] == own["text"]
    batch = processor([make_rows("train")[0]])
    expected = AffectProcessor.from_pretrained(pretrained)([make_rows("train")[0]])
    assert torch.equal(batch["audio"], expected["audio"])
    assert "audio" not in prepare(pretrained, normalization={"audio": "none"}).processor.statistics


def test_a_checkpoint_in_parts_and_in_less_precision_is_read(pretrained, tmp_path):
    there = load_file(pretrained / "model.safetensors")
    shutil.copy(pretrained / "config.json", tmp_path)
    names = sorted(there)
    for i, part in enumerate((names[::2], names[1::2]), 1):
        save_file({name: there[name].bfloat16() for name in part}, tmp_path / f"model-{i:05d}-of-00002.safetensors")
    prepared = prepare(tmp_path)
    weight = prepared.make_model().projections["audio"].weight
    assert weight.dtype == torch.float32 and torch.equal(weight, there["projections.audio.weight"].bfloat16().float())
    assert prepared.warm_start["taken"] == prepare(pretrained).warm_start["taken"]


def test_a_run_from_a_checkpoint(pretrained, tmp_path, no_plots):  # noqa: F811
    folder = shutil.copytree(pretrained, tmp_path / "there")
    frozen = {"epochs": 1, "learning_rates": {"encoders": 0, "projections": 0}}
    config = config_from(folder, tmp_path / "run", training=frozen)
    results = experiments.run(config)
    start = json.loads((tmp_path / "run" / "results.json").read_text())["model"]["pretrained"]
    assert start == results.model.pretrained and len(start["weights_sha256"]) == 64
    trained, there = (load_file(f / "model.safetensors") for f in (tmp_path / "run", folder))
    assert torch.equal(trained["encoders.audio.layers.0.attention_norm.weight"],
                       there["encoders.audio.layers.0.attention_norm.weight"])  # fmt: skip
    write_card(results, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert f"weights from {folder} (sha256 {start['weights_sha256'][:12]})" in card
    assert read_finished(config) == results
    there["projections.audio.bias"] += 1
    save_file(there, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="there has changed since the run"):
        read_finished(config)


def refused(folder, words, **fields):
    with pytest.raises(ValueError, match=words) as caught:
        prepare(folder, **fields)
    assert "Config pretrained" in str(caught.value) and "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused(pretrained, tmp_path):
    refused(
        pretrained,
        r"another shape .* such as: \S+ is \[.*\] in the checkpoint and \[.*\] in the model",
        model={"intermediate_size": 6},
    )
    refused(pretrained, "shares no weights with the model of this run", modalities=["text"],
            model={"missing_audio": "text_query"})  # fmt: skip
    other = dict.fromkeys(HEARD, {"name": "other", "version": 1})
    folder = shutil.copytree(pretrained, tmp_path / "other")
    AffectProcessor(HEARD, other).save_pretrained(folder)
    refused(folder, "which extractor made them")


def test_another_architecture_is_refused(pretrained):
    run = RunConfig.from_dict(run_config("unused", pretrained=str(pretrained)))
    with pytest.raises(ValueError, match="is a mm_affect_joint_embeddings, but this run trains a mm_affect_fusion"):
        prepared_run.prepare(run, measure_test=False)


def test_what_is_no_checkpoint_is_refused(pretrained, tmp_path):
    refused(tmp_path / "nothing", "cannot load a checkpoint from")
    refused(tmp_path, "cannot load a checkpoint from")
    shutil.copy(pretrained / "config.json", tmp_path)
    refused(tmp_path, "has no weights")


def test_the_hub_is_asked_for_the_revision(pretrained, monkeypatch):
    asked = []

    def pull(name):
        asked.append(name)
        return pretrained

    monkeypatch.setattr(warm_start, "pull", pull)
    found = warm_start.find_checkpoint("someone/speech@v2"), warm_start.find_checkpoint("someone/speech")
    assert asked == ["someone/speech@v2", "someone/speech"]
    assert found[0].name == "someone/speech@v2" and found[0].revision == pretrained.name


def test_rows_of_another_size_are_refused(pretrained, tmp_path):
    rows = {
        split: [row | {"audio": row["audio"][:, :2]} for row in make_rows(split)] for split in ("train", "validation")
    }
    sizes = SIZES | {"audio": 2}
    write_rows(tmp_path / "rows", rows, {"name": "narrow", "label_fields": FIELDS, "sizes": sizes})
    refused(pretrained, "projections.audio.weight", rows=str(tmp_path / "rows"))
