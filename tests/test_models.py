# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The EF / LF / EF-LF family: the common checks for all nine, parameter counts, the golden of the public code."""

from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import load_file
from test_modeling_common import SIZES, TASKS, ModelTesterMixin, make_inputs, make_labels, without
from torch import nn
from transformers import AutoModel, BertConfig

from mm_affect.models.fusion import FusionConfig, FusionForAffect
from mm_affect.tasks import Task


FIXTURES = Path(__file__).parent / "fixtures"
SMALL = {"early_size": 20, "late_sizes": {"text": 16, "audio": 14, "visual": 12}}


# Read at the last step, the backward direction has seen one step: its recurrent weights multiply zeros, as in the paper.
LAST_STEP = ("backward_lstm.weight_hh_l0",)


def small(fusion: str, encoder: str) -> dict:
    return {"fusion": fusion, "encoder": encoder, **SMALL}


class TestEFAVG(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("ef", "avg")


class TestLFAVG(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("lf", "avg")


class TestEFLFAVG(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("ef_lf", "avg")


class TestEFLSTM(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("ef", "lstm")
    untrained = LAST_STEP


class TestLFLSTM(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("lf", "lstm")
    untrained = LAST_STEP


class TestEFLFLSTM(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("ef_lf", "lstm")
    untrained = LAST_STEP


class TestEFTRANS(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("ef", "trans")


class TestLFTRANS(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("lf", "trans")


class TestEFLFTRANS(ModelTesterMixin):
    model_class = FusionForAffect
    config_fields = small("ef_lf", "trans")


class TestEFLFLSTMStatistics(ModelTesterMixin):
    """The pooling that reads mean and deviation, with the two-layer head."""

    model_class = FusionForAffect
    config_fields = small("ef_lf", "lstm") | {"pooling": "statistics", "head": "concat_mlp"}


class TestEFLFTRANSPositions(ModelTesterMixin):
    """Transformer branches that know positions, with the plain linear head."""

    model_class = FusionForAffect
    config_fields = small("ef_lf", "trans") | {"sinusoidal_positions": True, "head": "concat"}


class TestEFLFAVGPooledNorm(ModelTesterMixin):
    """Averages with deviations, batch-normalized before the linear layer."""

    model_class = FusionForAffect
    config_fields = small("ef_lf", "avg") | {"pooled_norm": True, "pooling": "statistics"}


# parameter counts ------------------------------------------------------------------------------------------------


def count(config: FusionConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in FusionForAffect(config).parameters())


@pytest.mark.parametrize(
    ("corpus", "fusion", "encoder", "expected"),
    [
        ("iemocap", "ef", "avg", 52_996),
        ("cmu_mosei", "ef", "avg", 53_254),
        ("iemocap", "lf", "avg", 42_212),
        ("cmu_mosei", "lf", "avg", 45_830),
        ("iemocap", "ef", "lstm", 1_708_804),
        ("cmu_mosei", "ef", "lstm", 3_786_758),
        ("iemocap", "lf", "lstm", 1_827_108),
        ("cmu_mosei", "lf", "lstm", 1_829_334),
        ("iemocap", "ef_lf", "lstm", 3_535_914),
        ("cmu_mosei", "ef_lf", "lstm", 5_616_094),
    ],
)
def test_parameter_counts(corpus, fusion, encoder, expected):
    assert count(FusionConfig.paper(corpus, fusion=fusion, encoder=encoder)) == expected


def test_default_is_the_papers_model_for_mosei():
    assert FusionConfig().to_dict() == FusionConfig.paper("cmu_mosei").to_dict()
    with pytest.raises(ValueError, match="iemocap, not for 'mosi'"):
        FusionConfig.paper("mosi")


@pytest.mark.parametrize(("corpus", "expected"), [("iemocap", 4_998_812), ("cmu_mosei", 7_891_994)])
def test_parameter_counts_of_the_earlier_code(corpus, expected):
    assert count(FusionConfig.reference(corpus)) == expected


def torch_transformer(size: int, heads: int, inner: int) -> int:
    """[CLS] and two layers, counted by PyTorch's own module."""
    layer = nn.TransformerEncoderLayer(size, heads, inner)
    return size + 2 * sum(p.numel() for p in layer.parameters())


def test_parameter_counts_of_transformers():
    """409 features are padded to 410 for 5 heads, 35 to 36 for 2."""
    early = torch_transformer(410, 5, 512)
    late = torch_transformer(300, 4, 300) + torch_transformer(74, 2, 128) + torch_transformer(36, 2, 64)
    assert count(FusionConfig(fusion="ef", encoder="trans")) == early + 410 * 6 + 6
    assert count(FusionConfig(fusion="lf", encoder="trans")) == late + 410 * 6 + 6
    assert count(FusionConfig(fusion="ef_lf", encoder="trans")) == early + late + 2 * (410 * 6 + 6) + 2


# against the first author's public code ---------------------------------------------------------------------------


def golden_weights(tensors: dict) -> dict:
    """State-dict names of the public EF-LF-LSTM to ours: one bidirectional LSTM is two one-way LSTMs here."""
    places = {"EF_RNN": "early", "LF_RNNs.0": "late.text", "LF_RNNs.1": "late.audio", "LF_RNNs.2": "late.visual"}
    renamed = {}
    for name, value in tensors.items():
        if not name.startswith("weights/"):
            continue
        module, parameter = name.removeprefix("weights/").rsplit(".", 1)
        if module in places:
            direction = "backward" if parameter.endswith("_reverse") else "forward"
            name = f"{places[module]}.lstm.{direction}_lstm.{parameter.removesuffix('_reverse')}"
        else:  # out.0 and out.3
            name = f"heads.heads.emotion.{module.removeprefix('out.')}.{parameter}"
        renamed[name] = value.float()
    return renamed


@torch.no_grad()
def test_golden_ef_lf_lstm():
    """Random weights and inputs went through the public Modality-Transferable-MER code; ours gives the same logits."""
    tensors = load_file(FIXTURES / "golden_ef_lf_lstm.safetensors")
    inputs = {m: tensors[f"inputs/{m}"].float() for m in SIZES}
    config = FusionConfig.reference(
        feature_sizes={m: values.shape[-1] for m, values in inputs.items()},
        early_size=48,
        late_sizes={"text": 40, "audio": 24, "visual": 16},
    )
    model = FusionForAffect(config).eval()
    model.load_state_dict(golden_weights(tensors))
    torch.testing.assert_close(model(**inputs).logits["emotion"], tensors["outputs/logits"], rtol=0, atol=1e-5)
    for m in SIZES:  # padding, on whichever side, changes nothing
        padding = torch.full_like(inputs[m][:, :3], torch.nan)
        inputs[m] = torch.cat([padding, inputs[m], padding], dim=1)
        inputs[f"{m}_mask"] = (torch.arange(18) >= 3).expand(3, -1) & (torch.arange(18) < 15)
    torch.testing.assert_close(model(**inputs).logits["emotion"], tensors["outputs/logits"], rtol=0, atol=1e-5)


# what only this family has ----------------------------------------------------------------------------------------


def model_of(**fields) -> FusionForAffect:
    torch.manual_seed(0)
    return FusionForAffect(FusionConfig(**({"feature_sizes": SIZES, "tasks": TASKS, **SMALL} | fields))).eval()


@pytest.mark.parametrize("pooling", ["last_step", "final_states", "mean", "statistics"])
def test_unimodal_heads_read_their_own_modality(pooling):
    tasks = [Task(f"sentiment_{m}", "regression", view=m) for m in SIZES]
    model = model_of(tasks=tasks, pooling=pooling)
    inputs = make_inputs(model.config)
    expected = model(**inputs).logits
    for absent in SIZES:
        found = model(**without(inputs, absent)).logits
        for m in SIZES:
            assert torch.equal(found[f"sentiment_{m}"], expected[f"sentiment_{m}"]) == (m != absent)


def test_early_fusion_of_aligned_streams_concatenates_steps():
    """Streams of equal length enter the early branch side by side, unchanged, in the order text, audio, visual."""
    model = model_of(fusion="ef", encoder="avg")
    streams = {m: torch.randn(2, 4, size) for m, size in SIZES.items()}
    mean = torch.cat([values.mean(1) for values in streams.values()], dim=-1)
    torch.testing.assert_close(model(**streams).pooler_output, model.early.linear(mean).relu())


def test_late_fusion_order_and_weights():
    """The view is text, audio, visual, early; the logits are the parts' logits times their learned weights."""
    model = model_of(encoder="avg")
    streams = {m: torch.randn(2, 4, size) for m, size in SIZES.items()}
    output = model(**streams)
    views = [model.late[m].linear(streams[m].mean(1)).relu() for m in SIZES]
    early = model.early.linear(torch.cat([values.mean(1) for values in streams.values()], dim=-1)).relu()
    torch.testing.assert_close(output.pooler_output, torch.cat([*views, early], dim=-1))
    head = model.heads.heads["emotion"]
    assert head.part_weights.tolist() == [0.5, 0.5]
    late = head.parts[0](torch.cat(views, dim=-1))
    torch.testing.assert_close(output.logits["emotion"], 0.5 * late + 0.5 * head.parts[1](early))


def test_transformer_branch_sees_order_only_with_positions():
    inputs = make_inputs(FusionConfig(feature_sizes=SIZES), ragged=False)
    turned = {m: inputs[m].flip(1) for m in SIZES}
    for positions in (False, True):
        model = model_of(encoder="trans", sinusoidal_positions=positions)
        difference = (model(**turned).pooler_output - model(**inputs).pooler_output).abs().max()
        assert (difference > 1e-3) == positions


def test_input_dropout_drops_whole_features_in_training_only():
    model = model_of(input_dropout_prob=0.5).train()
    dropout, ones = model.late["text"].input_dropout, torch.ones(4, 6, 50)
    dropped = dropout(ones)
    assert torch.equal(dropped, dropped[:, :1].expand(-1, 6, -1))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    model.eval()
    assert torch.equal(dropout(ones), ones)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"fusion": "fe"}, "`fusion` is 'fe'"),
        ({"encoder": "gru"}, "`encoder` is 'gru'"),
        ({"encoder": "avg", "pooling": "cls"}, "`pooling` is 'cls'"),
        ({"head": "mlp"}, "`head` is 'mlp'"),
        ({"late_sizes": {"smell": 3}}, "smell"),
        ({"late_heads": {"smell": 3}}, "smell"),
        ({"early_size": 0}, "early_size"),
        ({"late_sizes": {"text": -1}}, "late_sizes"),
        ({"late_sizes": {"text": "wide"}}, "late_sizes"),
        ({"late_heads": {"audio": 0}}, "late_heads"),
        ({"early_heads": 0}, "early_heads"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob"),
        ({"input_dropout_prob": -0.1}, "input_dropout_prob"),
        ({"early_size": "wide"}, "early_size"),
    ],
)
def test_wrong_fields_are_refused(fields, words):
    with pytest.raises((ValueError, StrictDataclassError), match=words):
        FusionConfig(**fields)


# a pretrained text encoder ----------------------------------------------------------------------------------------

TINY_BERT = {
    "model_type": "bert", "vocab_size": 30, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "max_position_embeddings": 16,
}  # fmt: skip


def token_inputs() -> dict:
    inputs = make_inputs(FusionConfig(feature_sizes=SIZES))
    inputs["attention_mask"] = inputs.pop("text_mask").long()
    inputs["attention_mask"][3] = 0  # a row without text
    shape = inputs.pop("text").shape[:2]
    return inputs | {"input_ids": torch.randint(0, 30, shape, generator=torch.Generator().manual_seed(0))}


def test_text_encoder_reads_tokens(tmp_path):
    model = model_of(text_config=TINY_BERT)
    assert model.config.feature_sizes["text"] == 12
    inputs = token_inputs()
    output = model(**inputs, labels=make_labels())
    assert torch.isfinite(output.loss)
    output.loss.backward()
    assert model.text_encoder.embeddings.word_embeddings.weight.grad.abs().sum() > 0
    missing = inputs["input_ids"].clone()
    missing[3] = 7  # whatever stands there
    assert torch.equal(model(**inputs | {"input_ids": missing}).pooler_output, model(**inputs).pooler_output)
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert torch.equal(loaded(**inputs).pooler_output, model(**inputs).pooler_output)


def test_text_encoder_is_loaded_from_its_own_checkpoint(tmp_path):
    encoder = AutoModel.from_config(BertConfig(**{k: v for k, v in TINY_BERT.items() if k != "model_type"}))
    encoder.save_pretrained(tmp_path)
    config = FusionConfig(feature_sizes=SIZES, tasks=TASKS, **SMALL)
    model = FusionForAffect.from_encoders_pretrained(config, str(tmp_path))
    for name, value in encoder.state_dict().items():
        assert torch.equal(model.text_encoder.state_dict()[name], value), name
    assert torch.isfinite(model(**token_inputs()).pooler_output).all()


def test_tokens_without_an_encoder_are_refused():
    with pytest.raises(ValueError, match="no `text_config`"):
        model_of()(input_ids=torch.zeros(2, 3, dtype=torch.long))
    model = model_of(text_config=TINY_BERT)
    with pytest.raises(ValueError, match="not both"):
        model(**token_inputs(), text=torch.zeros(6, 5, 12))
