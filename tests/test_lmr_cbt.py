# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""LMR-CBT: the common checks, the golden of the public code, LMR-CBT by hand, parameter counts, batch norm, bad input.

The golden `fixtures/golden_lmr_cbt.safetensors` was made with the weights and the structure of the authors' public code
(skeletonNN/LMR-CBT), but with the text's recurrence along time, in eval mode, float32, on a CPU, at a small size with random weights
(seed 0, normalization layers randomized so that nothing is hidden). Weights and inputs were rounded to half precision
first, so the stored values are exact; there are no masks. It changes only if the public code is found to compute something
else.
"""

from pathlib import Path

import pytest
import torch
from cross_modal_by_hand import convolved, encoded, random_model, real, row_of, uneven_inputs
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file
from test_modeling_common import SIZES, TASKS, ModelTesterMixin, make_inputs, make_labels, one_row, ragged_mask
from test_mult import SMALL as SMALL_ENCODERS
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel

from mm_affect.checkpoints.conversion import convert
from mm_affect.checkpoints.public_code.lmr_cbt import LMR_CBT
from mm_affect.models.layers.streams import Stream
from mm_affect.models.lmr_cbt import LMRCBTConfig, LMRCBTForAffect, StepNorm
from mm_affect.tasks import Task


GOLDEN = load_file(Path(__file__).parent / "fixtures" / "golden_lmr_cbt.safetensors")
PUBLIC = {name.removeprefix("weights/"): value for name, value in GOLDEN.items() if name.startswith("weights/")}
SMALL = SMALL_ENCODERS | {"recurrent_dropout": 0.0}


class TestLMRCBT(ModelTesterMixin):
    model_class = LMRCBTForAffect
    config_fields = SMALL


class TestLMRCBTOtherReadings(TestLMRCBT):
    config_fields = SMALL | {
        "text_layer": "conv", "cross_mode": "parallel", "cross_softmax": "time", "pooling": "mean",
        "head_layers": 2, "norm_first": False, "future_mask": False, "masked_batch_norm": False,
    }  # fmt: skip


# the golden, and by hand ------------------------------------------------------------------------------------------


@torch.no_grad()
def test_golden(tmp_path):
    save_file(PUBLIC, tmp_path / "public.safetensors")
    record = convert("lmr_cbt", tmp_path / "public.safetensors", tmp_path / "ours")
    assert record["assumed"] == {"num_attention_heads": 8, "future_mask": True}
    unused = {f"cross_{m}.0.attn_weight_affine.{kind}" for m in "av" for kind in ("weight", "bias")}
    assert {name for name in record["dropped"] if not name.startswith("trans_")} == unused
    model = AutoModel.from_pretrained(tmp_path / "ours").eval()
    inputs = {m: GOLDEN[f"inputs/{m}"].float() for m in ("text", "audio", "visual")}
    found = model(**inputs).logits["sentiment"]
    torch.testing.assert_close(found, GOLDEN["outputs/prediction"], rtol=0, atol=1e-5)
    alone = model(**{m: values[1:2] for m, values in inputs.items()}).logits["sentiment"]
    torch.testing.assert_close(alone, found[1:2], rtol=0, atol=1e-6)  # the public code fails here


def recurred(layer, x: torch.Tensor) -> torch.Tensor:
    """Both directions of one layer, step by step, with the gates in PyTorch's order."""
    outputs = []
    for lstm, places in ((layer.forward_lstm, range(len(x))), (layer.backward_lstm, range(len(x))[::-1])):
        hidden = cell = torch.zeros(lstm.hidden_size)
        states = {}
        for place in places:
            gates = lstm.weight_ih_l0 @ x[place] + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ hidden + lstm.bias_hh_l0
            enter, forget, propose, show = gates.chunk(4)
            cell = forget.sigmoid() * cell + enter.sigmoid() * propose.tanh()
            hidden = states[place] = show.sigmoid() * cell.tanh()
        outputs.append(torch.stack([states[place] for place in range(len(x))]))
    return torch.cat(outputs, dim=1)


