# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MulT: the common checks for its presets, the golden of the public code, MulT by hand, parameter counts, memory, bad input.

The golden `fixtures/golden_mult.safetensors` was made by running the authors' public code
(yaohungt/Multimodal-Transformer) once, in eval mode, float32, on a CPU, at a small size with random weights (seed 0,
normalization layers randomized so that nothing is hidden). Weights and inputs were rounded to half precision first, so the
stored values are exact; there are no masks. `outputs/prediction_front_zero_padded` is the prediction with `audio[:, :7]` and
`visual[:, :5]` set to 0. It changes only if the public code is found to compute something else.
"""

from pathlib import Path

import pytest
import torch
from cross_modal_by_hand import convolved, encoded, random_model, real, row_of, uneven_inputs
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file, save_file
from test_modeling_common import ModelTesterMixin, make_inputs, make_labels
from torch.nn import functional as F
from transformers import AutoModel

from mm_affect.checkpoints.conversion import convert
from mm_affect.checkpoints.public_code.mult import MULT
from mm_affect.models.mult import MulTConfig, MulTForAffect
from mm_affect.tasks import Task


GOLDEN = load_file(Path(__file__).parent / "fixtures" / "golden_mult.safetensors")
PUBLIC = {name.removeprefix("weights/"): value for name, value in GOLDEN.items() if name.startswith("weights/")}
SMALL = {
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "embedding_dropout_prob": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "hidden_dropout_prob": 0.0,
    "head_dropout_prob": 0.0,
}
KERNELS_OF_1 = {"text": 1, "audio": 1, "visual": 1}


class TestMulT(ModelTesterMixin):
    model_class = MulTForAffect
    config_fields = SMALL


class TestMulTReference(TestMulT):
    config_fields = SMALL | {"conv_padding": "valid", "kernel_sizes": KERNELS_OF_1, "pe_zero_first_channel": True}


# the golden, and by hand ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """What `convert` recorded of the golden's weights, and the folder."""
    folder = tmp_path_factory.mktemp("mult")
    save_file(PUBLIC, folder / "public.safetensors")
    record = convert("mult", folder / "public.safetensors", folder / "ours", fields={"num_attention_heads": 5})
    return record, folder / "ours"


@torch.no_grad()
def test_golden(converted):
    record, folder = converted
    model = AutoModel.from_pretrained(folder).eval()
    inputs = {m: GOLDEN[f"inputs/{m}"].float() for m in ("text", "audio", "visual")}
    found = model(**inputs).logits["sentiment"]
    torch.testing.assert_close(found, GOLDEN["outputs/prediction"], rtol=0, atol=1e-5)
    inputs["audio"][:, :7] = inputs["visual"][:, :5] = 0
    found = model(**inputs).logits["sentiment"]
    torch.testing.assert_close(found, GOLDEN["outputs/prediction_front_zero_padded"], rtol=0, atol=1e-5)
    encoders = {name.split(".")[0] for name in PUBLIC if name.startswith("trans_")}
    assert set(record["dropped"]) == {
        f"{part}.{what}" for part in encoders for what in ("version", "embed_positions._float_tensor")
    }
    assert record["assumed"] == {"future_mask": True}


def by_hand(model, streams: dict) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """The targets' views and the fusion view of one row."""
    config, size = model.config, model.config.hidden_size
    z = {m: real(convolved(model.projections[m], x, config.conv_padding), size) for m, x in streams.items()}
    views = {}
    for target in config.targets:
        read = [encoded(part, z[target], config, z[source]) for source, part in model.cross_encoders[target].items()]
        steps = encoded(model.self_encoders[target], torch.cat(read, dim=1) if read else z[target], config)
        views[target] = steps[-1] if len(steps) else torch.zeros(steps.shape[1])
    joint = torch.cat(list(views.values()))
    first, _, _, second = model.residual_step
    return views, joint + second(F.relu(first(joint)))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"future_mask": False, "targets": ["visual", "text"]},
        {"norm_first": False},
        {"pe_zero_first_channel": True, "num_attention_heads": 4, "kernel_sizes": KERNELS_OF_1},
        {"modalities": ["audio", "visual"], "hidden_size": 10},
        {"modalities": ["audio"], "num_hidden_layers": 4},
    ],
)
@torch.no_grad()
def test_equals_mult_by_hand(fields):
    model = random_model(MulTForAffect, **SMALL | fields)
    inputs = uneven_inputs(model.config)
    output = model(**inputs)
    for row in range(6):
        views, fusion = by_hand(model, row_of(inputs, row, model.config))
        for name, view in (views | {"fusion": fusion}).items():
            torch.testing.assert_close(output.representations[name][row], view, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_valid_convolutions_by_hand():
    """Rows are long enough for the kernels, or lack the modality; a hole stays a hole."""
    model = random_model(
        MulTForAffect, **SMALL, conv_padding="valid", kernel_sizes={"text": 2, "audio": 3, "visual": 4}
    )
    inputs = make_inputs(model.config)
    for m in model.config.modalities:
        inputs[f"{m}_mask"][4] = False
    output = model(**inputs)
    for row in range(6):
        torch.testing.assert_close(
            output.pooler_output[row], by_hand(model, row_of(inputs, row, model.config))[1], rtol=1e-4, atol=1e-4
        )


def test_no_attention_table_is_kept():
    """What training keeps grows with the length, not with its square."""
    model = MulTForAffect(MulTConfig(num_hidden_layers=1)).train()
    largest, length = [], 400
    inputs = {m: torch.randn(1, length, size) for m, size in model.config.feature_sizes.items()}

    def keep(tensor):
        largest.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**inputs)
    assert 0 < max(largest) <= length * 8 * 40 < length**2


