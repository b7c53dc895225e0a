# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Loading is strict, and every way around it is asked for. What each architecture must refuse is in `test_modeling_common.py`."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_bigru import SMALL
from test_joint_embeddings import SMALL as SMALL_JOINT
from test_modeling_common import SIZES, TASKS
from transformers import AutoModel, AutoModelForPreTraining, pipeline

from mm_affect import (
    AffectProcessor,
    BiGRUConfig,
    BiGRUForAffect,
    JointEmbeddingsConfig,
    JointEmbeddingsForAffect,
    Task,
)
from mm_affect.cli.main import main


REFUSED = "do not belong to its config.json: they "


def config(**fields):
    return BiGRUConfig(**{"feature_sizes": SIZES, "tasks": TASKS} | SMALL | fields)


def change(folder, alter):
    weights = load_file(folder / "model.safetensors")
    alter(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    BiGRUForAffect(config()).save_pretrained(tmp_path)
    AffectProcessor(SIZES).save_pretrained(tmp_path)
    return tmp_path


def test_all_that_is_wrong_is_named_in_one_sentence_with_its_number(folder):
    def alter(weights):
        for name in [name for name in weights if name.startswith("heads.")]:
            del weights[name]
        weights["b"], weights["a"] = torch.ones(2), torch.ones(1)

    change(folder, alter)
    with pytest.raises(ValueError, match=REFUSED) as caught:
        AutoModel.from_pretrained(folder)
    sentence = str(caught.value)
    assert sentence.startswith(f"The weights in {folder} ") and "\n" not in sentence
    assert "they lack heads.heads.emotion." in sentence and "... (12 in total), also have a, b. Copy the" in sentence


def test_the_pipeline_and_the_command_are_as_strict(folder, capsys):
    change(folder, lambda weights: weights.pop("heads.heads.sentiment.3.bias"))
    with pytest.raises(ValueError, match=f"{REFUSED}lack heads.heads.sentiment.3.bias"):
        pipeline("affect-recognition", model=str(folder))
    assert main(["predict", "--model", str(folder), "--transcript", "well"]) == 1
    printed = capsys.readouterr()
    assert f"{REFUSED}lack heads.heads.sentiment.3.bias" in printed.err and "Traceback" not in printed.err


def test_who_asks_what_fits_is_told(folder):
    def alter(weights):
        del weights["heads.heads.sentiment.3.bias"]
        weights["other"] = torch.ones(1)

    change(folder, alter)
    _, found = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert found["missing_keys"] == {"heads.heads.sentiment.3.bias"} and found["unexpected_keys"] == {"other"}


def test_other_sizes_are_ignored_on_request_only(folder):
    wider = config(feature_sizes=SIZES | {"text": SIZES["text"] + 1})
    for options in ({}, {"new_heads": True}, {"output_loading_info": True}):
        with pytest.raises(ValueError, match=f"{REFUSED}have in another size [^;]*text"):
            AutoModel.from_pretrained(folder, config=wider, **options)
    loaded = AutoModel.from_pretrained(folder, config=wider, ignore_mismatched_sizes=True)
    assert loaded.config.feature_sizes["text"] == SIZES["text"] + 1
    assert all(torch.isfinite(value).all() for value in loaded.parameters())


def test_new_heads_excuse_nothing_else(folder):
    change(folder, lambda weights: weights.update(other=torch.ones(1)))
    with pytest.raises(ValueError, match=f"{REFUSED}also have other\\."):
        AutoModel.from_pretrained(folder, config=config(tasks=[Task("valence", "regression")]), new_heads=True)


def test_new_heads_need_no_config_where_the_tasks_are_the_same(folder):
    loaded, kept = AutoModel.from_pretrained(folder, new_heads=True), load_file(folder / "model.safetensors")
    assert all(torch.equal(value, kept[name]) for name, value in loaded.state_dict().items())


def test_weights_that_are_handed_over_are_the_caller_s(folder):
    state = BiGRUForAffect(config()).state_dict()
    lost = state.popitem()[0]
    model = BiGRUForAffect.from_pretrained(None, config=config(), state_dict=state)
    assert lost in model.state_dict() and all(
        torch.equal(model.state_dict()[name], value) for name, value in state.items()
    )


def test_a_checkpoint_of_pretraining_loads_without_its_decoder_and_no_other_way_round(tmp_path):
    small = JointEmbeddingsConfig.pretraining(["ann", "bob"], feature_sizes=SIZES, **SMALL_JOINT)
    AutoModelForPreTraining.from_config(small).save_pretrained(tmp_path / "pretrained")
    model = AutoModel.from_pretrained(tmp_path / "pretrained")
    assert type(model) is JointEmbeddingsForAffect and not hasattr(model, "decoder")
    model.save_pretrained(tmp_path / "affect")
    with pytest.raises(ValueError, match=f"{REFUSED}lack decoder."):
        AutoModelForPreTraining.from_pretrained(tmp_path / "affect")