def by_hand(model, streams: dict) -> torch.Tensor:
    """The fusion view of one row."""
    config, size = model.config, model.config.hidden_size
    x = {}
    for m, layer in model.inputs.items():
        if m == "text" and config.text_layer == "bilstm":
            x[m] = real(streams[m], SIZES[m])
            for part in layer.layers:
                x[m] = recurred(part, x[m]) if len(x[m]) else torch.zeros(0, size)
        else:
            convolution = layer.layers[0] if m == "text" else layer.convolution
            x[m] = real(convolved(convolution, streams[m], config.conv_padding), size)
        norm = layer.norm
        if m != "text":
            x[m] = (x[m] - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
        else:
            x[m] = norm(x[m])

    def vector(m, steps):
        steps = encoded(model.encoders[m], steps, config)
        if len(steps) == 0:
            return torch.zeros(size)
        return {"last_step": steps[-1], "first_step": steps[0], "mean": steps.mean(0)}[config.pooling]

    vectors = {m: vector(m, x[m]) for m in config.modalities if m != config.target}
    axis = 1 if config.cross_softmax == "features" else 0
    block = lambda m, x: (  # noqa: E731
        (model.blocks[m].of_target(x) + model.blocks[m].of_source.weight @ vectors[m]).tanh().softmax(axis)
    )
    fused = target = x[config.target]
    if config.cross_mode == "parallel":
        fused = target + sum(block(m, target) for m in vectors)
    elif vectors:
        for m in config.cross_order:
            fused = block(m, fused)
        fused = fused + target
    joint = torch.cat([vector(config.target, fused), *vectors.values()])
    hidden = F.relu(model.head[0](joint))
    return hidden if config.head_layers == 2 else model.head[3](hidden)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cross_order": ["audio", "visual"], "cross_softmax": "time", "pooling": "mean"},
        {"cross_mode": "parallel", "pooling": "first_step", "head_layers": 2},
        {"target": "audio", "text_layer": "conv", "kernel_sizes": {"text": 5, "audio": 1}, "norm_first": False},
        {"target": "visual", "future_mask": False, "pe_zero_first_channel": True},
        {"modalities": ["audio", "visual"], "num_attention_heads": 4},
        {"modalities": ["text"]},
    ],
)
@torch.no_grad()
def test_equals_lmr_cbt_by_hand(fields):
    model = random_model(LMRCBTForAffect, **SMALL | fields)
    inputs = uneven_inputs(model.config)
    fusion = model(**inputs).pooler_output
    for row in range(6):
        expected = by_hand(model, row_of(inputs, row, model.config))
        torch.testing.assert_close(fusion[row], expected, rtol=1e-4, atol=1e-4)


# presets and counts -----------------------------------------------------------------------------------------------

UNUSED = 82  # parameters of the public code in two layers that it never calls; 62 of 30 features
EIGHT = [Task("emotion", labels=tuple("abcdefgh"))]  # the outputs that the public code has for IEMOCAP's four emotions
MOSI = {"text": 300, "audio": 5, "visual": 20}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LMRCBTConfig(), 406_523 - UNUSED),
        (LMRCBTConfig.reference(), 406_523 - UNUSED),
        (LMRCBTConfig(target="audio"), 406_523 - UNUSED),
        (LMRCBTConfig(target="visual"), 406_523 - UNUSED),
        (LMRCBTConfig(text_layer="conv"), 381_083 - UNUSED),
        (LMRCBTConfig(text_layer="conv", kernel_sizes={"text": 1}), 357_083 - UNUSED),
        (LMRCBTConfig(text_layer="conv", kernel_sizes={"text": 5}), 405_083 - UNUSED),
        (LMRCBTConfig.paper("iemocap", tasks=EIGHT), 413_290 - UNUSED),
        (LMRCBTConfig.reference("iemocap", tasks=EIGHT), 348_210 - UNUSED),
        (LMRCBTConfig.reference("iemocap", tasks=EIGHT, kernel_sizes={"audio": 5}), 354_130 - UNUSED),
        (LMRCBTConfig.paper("cmu_mosi"), 203_883 - 62),
        (LMRCBTConfig.paper("cmu_mosi", feature_sizes=MOSI), 200_463 - 62),
        (LMRCBTConfig.reference("cmu_mosi"), 347_363 - UNUSED),
        (LMRCBTConfig.reference("cmu_mosi", feature_sizes=MOSI, kernel_sizes={"audio": 1}), 336_883 - UNUSED),
    ],
)
def test_parameter_counts(config, expected):
    with torch.device("meta"):
        assert LMRCBTForAffect(config).num_parameters() == expected


def test_presets():
    paper = LMRCBTConfig.paper()
    assert paper.to_dict() == LMRCBTConfig().to_dict()
    assert (paper.hidden_size, paper.num_attention_heads, paper.num_hidden_layers) == (40, 8, 5)
    assert paper.kernel_sizes == {"text": 3, "audio": 3, "visual": 3}
    assert (paper.target, paper.cross_order) == ("text", ["visual", "audio"])
    mosi, iemocap = LMRCBTConfig.paper("cmu_mosi"), LMRCBTConfig.paper("iemocap")
    assert (mosi.hidden_size, mosi.num_attention_heads, mosi.num_hidden_layers) == (30, 10, 4)
    assert mosi.kernel_sizes == {"text": 3, "audio": 1, "visual": 3}
    assert (iemocap.hidden_size, iemocap.num_attention_heads, iemocap.num_hidden_layers) == (40, 5, 5)
    assert iemocap.kernel_sizes["audio"] == 5 and iemocap.tasks[0].labels == ("neutral", "happy", "sad", "anger")
    public = LMRCBTConfig.reference("cmu_mosi")
    assert (public.hidden_size, public.num_hidden_layers, public.kernel_sizes["audio"]) == (40, 4, 3)
    assert (public.conv_padding, public.masked_batch_norm, public.pe_zero_first_channel) == ("valid", False, True)
    for target, order in (("audio", ["visual", "text"]), ("visual", ["text", "audio"])):
        assert LMRCBTConfig(target=target).cross_order == order


# batch norm -------------------------------------------------------------------------------------------------------


