# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training with generated labels: by the description, in whatever order, interrupted or not, by one process or two."""

import functools
import json
import math
import multiprocessing
import os
import socket
from dataclasses import replace
from pathlib import Path

import corpora
import numpy as np
import pytest
import torch
from corpora import COUNTS, FIELDS, SHARED, run_config
from safetensors.torch import load_file
from test_experiments import InterruptAfter, measured, no_plots, run, spy  # noqa: F401
from test_unimodal_labels import Literal
from transformers import AutoModel, TrainerCallback, TrainingArguments, set_seed

from mm_affect import AffectProcessor
from mm_affect.cli import main as cli
from mm_affect.data import write_rows
from mm_affect.data.ragged import RowDataset
from mm_affect.models.sugrm import SUGRMConfig, SUGRMForAffect
from mm_affect.tasks import Task
from mm_affect.training.config import RunConfig
from mm_affect.training.generated_labels import FILE, read_labels
from mm_affect.training.optimizers import OPTIMIZERS, make_parameter_groups
from mm_affect.training.options import LabelGeneration, TrainingOptions
from mm_affect.training.trainer import AffectTrainer
from mm_affect.vocabulary import MODALITIES


SIZES = corpora.SIZES | {"audio": 4}
MODEL = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "common_size": 6, "extractor": "lstm"}
SENTIMENT = {"name": "sentiment", "problem_type": "regression", "value_range": [-3, 3]}
GENERATED = [f"sentiment_{m}" for m in MODALITIES]


def make_rows(split):
    """The rows of the tiny corpus with a fourth feature of sound: sinusoidal positions need as many."""
    rows = corpora.make_rows(split)
    return [row | {"audio": np.concatenate([row["audio"], row["audio"][:, :1]], axis=1)} for row in rows]


@functools.cache
def rows_folder():
    return write(SHARED / "sugrm_rows", make_rows)


def write(folder, rows):
    facts = {"name": "tiny", "synthetic": True, "label_fields": FIELDS, "sizes": SIZES}
    write_rows(folder, {split: rows(split) for split in COUNTS}, facts)
    return folder


def config(**fields):
    given = {"rows": str(rows_folder()), "architecture": "mm_affect_sugrm", "model": MODEL, "tasks": [SENTIMENT]}
    return given | fields


def make_model(**fields):
    set_seed(0)
    return SUGRMForAffect(SUGRMConfig(feature_sizes=SIZES, tasks=[SENTIMENT], **MODEL | fields))


def make_trainer(folder, model=None, train=None, callbacks=None, generation=None, own=None, **options):
    defaults = {"num_train_epochs": 3, "per_device_train_batch_size": 8, "learning_rate": 0.01, "report_to": "none",
                "logging_strategy": "epoch", "save_strategy": "no", "dataloader_pin_memory": False}  # fmt: skip
    return AffectTrainer(
        model or make_model(),
        TrainingArguments(str(folder), **defaults | options),
        RowDataset(train or make_rows("train")),
        RowDataset(make_rows("validation")),
        processor=AffectProcessor(SIZES).fit(make_rows("train")),
        label_fields=FIELDS,
        callbacks=callbacks,
        generation=LabelGeneration(**generation or {}),
        **own or {},
    )


def watch(trainer):
    """What every training step was given and what its model made of it, in order."""
    seen, inner = [], trainer.compute_loss

    def outer(model, inputs, *args, **kwargs):
        rows = inputs.get("rows")
        handles = [trainer.model.register_forward_pre_hook(
            lambda module, args, given: seen.append({"rows": rows, "given": given}), with_kwargs=True
        )]  # fmt: skip
        handles.append(trainer.model.register_forward_hook(
            lambda module, args, output: seen[-1].update(output=output)))  # fmt: skip
        try:
            return inner(model, inputs, *args, **kwargs)
        finally:
            [handle.remove() for handle in handles]
            if rows is None:
                seen.pop()

    trainer.compute_loss = outer
    return seen


def as_seen(step):
    """A step in the words of the description."""
    here = {m: step["given"][f"{m}_mask"].any(1) for m in MODALITIES}
    return type("Seen", (), {"rows": step["rows"], "views": step["output"].representations, "present": here})