def test_dropout_of_sources():
    """The weights by which a target reads a source are dropped out as the source says."""
    config = MulTConfig.reference(
        **{name: 0.0 for name in SMALL if "dropout" in name} | {"source_dropouts": {"audio": 0.5}}
    )
    assert config.source_dropouts == {"text": 0.0, "audio": 0.5, "visual": 0.0}
    model, inputs = MulTForAffect(config).train(), make_inputs(config)
    states = lambda target: model(**inputs).representations[target]  # noqa: E731
    assert torch.equal(states("audio"), states("audio")) and not torch.equal(states("text"), states("text"))


# presets and counts -----------------------------------------------------------------------------------------------


def count(config: MulTConfig) -> int:
    with torch.device("meta"):
        return MulTForAffect(config).num_parameters()


def test_parameter_counts():
    assert count(MulTConfig.reference()) == 1_073_731
    assert count(MulTConfig.reference(hidden_size=40)) == 1_892_441
    eight = [Task("emotion", labels=tuple("abcdefgh"))]
    assert count(MulTConfig.reference(hidden_size=40, num_hidden_layers=4, tasks=eight)) == 1_542_288


def test_presets():
    mosei, iemocap = MulTConfig.paper(), MulTConfig.paper("iemocap")
    assert mosei.to_dict() == MulTConfig().to_dict()
    assert (mosei.hidden_size, mosei.num_hidden_layers, mosei.num_attention_heads) == (40, 4, 8)
    assert mosei.kernel_sizes == iemocap.kernel_sizes == {"text": 3, "audio": 5, "visual": 3}
    assert (iemocap.num_attention_heads, iemocap.future_mask, iemocap.attention_dropout) == (10, False, 0.25)
    assert iemocap.tasks[0].labels == ("neutral", "happy", "sad", "anger") and mosei.future_mask
    reference = MulTConfig.reference()
    assert (reference.hidden_size, reference.num_attention_heads, reference.num_hidden_layers) == (30, 5, 5)
    assert reference.source_dropouts == {"text": 0.1, "audio": 0.0, "visual": 0.0}
    assert MulTConfig.reference(modalities=["text", "audio"]).targets == ["text", "audio"]
    assert MulTConfig(targets=["visual", "text"]).targets == ["text", "visual"]


def test_first_weights():
    """Xavier, for query, key and value of the one matrix that they are in the code; the rest as PyTorch has it."""
    torch.manual_seed(0)
    model = MulTForAffect(MulTConfig())
    layer = model.self_encoders["text"].layers[0]
    for linear, bound in (
        (layer.attention.query, (6 / (80 + 240)) ** 0.5),
        (layer.attention.value, (6 / (80 + 240)) ** 0.5),
        (layer.attention.output, (6 / (80 + 80)) ** 0.5),
        (layer.expand, (6 / (80 + 320)) ** 0.5),
        (layer.shrink, (6 / (80 + 320)) ** 0.5),
    ):
        assert 0.98 * bound < linear.weight.abs().max() <= bound and not linear.bias.any()
    assert model.residual_step[0].bias.any()


# bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"num_attention_heads": 7}, "`hidden_size` is 40, which is not divisible by 7 attention heads"),
        ({"hidden_size": 2, "num_attention_heads": 1}, "sinusoidal positions need at least 4"),
        ({"kernel_sizes": {"audio": 4}}, r"`kernel_sizes\['audio'\]` is 4; `conv_padding` 'same' needs odd kernels. Use 5"),
        ({"kernel_sizes": {"audio": 0}}, r"`kernel_sizes\['audio'\]` is 0; expected a positive integer"),
        ({"kernel_sizes": {"smell": 3}}, "`kernel_sizes` names the unknown modality 'smell'"),
        ({"conv_padding": "full"}, "`conv_padding` is 'full'; expected one of same, valid"),
        ({"targets": []}, "`targets` is empty; expected one or more of text, audio, visual"),
        ({"targets": ["smell"]}, "`targets` has 'smell', which is not in `modalities`"),
        ({"targets": ["text"], "modalities": ["audio"]}, "`targets` has 'text', which is not in `modalities`"),
        ({"source_dropouts": {"vis": 0.1}}, "`source_dropouts` has the unknown modality 'vis'. Did you mean 'visual'"),
        ({"source_dropouts": {"text": 1.0}}, r"`source_dropouts\['text'\]` is 1.0; expected at least 0 and less than 1"),
        *(({name: 1.0}, f"`{name}` is 1.0") for name in SMALL if "dropout" in name),
        *(({name: 0}, f"`{name}` is 0") for name in ("hidden_size", "num_attention_heads", "num_hidden_layers")),
    ],
)  # fmt: skip
def test_wrong_fields_are_refused(fields, sentence):
    with pytest.raises((ValueError, StrictDataclassError), match=sentence):
        MulTConfig(**fields)


def test_unknown_corpus_is_refused():
    with pytest.raises(ValueError, match="settings for cmu_mosei and iemocap, not for 'mosi'"):
        MulTConfig.paper("mosi")


def test_kernels_longer_than_a_row_are_refused():
    """Wherever the row stands; a row without the modality is none, and `"same"` has no such limit."""
    fields = SMALL | {"kernel_sizes": KERNELS_OF_1 | {"visual": 5}}
    model = random_model(MulTForAffect, conv_padding="valid", **fields)
    inputs = make_inputs(model.config, ragged=False)
    inputs["visual_mask"][2, 3:] = False
    with pytest.raises(
        ValueError, match="A row has 3 steps of `visual`, but the kernel of its convolution spans 5. Use"
    ):
        model(**inputs)
    with pytest.raises(ValueError, match="A row has 3 steps of `visual`"):
        model(**{m: x[2:3, :3] for m, x in inputs.items()})
    inputs["visual_mask"][2] = False
    assert torch.isfinite(model(**inputs, labels=make_labels()).loss)
    random_model(MulTForAffect, **fields)(**{m: x[:, :2] for m, x in inputs.items()})


@pytest.mark.parametrize(
    ("change", "labels", "sentence"),
    [
        (lambda state: {k: v for k, v in state.items() if "trans_a_with" not in k}, None, "lacks the encoders of some targets"),
        (lambda state: state | {"proj_a.weight": torch.zeros(30, 30, 1)}, None, "features of `audio` have the hidden size of this"),
        (lambda state: state | {"out_layer.weight": torch.zeros(3, 180)}, None, "has 3 outputs; expected 1 .sentiment"),
        (lambda state: state, ["happy"], "has 1 output; expected 1 .sentiment, without labels"),
        (lambda state: {k: v for k, v in state.items() if k != "proj_l.weight"}, None, "has no `proj_l.weight`"),
    ],
)  # fmt: skip
def test_wrong_checkpoints_are_refused(change, labels, sentence, tmp_path):
    save_file(change(PUBLIC), tmp_path / "public.safetensors")
    with pytest.raises(ValueError, match=sentence):
        convert("mult", tmp_path / "public.safetensors", tmp_path / "ours", labels, {"num_attention_heads": 5})
    assert not (tmp_path / "ours").exists()


@torch.no_grad()
def test_two_logits_per_emotion_become_one(tmp_path):
    """Of IEMOCAP: the softmax of the two and the sigmoid of the one are the same."""
    torch.manual_seed(0)
    pairs = {"out_layer.weight": torch.randn(8, 180), "out_layer.bias": torch.randn(8)}
    save_file(PUBLIC | pairs, tmp_path / "public.safetensors")
    convert("mult", tmp_path / "public.safetensors", tmp_path / "ours", fields={"num_attention_heads": 5})
    model = AutoModel.from_pretrained(tmp_path / "ours").eval()
    assert model.config.tasks[0].labels == ("neutral", "happy", "sad", "anger")
    output = model(**make_inputs(model.config))
    expected = F.linear(output.pooler_output, *pairs.values()).unflatten(1, (4, 2)).softmax(-1)[..., 1]
    torch.testing.assert_close(output.logits["emotion"].sigmoid(), expected)


def test_every_name_of_the_public_code_is_one_of_ours():
    with torch.device("meta"):
        ours = MulTForAffect(MulTConfig.reference(num_hidden_layers=1)).state_dict()
    public = {MULT.get_public_name(name) for name in ours}
    assert public == {name for name in PUBLIC if not name.endswith(("version", "_float_tensor"))}