def test_padding_has_no_say_in_training_either():
    """Neither in the outputs nor in the running statistics, unless `masked_batch_norm` is off."""
    for masked in (True, False):
        outputs, statistics = [], []
        for sides in ((0, 0), (0, 4), (3, 1)):
            torch.manual_seed(0)
            config = LMRCBTConfig(feature_sizes=SIZES, tasks=TASKS, masked_batch_norm=masked, **SMALL)
            model, inputs = LMRCBTForAffect(config).train(), make_inputs(config)
            for m in config.modalities:
                inputs[m] = F.pad(inputs[m], (0, 0, *sides))
                inputs[f"{m}_mask"] = F.pad(inputs[f"{m}_mask"], sides)
            outputs.append(model(**inputs).pooler_output)
            statistics.append(torch.stack([model.inputs[m].norm.running_mean for m in ("audio", "visual")]))
        for found, expected in ((outputs[1:], outputs[0]), (statistics[1:], statistics[0])):
            assert all(torch.allclose(other, expected, rtol=1e-4, atol=1e-5) == masked for other in found)


def test_batch_norm_equals_pytorchs():
    """Over the real steps, as if there were nothing else."""
    ours, plain = StepNorm(LMRCBTConfig(**SMALL)), nn.BatchNorm1d(8)
    values, mask = torch.randn(6, 9, 8, generator=torch.Generator().manual_seed(0)), ragged_mask(9)
    for _ in range(2):
        found = ours(Stream(values, mask)).values
        torch.testing.assert_close(found[mask], plain(values[mask]))
        assert not found[~mask].any()
        torch.testing.assert_close(ours.running_var, plain.running_var)
        ours.eval(), plain.eval()


def test_training_on_a_single_step():
    """It has no spread, so the running statistics stand in."""
    torch.manual_seed(0)
    model = LMRCBTForAffect(LMRCBTConfig(feature_sizes=SIZES, tasks=TASKS, **SMALL)).train()
    inputs = one_row(make_inputs(model.config), 4)
    output = model(**inputs, labels={name: labels[4:5] for name, labels in make_labels().items()})
    output.loss.backward()
    torch.testing.assert_close(output.pooler_output, model.eval()(**inputs).pooler_output)


def test_a_prediction_does_not_depend_on_its_neighbors():
    model = random_model(LMRCBTForAffect, **SMALL)
    inputs = make_inputs(model.config)
    others = inputs | {"text": inputs["text"].clone()}
    others["text"][3:] += 1.0
    found, expected = model(**others).pooler_output, model(**inputs).pooler_output
    torch.testing.assert_close(found[:3], expected[:3])
    assert (found[3:] - expected[3:]).abs().amax(1).min() > 1e-3


# bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_attention_heads": 7}, "`hidden_size` is 40, which is not divisible by 7 attention heads"),
        ({"hidden_size": 45, "num_attention_heads": 5}, "expected an even number"),
        ({"target": "smell"}, "`target` is 'smell'; expected one of text, audio, visual"),
        ({"target": "text", "modalities": ["audio", "visual"]}, "`target` is 'text'; expected one of audio, visual"),
        ({"cross_order": ["audio"]}, "`cross_order` is .*; expected each of audio, visual once"),
        ({"cross_order": ["text", "visual"]}, "`cross_order` is .*; expected each of audio, visual once"),
        ({"cross_mode": "both"}, "`cross_mode` is 'both'; expected one of sequential, parallel"),
        ({"cross_softmax": "rows"}, "`cross_softmax` is 'rows'; expected one of features, time"),
        ({"text_layer": "lstm"}, "`text_layer` is 'lstm'; expected one of bilstm, conv"),
        ({"pooling": "max"}, "`pooling` is 'max'; expected one of last_step, mean, first_step"),
        ({"head_layers": 1}, "`head_layers` is 1; expected one of 2, 3"),
        ({"kernel_sizes": {"audio": 2}}, r"`kernel_sizes\['audio'\]` is 2; `conv_padding` 'same' needs odd kernels. Use 3"),
        *(({name: 1.0}, f"`{name}` is 1.0") for name in SMALL if "dropout" in name),
    ],
)  # fmt: skip
def test_wrong_fields_are_refused(fields, sentence):
    with pytest.raises((ValueError, StrictDataclassError), match=sentence):
        LMRCBTConfig(**fields)


def test_unknown_corpus_is_refused():
    for preset in (LMRCBTConfig.paper, LMRCBTConfig.reference):
        with pytest.raises(ValueError, match="settings for cmu_mosei, cmu_mosi, iemocap, not for 'mosi'"):
            preset("mosi")


def test_every_name_of_the_public_code_is_one_of_ours():
    with torch.device("meta"):
        ours = LMRCBTForAffect(LMRCBTConfig.reference(num_hidden_layers=1)).state_dict()
    unused = ("version", "_float_tensor", "attn_weight_affine.weight", "attn_weight_affine.bias")
    assert {LMR_CBT.get_public_name(name) for name in ours} == {name for name in PUBLIC if not name.endswith(unused)}