# the description --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", ["ulgm", "self_mm"])
@pytest.mark.parametrize("grouped", [True, False])
def test_training_labels_are_those_of_the_description(tmp_path, generator, grouped):
    """Shuffled or grouped by length, with missing modalities, unknown labels and accumulated gradients: every step is given
    the labels as they were before it, and the labels end where the description, sample by sample, ends."""
    rows = make_rows("train")
    generation = {"generator": generator}
    model = make_model(extractor="spt" if generator == "ulgm" else "lstm")
    trainer = make_trainer(
        tmp_path, model, generation=generation, own={"group_by_length": grouped}, gradient_accumulation_steps=3,
        per_device_train_batch_size=5, num_train_epochs=4,
    )  # fmt: skip
    steps = watch(trainer)
    trainer.train()
    y = [math.nan if row["labels"]["sentiment"] is None else row["labels"]["sentiment"] for row in rows]
    assert sum(map(math.isnan, y)) and len(steps) == 4 * 7
    batches = [tuple(step["rows"].tolist()) for step in steps]
    assert len({tuple(batches[i : i + 7]) for i in range(0, 28, 7)}) == 4, "the order changes with the epoch"
    literal = Literal(y, LabelGeneration(**generation))
    for i, step in enumerate(steps):
        seen = as_seen(step)
        for m in MODALITIES:
            expected = [literal.labels[m].get(row, y[row]) if here else math.nan
                        for row, here in zip(seen.rows.tolist(), seen.present[m].tolist())]  # fmt: skip
            given = step["given"]["labels"][f"sentiment_{m}"]
            np.testing.assert_allclose(given, expected, atol=1e-5)
        literal.step(seen, epoch=1 + i // 7)
    history = trainer.unimodal_labels.history
    moved = [np.nanmax(np.abs(history[name][-1].numpy() - y)) for name in GENERATED]
    assert min(moved) > 0.5 and all(len(labels) == 4 for labels in history.values())


def test_in_the_first_two_epochs_nothing_is_learned_from_the_unimodal_tasks(tmp_path):
    """Labels first move in the second epoch, after the step that is given them: their losses are exactly zero until then."""
    weights = []

    class Watch(TrainerCallback):
        def on_epoch_end(self, args, state, control, model=None, **kwargs):
            weights.append({name: values.detach().clone() for name, values in model.named_parameters()})

    trainer = make_trainer(tmp_path, callbacks=[Watch()])
    steps, before = (
        watch(trainer),
        {name: values.detach().clone() for name, values in trainer.model.named_parameters()},
    )
    trainer.train()
    for name in GENERATED:
        losses = [step["output"].losses[name].item() for step in steps]
        assert losses[:8] == [0.0] * 8 and min(losses[8:]) > 0
        assert [entry[f"loss_{name}"] > 0 for entry in trainer.state.log_history[:3]] == [False, False, True]
    own = [
        name
        for name in before
        if name.startswith(("heads.heads.sentiment_", "common.text", "common.audio", "common.visual"))
    ]
    assert len(own) == 12
    for epoch, moves in zip(weights, (False, False, True), strict=True):
        assert all(torch.equal(before[name], epoch[name]) != moves for name in own)


def test_validation_measures_the_multimodal_task_alone(tmp_path):
    trainer = make_trainer(tmp_path)
    found = trainer.evaluate()
    assert {name.split(".")[0] for name in found if "." in name} == {"eval_sentiment"}
    assert found["eval_loss"] == pytest.approx(found["eval_sentiment.mae"], abs=0.05)


def test_a_column_with_the_name_of_a_generated_task_is_not_read(tmp_path):
    fields = [*FIELDS, replace(FIELDS[0], name="sentiment_text", labels=())]
    trainer = make_trainer(tmp_path)
    collator = type(trainer.training_collator)(trainer.processor, trainer.model.config.tasks, fields)
    assert list(collator(make_rows("train")[:2])["labels"]) == ["sentiment"]


def test_one_pass_per_epoch_is_in_evaluation_mode_and_over_all_rows(tmp_path):
    """The same weights give the same labels, whatever dropout and order have been."""
    trainer = make_trainer(tmp_path, make_model(extractor="spt"), generation={"update": "epoch"}, num_train_epochs=2)
    passes, observe = [], trainer.observe_all

    def once(views):
        passes.append((observe(views), observe(views)))
        return passes[-1][0]

    trainer.observe_all = once
    trainer.train()
    assert len(passes) == 2 and trainer.model.training
    for one, again in passes:
        assert one.rows.tolist() == list(range(32))
        assert all(torch.equal(one.views[view], again.views[view]) for view in one.views)
    y = [math.nan if row["labels"]["sentiment"] is None else row["labels"]["sentiment"] for row in make_rows("train")]
    literal = Literal(y, LabelGeneration())
    seen = passes[1][0]
    literal.step(seen, epoch=1)  # keeps the features
    literal.step(seen, epoch=2)
    for m in MODALITIES:
        expected = [literal.labels[m].get(i, math.nan) for i in range(32)]
        np.testing.assert_allclose(trainer.unimodal_labels.history[f"sentiment_{m}"][1], expected, atol=1e-4)


def test_augmentation_that_takes_a_modality_away_takes_its_label_for_that_step(tmp_path):
    def silence(modality, values, mask):
        return values, mask & (modality != "audio")

    trainer = make_trainer(tmp_path, own={"augment": silence}, num_train_epochs=2)
    trainer.train()
    history = trainer.unimodal_labels.history
    assert history["sentiment_audio"].isnan().all() and not history["sentiment_text"].isnan().all()


def test_the_last_incomplete_group_of_batches_is_a_step(tmp_path):
    steps = []

    class Count(TrainerCallback):
        def on_optimizer_step(self, args, state, control, **kwargs):
            steps.append(state.global_step)

    make_trainer(
        tmp_path, callbacks=[Count()], num_train_epochs=1, gradient_accumulation_steps=3, per_device_train_batch_size=8
    ).train()
    assert len(steps) == 2, "four batches are a group of three and one of one"


# runs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", [{}, {"generator": "self_mm", "update": "epoch"}], ids=str)
def test_an_interrupted_run_ends_with_the_same_labels(tmp_path, no_plots, monkeypatch, generation):  # noqa: F811
    fields = config() | {"training": {"epochs": 3, "unimodal_labels": generation, "gradient_accumulation_steps": 2}}
    expected = run(tmp_path / "whole", **fields)
    with monkeypatch.context() as patch:
        spy(patch, InterruptAfter(2))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", **fields)
    resumed = run(tmp_path / "run", resume=True, **fields)
    assert measured(resumed) == measured(expected)
    for name in ("model.safetensors", FILE):
        ours, theirs = (load_file(tmp_path / folder / "seeds/seed-0" / name) for folder in ("whole", "run"))
        assert all(torch.equal(ours[key].nan_to_num(9), theirs[key].nan_to_num(9)) for key in ours)
    (found,) = read_labels(tmp_path / "run/seeds/seed-0")
    assert found.ids == [row["id"] for row in make_rows("train")]
    assert {name: labels.shape for name, labels in found.generated.items()} == dict.fromkeys(
        sorted(GENERATED), (3, 32)
    )
    assert (np.diff(np.nan_to_num(found.generated["sentiment_text"]), axis=0) != 0).any(1).all()


def test_results_tell_of_the_measured_tasks_alone(tmp_path, no_plots):  # noqa: F811
    results = run(tmp_path / "run", **config(training={"epochs": 1}))
    assert [task["name"] for task in results.tasks] == ["sentiment"]
    assert {name.split(".")[0] for name in results.summary["text"]} == {"sentiment"}
    again = AutoModel.from_pretrained(tmp_path / "run")
    assert [task.name for task in again.config.tasks] == ["sentiment", *GENERATED]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"training": {"learning_rates": {"encodre": 1e-3}}},
            "has no part 'encodre' to train .* Did you mean 'encoder'",
        ),
        ({"training": {"weight_decays": {"enc": 0.1}}}, "has no part 'enc' to train"),
        ({"tasks": [SENTIMENT | {"name": "mood"}]}, "Task 'mood' reads 'mood'"),
        (
            {"training": {"unimodal_labels": {"generator": "gpt"}}},
            "`generator` is 'gpt'; expected one of ulgm, self_mm",
        ),
        ({"training": {"unimodal_labels": {"clmp": True}}}, "Unknown config field 'training.unimodal_labels.clmp'"),
    ],
)
def test_a_run_that_cannot_start_leaves_nothing(tmp_path, fields, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        run(tmp_path / "run", **config(**fields))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (lambda y: 1.0, "No training row has a negative label"),
        (lambda y: -abs(y) - 0.1, "No training row has a positive label"),
        (lambda y: None, "which is not measured"),
    ],
)
def test_labels_that_say_nothing_are_refused_before_training(tmp_path, values, sentence):
    def rows(split):
        found = make_rows(split)
        for row in found:
            y = row["labels"]["sentiment"]
            row["labels"]["sentiment"] = None if y is None else values(y)
        return found

    data = write(tmp_path / "rows", rows)
    with pytest.raises(ValueError, match=sentence) as caught:
        run(tmp_path / "run", **config(rows=str(data)))
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


