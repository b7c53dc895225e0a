# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""BertAdam: against its description written out number by number, what decays, and the way the Trainer uses it."""

import copy
import math

import numpy as np
import pytest
import torch
from corpora import FIELDS, SIZES, make_rows
from tailor_by_hand import SMALL
from torch import nn
from transformers import TrainerCallback, TrainingArguments, set_seed

from mm_affect import AffectProcessor
from mm_affect.data.ragged import RowDataset
from mm_affect.models.tailor import TailorConfig, TailorForAffect
from mm_affect.tasks import Task
from mm_affect.training.optimizers import BertAdam, make_parameter_groups
from mm_affect.training.trainer import AffectTrainer


def gradients(steps, shapes, seed=0):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.integers(-3, 2, (steps, len(shapes)))  # of norms below and above 1
    return [[scale * rng.normal(size=shape) for scale, shape in zip(line, shapes)] for line in scales]


def literal(weights, all_gradients, rates, decay, limit, eps=1e-6, beta1=0.9, beta2=0.999):
    """The description, one number after the other."""
    values = [list(w.ravel()) for w in weights]
    first, second = ([[0.0] * len(w) for w in values] for _ in range(2))
    for rate, tensors in zip(rates, all_gradients):
        for i, tensor in enumerate(tensors):
            norm = math.sqrt(sum(float(g) ** 2 for g in tensor.ravel()))
            share = min(1.0, limit / (norm + 1e-6))
            for j, g in enumerate(tensor.ravel()):
                g = share * float(g)
                first[i][j] = beta1 * first[i][j] + (1 - beta1) * g
                second[i][j] = beta2 * second[i][j] + (1 - beta2) * g * g
                change = first[i][j] / (math.sqrt(second[i][j]) + eps) + decay[i] * values[i][j]
                values[i][j] -= rate * change
    return values


def take_steps(optimizer, parameters, all_gradients, rates):
    for rate, tensors in zip(rates, all_gradients):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for parameter, gradient in zip(parameters, tensors):
            parameter.grad = torch.from_numpy(gradient)
        optimizer.step()


def make_parameters(shapes):
    rng = np.random.default_rng(7)
    return [nn.Parameter(torch.from_numpy(rng.normal(size=shape))) for shape in shapes]


SHAPES = [(3, 2), (4,), (1,)]


@pytest.mark.parametrize("limit", [1.0, 0.05, 1e9])
def test_bert_adam_is_its_description(limit):
    parameters, rates = make_parameters(SHAPES), [0.0, 0.01, 0.02, 0.015, 0.01]
    groups = [{"params": parameters[:2], "weight_decay": 0.1}, {"params": parameters[2:], "weight_decay": 0.0}]
    before = [parameter.detach().numpy().copy() for parameter in parameters]
    all_gradients = gradients(5, SHAPES)
    take_steps(BertAdam(groups, lr=1.0, max_grad_norm=limit), parameters, all_gradients, rates)
    expected = literal(before, all_gradients, rates, decay=[0.1, 0.1, 0.0], limit=limit)
    for parameter, values in zip(parameters, expected):
        np.testing.assert_allclose(parameter.detach().numpy().ravel(), values, rtol=1e-12)


def test_there_is_no_bias_correction():
    """The first step is 0.1 g / sqrt(0.001 g^2) = 3.16 rates long, whatever the gradient; Adam's is one."""
    for gradient in (0.9, -0.01):
        parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        parameter.grad = torch.full_like(parameter, gradient)
        BertAdam([parameter], lr=0.01, eps=0.0).step()
        assert parameter.item() == pytest.approx(-math.copysign(0.01 * 0.1 / math.sqrt(0.001), gradient))


def test_decay_is_not_in_the_moments_and_needs_a_gradient():
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    used.grad = torch.zeros(2)
    optimizer = BertAdam([used, unused], lr=0.1, weight_decay=0.5)
    optimizer.step()
    assert torch.equal(used, torch.full((2,), 0.95)) and torch.equal(unused, torch.ones(2))
    assert not optimizer.state[used]["exp_avg"].any() and unused not in optimizer.state


def test_gradients_are_left_as_they_were():
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.full((3,), 5.0)
    assert BertAdam([parameter], lr=0.1).step(lambda: 3.0) == 3.0
    assert torch.equal(parameter.grad, torch.full((3,), 5.0))


