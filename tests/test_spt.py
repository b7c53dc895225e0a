# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SPT: common checks, literal loops, the golden of the public code, window attention, bad input.

The golden `fixtures/golden_spt.safetensors` was made by running the authors' public code (chengjunyan1/SP-Transformer) once, in
eval mode, float32, on a CPU, at a small size with random weights (seed 0, normalization layers randomized so that nothing is
hidden). Weights and inputs were rounded to half precision first, so the stored values are exact. `weights/<name>` are the
public state dict, `inputs/<modality>` have no masks, every step is real; `outputs/prediction` is what it answers. It changes
only if the public code is found to compute something else.
"""

from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file
from spt_by_hand import SMALL, double_model, fusion_by_hand
from test_modeling_common import ModelTesterMixin
from transformers import AutoModel

from mm_affect.checkpoints.conversion import convert
from mm_affect.models.layers import cpu_window_attention as windows
from mm_affect.models.layers import phased_encoder as phased
from mm_affect.models.layers.cpu_window_attention import WindowAttention, Windows
from mm_affect.models.layers.phased_encoder import PhasePlan
from mm_affect.models.spt import SPTConfig, SPTForAffect


GOLDEN = Path(__file__).parent / "fixtures" / "golden_spt.safetensors"
SHIFTS = ("input_shift", "cross_shift", "self_shift")
AS_POSITIONS = {"rtol": 1e-5, "atol": 1e-5}  # whose table is single precision, in a model of double precision too


class TestSPT(ModelTesterMixin):
    model_class = SPTForAffect
    config_fields = SMALL


class TestSPTReferenceShiftedClipped(ModelTesterMixin):
    model_class = SPTForAffect
    config_fields = SMALL | {"attention_dropout": 0.0, "pe_zero_first_channel": True, "window": "clip"}
    config_fields = config_fields | dict.fromkeys(SHIFTS, ["S", "P", "R"])


# against literal loops --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"window": "clip"},
        {"input_shift": ["S"], "self_shift": []},
        {"pe_zero_first_channel": True, "num_hidden_layers": 3, "num_attention_heads": 4},
        dict.fromkeys(SHIFTS, ["S", "P"]) | {"stride": 1},
        dict.fromkeys(SHIFTS, ["P"]) | {"window": "clip"},
        {"modalities": ["text", "visual"]},
        {"modalities": ["audio"]},
    ],
)
@pytest.mark.full
def test_equals_literal_loops(fields):
    """Windows that wrap or are cut off, shifts, swapped roles, missing modalities, rows shorter than a window; and that
    what is left out because the last hidden state does not depend on it makes no difference, to gradients either."""
    model, inputs = double_model(**fields)
    expected = fusion_by_hand(model, inputs)
    factors = torch.linspace(1, 2, expected.numel()).view(expected.shape)
    parameters = {name: p for name, p in model.named_parameters() if not name.startswith("heads.")}
    usual = torch.autograd.grad((expected * factors).sum(), list(parameters.values()))
    found = model(**inputs).pooler_output
    torch.testing.assert_close(found, expected, **AS_POSITIONS)
    for name, ours, other in zip(
        parameters, torch.autograd.grad((found * factors).sum(), list(parameters.values())), usual
    ):
        torch.testing.assert_close(ours, other, **AS_POSITIONS, msg=lambda text, name=name: f"{name}: {text}")


def test_random_shift(monkeypatch):
    """Drawn in training only; below ceil(0.05 T / H)."""
    fields = dict.fromkeys(SHIFTS, ["S", "R"]) | {"stride": 60, "radii": [2, 1, 1]}
    dropouts = ("embedding_dropout_prob", "attention_dropout", "activation_dropout", "hidden_dropout_prob")
    model, inputs = double_model(**fields, **dict.fromkeys((*dropouts, "head_dropout_prob"), 0.0))
    inputs = {
        name: value[:2].repeat_interleave(14, dim=1)
        if name.endswith("mask")
        else torch.randn(2, 14 * value.shape[1], value.shape[2], dtype=torch.double)
        for name, value in inputs.items()
    }
    with torch.no_grad():
        plain = model(**inputs).pooler_output
        torch.testing.assert_close(plain, fusion_by_hand(model, inputs), **AS_POSITIONS)
        monkeypatch.setattr(phased.torch, "rand", lambda count, device: torch.full((count,), 0.7))
        torch.testing.assert_close(model(**inputs).pooler_output, plain)
        shifted = model.train()(**inputs).pooler_output
        torch.testing.assert_close(shifted, fusion_by_hand(model, inputs, draw=0.7), **AS_POSITIONS)
    assert (shifted - plain).abs().max() > 1e-3


def test_computes_what_the_last_hidden_state_depends_on():
    """With the published windows and shifts that is a few hundred steps, however long the row."""
    plans = [PhasePlan(SPTConfig(), [torch.ones(1, n, dtype=torch.bool)] * 3, training=False) for n in (2000, 4000)]
    assert [(len(plan.read), len(plan.first)) for plan in plans] == [(3 * 297, 3 * 57)] * 2


# window attention -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 2**13])
@pytest.mark.parametrize("clipped", [False, True])
def test_window_attention(clipped, at_once, monkeypatch):
    """The values of softmax attention on each window, repeated places included, and its gradient by finite differences."""
    monkeypatch.setattr(windows, "STEPS_AT_ONCE", at_once)
    torch.manual_seed(0)
    query = torch.randn(5, 6, dtype=torch.double, requires_grad=True)
    memory = torch.randn(7, 12, dtype=torch.double, requires_grad=True)
    places = torch.randint(7, (3, 5))
    places[:, 0] = 2
    real = torch.rand(3, 5) > 0.4 if clipped else None
    if clipped:
        real[:, 3] = False
    kept = 2.0 * (torch.rand(2, 3, 5, dtype=torch.double) > 0.5)
    for dropout in (None, kept):
        attend = lambda q, m, dropout=dropout: WindowAttention.apply(q, m, Windows(places, real, [5]), 2, dropout)  # noqa: E731
        for n, found in enumerate(attend(query, memory)):
            own = places[:, n] if real is None else places[real[:, n], n]
            factors = torch.ones(2, 3) if dropout is None else dropout[:, :, n]
            factors = factors if real is None else factors[:, real[:, n]]
            for head in range(2):
                of = slice(3 * head, 3 * head + 3)
                weights = (memory[own, of] @ query[n, of] * 3**-0.5).softmax(0) * factors[head]
                torch.testing.assert_close(found[of], weights @ memory[own, 6 + 3 * head : 9 + 3 * head])
        assert torch.autograd.gradcheck(attend, (query, memory))


# the public code --------------------------------------------------------------------------------------------------


def read_golden(path: Path) -> tuple[dict, dict, dict]:
    """Weights, inputs and outputs."""
    tensors = load_file(path)
    parts = (
        {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
        for part in ("weights/", "inputs/", "outputs/")
    )
    weights, inputs, outputs = parts
    return weights, {m: values.float() for m, values in inputs.items()}, outputs


@torch.no_grad()
def test_golden(tmp_path):
    weights, inputs, outputs = read_golden(GOLDEN)
    save_file(weights, tmp_path / "public.safetensors")
    record = convert("spt", tmp_path / "public.safetensors", tmp_path / "spt")
    norms = [f"spe.selflayer.mha_{m}.layer_norm_kv.{kind}" for m in "atv" for kind in ("bias", "weight")]
    assert sorted(record["dropped"]) == sorted(["spe.embed_positions._float_tensor", *norms])
    found = AutoModel.from_pretrained(tmp_path / "spt").eval()(**inputs)
    torch.testing.assert_close(found.logits["sentiment"], outputs["prediction"], rtol=0, atol=1e-5)


def test_conversion_refuses(tmp_path):
    weights, _, _ = read_golden(GOLDEN)
    save_file(weights, tmp_path / "public.safetensors")
    with pytest.raises(ValueError, match="which has no labels; leave the labels out"):
        convert("spt", tmp_path / "public.safetensors", tmp_path / "spt", labels=["happy"])
    name = "spe.hiddenlayer.mha_a.attn.in_proj_weight"
    save_file(weights | {name: weights[name][:-1].clone()}, tmp_path / "cut.safetensors")
    with pytest.raises(ValueError, match=f"inconsistent shapes: {name}"):
        convert("spt", tmp_path / "cut.safetensors", tmp_path / "spt")


@pytest.mark.parametrize(
    ("fields", "expected"), [({}, 154_451), ({"feature_sizes": {"audio": 5, "visual": 20}}, 148_907)]
)
def test_parameter_counts(fields, expected):
    """The public code has layer norms of the keys of self layers, which nothing reads: 192 parameters."""
    with torch.device("meta"):
        assert SPTForAffect(SPTConfig(**fields)).num_parameters() == expected - 192
    assert SPTForAffect(SPTConfig.reference(**SMALL, **fields)).num_parameters() < expected


@torch.no_grad()
def test_initial_weights():
    """Xavier-uniform, of query, key and value as one matrix of (size + 2 inputs, size); no biases."""
    torch.manual_seed(0)
    block = SPTForAffect(SPTConfig()).encoder.layer.input_attention["text"]
    for linear in (block.query, block.key, block.value):
        bound = (6 / (2 * 32 + 2 * 300)) ** 0.5
        assert 0.9 * bound < linear.weight.abs().max() <= bound and not linear.bias.any()
    assert 0.9 < block.expand.weight.abs().max() / (6 / (32 + 128)) ** 0.5 <= 1


# bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hidden_size": 30}, "`hidden_size` is 30, which is not divisible by 8 attention heads"),
        ({"hidden_size": 3, "num_attention_heads": 1}, "`hidden_size` is 3; sinusoidal positions need at least 4"),
        ({"feature_sizes": {"audio": 2}}, "`audio` has 2 features per step; sinusoidal positions need at least 4"),
        ({"stride": 0}, "`stride` is 0; expected a positive integer"),
        ({"radii": [8, 0, 3]}, r"`radii` is \[8, 0, 3\]; expected three positive integers"),
        ({"radii": [8, 4]}, "expected three positive integers"),
        ({"input_shift": ["S,P,R"]}, "`input_shift` has 'S,P,R'; expected letters from S, P, R"),
        ({"window": "mirror"}, "`window` is 'mirror'; expected one of wrap, clip"),
        ({"attention_dropout": 1.0}, "`attention_dropout` is 1.0; expected at least 0 and less than 1"),
    ],
)
def test_bad_configurations(fields, words):
    with pytest.raises((ValueError, StrictDataclassError), match=words):
        SPTConfig(**fields)