# the configs of the paper's tables --------------------------------------------------------------------------------


def differences(one, other, prefix=""):
    """The fields in which two configs differ, by their dotted names."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return {} if one == other else {prefix[:-1]: other}
    names = one.keys() | other.keys()
    found = [differences(one.get(name), other.get(name), f"{prefix}{name}.") for name in sorted(names)]
    return {name: value for part in found for name, value in part.items()}


def test_the_configs_of_a_table_differ_from_the_full_model_in_what_their_row_says():
    folder = Path(__file__).resolve().parent.parent / "examples" / "configs" / "sugrm_tables"
    full = RunConfig.load(folder / "3_8_m_t_a_v.json").to_dict()
    found = {}
    for path in sorted(folder.glob("*.json")):
        other = RunConfig.load(path).to_dict()
        assert other["name"] == path.stem and other["output"] == f"demo_output/sugrm_tables/{path.stem}"
        found[path.stem] = differences(full, other | {"name": full["name"], "output": full["output"]})
    letters = {"t": "text", "a": "audio", "v": "visual"}
    for name in [name for name in found if name.startswith("3_") and name[2] != "8"]:
        given = found.pop(name)
        assert list(given) == ["model.unimodal"] and {letters[x] for x in name[5:].split("_") if x} == set(
            *given.values()
        )
    lstm, plain = {"model.extractor": "lstm"}, {"model.recalibration": False}
    theirs = {"training.unimodal_labels.generator": "self_mm"}
    loss = lambda name: {"tasks": [full["tasks"][0] | {"regression_loss": name}]}  # noqa: E731
    assert found == {
        "3_8_m_t_a_v": {},
        "4_1_self_mm": lstm | plain | theirs,
        "4_2_self_mm_with_mrm": lstm | theirs,
        "4_3_self_mm_with_spt": plain | theirs,
        "4_4_self_mm_with_ulgm_of_sugrm": lstm | plain,
        "4_5_without_mrm": plain,
        "4_6_transformer_for_spt": {"model.extractor": "transformer"},
        "4_7_lstm_for_spt": lstm,
        "4_8_ulgm_of_self_mm": theirs,
        "8_2_l2": loss("l2"),
        "8_3_huber": loss("huber"),
    }


def test_tables_run_by_one_command(tmp_path, no_plots, capsys):  # noqa: F811
    """Rows of Tables 3, 4 and 8, in small: one line of the table each."""
    names = ("3_2_m_v", "4_8_ulgm_of_self_mm", "8_3_huber")
    folder = Path(__file__).resolve().parent.parent / "examples" / "configs" / "sugrm_tables"
    (tmp_path / "configs").mkdir()
    for name in names:
        values = json.loads((folder / f"{name}.json").read_text())
        values |= {"rows": str(rows_folder()), "output": str(tmp_path / name), "seeds": [0]}
        values["model"] = values.get("model", {}) | MODEL
        (tmp_path / "configs" / f"{name}.json").write_text(json.dumps(values))
    flags = ["--training.epochs", "1", "--training.unimodal_labels.update", "epoch"]
    assert cli.main(["compare", str(tmp_path / "configs"), *flags]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    assert set(read_labels(tmp_path / "3_2_m_v/seeds/seed-0")[0].generated) == {"sentiment_visual"}
    recorded = json.loads((tmp_path / "4_8_ulgm_of_self_mm/run.json").read_text())["training"]["unimodal_labels"]
    assert (recorded["generator"], recorded["update"]) == ("self_mm", "epoch")
    losses = {task.regression_loss for task in AutoModel.from_pretrained(tmp_path / "8_3_huber").config.tasks}
    assert losses == {"huber"}, "of the generated tasks too"


# rates and decays of parts ----------------------------------------------------------------------------------------


def test_parts_have_rates_and_decays_of_their_own(tmp_path):
    own = {"optimizer_name": "adam", "learning_rates": {"encoder": 5e-4, "encoder.norm": 1e-4, "heads": 0.5},
           "weight_decays": {"encoder": 0.2}}  # fmt: skip
    trainer = make_trainer(tmp_path, make_model(extractor="spt"), own=own, weight_decay=0.1, adam_epsilon=1e-5)
    optimizer = trainer.create_optimizer()
    assert type(optimizer) is torch.optim.Adam
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)
    assert all(group["eps"] == 1e-5 for group in optimizer.param_groups)
    norms = {f"{n}.weight" for n, module in trainer.model.named_modules() if isinstance(module, torch.nn.LayerNorm)}
    for group in optimizer.param_groups:
        for name in (names[id(parameter)] for parameter in group["params"]):
            rate = {"encoder": 5e-4, "heads": 0.5}.get(name.split(".")[0], 0.01)
            assert group["lr"] == (1e-4 if name.startswith("encoder.norm.") else rate), name
            spared = name in norms or ".bias" in name or name.split(".")[-1].startswith("bias")
            assert group["weight_decay"] == (0.0 if spared else 0.2 if name.startswith("encoder.") else 0.1), name
    assert {name.partition(".")[0] for name in names.values()} == {"recalibration", "encoder", "common", "heads"}


def test_the_decay_of_adam_is_in_the_gradient():
    """One step of Adam is one rate long whatever the gradient, decay included; AdamW adds the decay to that."""
    for name, expected in (("adam", 2.0 - 0.1), ("adamw", 2.0 - 0.1 - 0.1 * 0.5 * 2.0)):
        model = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(model.weight, 2.0)
        optimizer = OPTIMIZERS[name](make_parameter_groups(model, 0.5), lr=0.1)
        model.weight.grad, model.bias.grad = torch.full((1, 1), 0.3), torch.zeros(1)
        optimizer.step()
        assert model.weight.item() == pytest.approx(expected, abs=1e-5)


def test_wrong_rates_are_refused(tmp_path):
    for field, sentence in (({"learning_rates": {"encoder": -1}}, "learning_rates.encoder is -1; it must be 0 or more"),
                            ({"weight_decays": {"encoder": -1}}, "weight_decays.encoder is -1; it must be 0 or more")):  # fmt: skip
        with pytest.raises(ValueError, match=sentence):
            TrainingOptions(**field)
    values = run_config(tmp_path) | {"training": {"learning_rates": {"a": "1"}}}
    with pytest.raises(ValueError, match="Config training: .*learning_rates"):
        RunConfig.from_dict(values)
    assert Task("x", "regression").generated_from is None


# several processes ------------------------------------------------------------------------------------------------


def train_in_process(rank, world, folder, port):
    """Batches of 16 rows in all, with nothing random but their order."""
    if world > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world),
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}  # fmt: skip
    torch.set_num_threads(1)
    names = ("embedding_dropout_prob", "attention_dropout", "activation_dropout", "hidden_dropout_prob")
    rows = make_rows("train")
    for row in rows:  # everything is known, so that the mean of the two halves of a batch is the mean of the batch
        row["labels"]["sentiment"] = row["labels"]["sentiment"] or 0.5
        row |= {m: row[m] if len(row[m]) else np.ones((2, size), np.float32) for m, size in SIZES.items()}
    trainer = make_trainer(
        folder, make_model(**dict.fromkeys(names, 0.0)), rows, own={"group_by_length": False}, use_cpu=True,
        per_device_train_batch_size=16 // world, max_grad_norm=0.0,
    )  # fmt: skip
    trainer.train()
    trainer.unimodal_labels.save(folder)


def test_two_processes_keep_the_labels_of_one(tmp_path):
    """What each saw is shared by the places of its samples, so both end with the labels of a single process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = [tmp_path / name for name in ("first", "second", "alone")]
    for folder in folders:
        folder.mkdir()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=train_in_process, args=(rank, 2, folders[rank], port)) for rank in (0, 1)]
    for process in processes:
        process.start()
    train_in_process(0, 1, folders[2], port)
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0]
    first, second, alone = (load_file(folder / FILE) for folder in folders)
    for name in first:
        assert torch.equal(first[name].nan_to_num(9), second[name].nan_to_num(9)), name
        torch.testing.assert_close(first[name], alone[name], atol=1e-4, rtol=0, equal_nan=True)