def test_saved_state_goes_on_as_if_never_stopped():
    all_gradients, rates = gradients(6, SHAPES), [0.01] * 6
    whole = make_parameters(SHAPES)
    take_steps(BertAdam(whole, lr=0.01), whole, all_gradients, rates)
    half = make_parameters(SHAPES)
    optimizer = BertAdam(half, lr=0.01)
    take_steps(optimizer, half, all_gradients[:3], rates[:3])
    state = copy.deepcopy(optimizer.state_dict())
    resumed = [nn.Parameter(parameter.detach().clone()) for parameter in half]
    again = BertAdam(resumed, lr=0.5, weight_decay=0.0)  # both come from the state
    again.load_state_dict(state)
    take_steps(again, resumed, all_gradients[3:], rates[3:])
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed))


# what decays ------------------------------------------------------------------------------------------------------


def make_model(**fields):
    set_seed(0)
    config = {"feature_sizes": SIZES, "tasks": [Task("emotion", labels=("happy", "sad"))]}
    return TailorForAffect(TailorConfig(**config | SMALL | fields))


@pytest.mark.parametrize("aligner", ["none", "ctc"])
def test_biases_and_the_layer_norms_of_transformer_layers_do_not_decay(aligner):
    model = make_model(aligner=aligner)
    model.encoders["audio"].projection.weight.requires_grad_(False)
    groups = make_parameter_groups(model, 0.01)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, spared = ([names[id(parameter)] for parameter in group["params"]] for group in groups)
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert sorted(decayed + spared) == sorted(trained) and "encoders.audio.projection.weight" not in trained
    assert {f"input_norms.{m}.weight" for m in SIZES} <= set(decayed)
    assert {f"input_norms.{m}.bias" for m in SIZES} <= set(spared)
    assert all(model.get_parameter(name).ndim == 2 for name in decayed if not name.startswith("input_norms."))
    assert all(model.get_parameter(name).ndim == 1 for name in spared)
    assert sum(name.endswith("norm.weight") for name in spared) == sum(
        isinstance(module, nn.LayerNorm) for module in model.modules()
    ) - len(SIZES)


# in training ------------------------------------------------------------------------------------------------------


def make_trainer(folder, **fields):
    processor = AffectProcessor(SIZES).fit(make_rows("train"))
    defaults = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 0.02, "weight_decay": 0.03,
                "lr_scheduler_type": "linear", "warmup_steps": 0.25, "max_grad_norm": 0.5, "adam_epsilon": 1e-4,
                "report_to": "none", "save_strategy": "no", "dataloader_pin_memory": False}  # fmt: skip
    return AffectTrainer(
        make_model(aligner="none"),
        TrainingArguments(str(folder), **defaults),
        RowDataset(make_rows("train")),
        RowDataset(make_rows("validation")),
        processor=processor,
        label_fields=FIELDS,
        **fields,
    )


def test_the_trainer_makes_bert_adam_only_when_asked_to(tmp_path):
    trainer = make_trainer(tmp_path)
    assert isinstance(trainer.create_optimizer(), torch.optim.AdamW)
    decayed = {id(p) for group in trainer.optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert id(trainer.model.input_norms["text"].weight) not in decayed, "the groups of AdamW are transformers'"
    optimizer = make_trainer(tmp_path, optimizer_name="bert_adam").create_optimizer()
    assert type(optimizer) is BertAdam
    for group, decay in zip(optimizer.param_groups, (0.03, 0.0), strict=True):
        options = {name: value for name, value in group.items() if name != "params"}
        assert options == {"lr": 0.02, "betas": (0.9, 0.999), "eps": 1e-4, "weight_decay": decay, "max_grad_norm": 1.0}


def test_training_warms_up_from_zero_then_falls_and_clips_all_gradients_first(tmp_path):
    """8 steps, 2 of warm-up: the first step has rate 0; weights move as the description says."""
    rates, norms, weights, all_gradients = [], [], [], []

    class Watch(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
            found = [p.grad for p in model.parameters() if p.grad is not None]
            norms.append(torch.stack([g.norm() for g in found]).norm().item())
            rates.append(optimizer.param_groups[0]["lr"])
            all_gradients.append([model.encoders["text"].projection.weight.grad.double().numpy().copy()])
            weights.append(model.encoders["text"].projection.weight.detach().double().numpy().copy())

        on_train_end = lambda self, args, state, control, model=None, **kwargs: weights.append(  # noqa: E731
            model.encoders["text"].projection.weight.detach().double().numpy().copy()
        )

    trainer = make_trainer(tmp_path, optimizer_name="bert_adam", callbacks=[Watch()])
    trainer.train()
    expected = [0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    np.testing.assert_allclose(rates, 0.02 * np.array(expected), atol=1e-12)
    assert max(norms) <= 0.5 + 1e-4
    assert (weights[0] == weights[1]).all() and (weights[1] != weights[2]).any()
    values = literal([weights[0]], all_gradients, rates, decay=[0.03], limit=1.0, eps=1e-4)
    np.testing.assert_allclose(weights[-1].ravel(), values[0], atol=1e-6)
