# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""SUGRM: common checks, recalibration by hand, unimodal tasks, the golden of the public code, text encoders, bad input.

The golden `fixtures/golden_sugrm.safetensors` was made by running the authors' public code (skystarhyw/SUGRM, BERT replaced by
given states) once, in eval mode, float32, on a CPU, at a small size with random weights (seed 0, normalization layers
randomized so that nothing is hidden). Weights and inputs were rounded to half precision first, so the stored values are exact.
`weights/<name>` are the public state dict, `inputs/<modality>` have no masks, every step is real; `outputs/m`, `t`, `a`, `v` are
the predictions and `outputs/feature_<letter>` the features that labels are generated from. It changes only if the public code
is found to compute something else.
"""

from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors.torch import save_file
from spt_by_hand import SMALL
from test_modeling_common import SIZES, ModelTesterMixin, make_inputs
from test_spt import read_golden
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from mm_affect.checkpoints.conversion import convert
from mm_affect.checkpoints.public_code.sugrm import SUGRM
from mm_affect.models.layers.streams import Stream
from mm_affect.models.sugrm import Recalibration, SUGRMConfig, SUGRMForAffect
from mm_affect.tasks import Task


GOLDEN = Path(__file__).parent / "fixtures" / "golden_sugrm.safetensors"
SENTIMENT = Task("sentiment", "regression", value_range=(-3.0, 3.0), regression_loss="huber")
BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 20, "vocab_size": 30}


class TestSUGRM(ModelTesterMixin):
    """Without unimodal tasks: the checks know three tasks."""

    model_class = SUGRMForAffect
    config_fields = SMALL | {"unimodal": []}


class TestSUGRMLSTM(ModelTesterMixin):
    model_class = SUGRMForAffect
    config_fields = SMALL | {"unimodal": [], "extractor": "lstm", "head": "mlp2", "recalibration": False}


class TestSUGRMTransformer(ModelTesterMixin):
    model_class = SUGRMForAffect
    config_fields = SMALL | {"unimodal": [], "extractor": "transformer"}


# recalibration ----------------------------------------------------------------------------------------------------


def test_recalibration_by_hand():
    """Averages are over real steps; a missing modality has zeros."""
    torch.manual_seed(0)
    sizes = {"text": 4, "audio": 3, "visual": 2}
    module = Recalibration(sizes)
    assert module.squeeze.weight.shape == (2, 9)
    masks = {"text": [[1, 1, 0], [0, 1, 1]], "audio": [[0, 0], [1, 0]], "visual": [[1], [1]]}
    streams = {
        m: Stream(torch.randn(2, len(mask[0]), sizes[m]), torch.tensor(mask).bool()).cleaned()
        for m, mask in masks.items()
    }
    found = module(streams)
    for row in range(2):
        means = {}
        for m, (values, mask) in streams.items():
            real = values[row][mask[row]]
            means[m] = real.sum(0) / max(1, len(real))
        z = (
            module.squeeze.weight @ torch.cat([means[m] for m in ("audio", "visual", "text")]) + module.squeeze.bias
        ).relu()
        for m, (values, _) in streams.items():
            gate = 2 / (1 + torch.exp(-(module.excite[m].weight @ z + module.excite[m].bias)))
            torch.testing.assert_close(found[m].values[row], values[row] * gate)


# tasks and views --------------------------------------------------------------------------------------------------


def small(**fields) -> SUGRMForAffect:
    torch.manual_seed(0)
    return SUGRMForAffect(SUGRMConfig(**{"feature_sizes": SIZES, "tasks": [SENTIMENT]} | SMALL | fields)).eval()


def test_unimodal_tasks():
    """One per regression of the fusion and per modality; once made they are tasks like others, also after loading."""
    joy = Task("joy", "regression")
    other = Task("emotion", labels=("a",))
    alone = Task("valence", "regression", view="text")
    config = SUGRMConfig(tasks=[SENTIMENT, joy, other, alone], unimodal=["audio", "text"])
    made = {task.name: task for task in config.tasks[4:]}
    assert list(made) == ["sentiment_audio", "sentiment_text", "joy_audio", "joy_text"]
    expected = Task(
        "sentiment_audio",
        "regression",
        view="audio",
        value_range=(-3.0, 3.0),
        regression_loss="huber",
        generated_from="sentiment",
    )
    assert made["sentiment_audio"] == expected
    assert SUGRMConfig.from_dict(config.to_dict()).tasks == config.tasks
    assert [task.name for task in SUGRMConfig().tasks] == ["sentiment", *(f"sentiment_{m}" for m in SIZES)]


@torch.no_grad()
def test_views_are_the_common_space():
    model = small()
    output = model(**make_inputs(model.config))
    assert {view: tuple(values.shape) for view, values in output.representations.items()} == dict.fromkeys(
        ("fusion", "text", "audio", "visual"), (6, 32)
    )
    for view, values in output.representations.items():
        assert (values >= 0).all() and values.any()
        head = model.heads.heads["sentiment" if view == "fusion" else f"sentiment_{view}"]
        torch.testing.assert_close(
            output.logits["sentiment" if view == "fusion" else f"sentiment_{view}"], head(values)
        )
    assert set(small(unimodal=["audio"]).common) == {"fusion", "audio"}  # no weights that nothing trains


@torch.no_grad()
@pytest.mark.parametrize("fields", [{}, {"extractor": "lstm"}, {"extractor": "transformer"}])
def test_a_view_depends_on_its_modality_alone_without_exchange(fields):
    """A modality's LSTM reads nothing else; SPT and Transformer do."""
    model = small(recalibration=False, **fields)
    inputs = make_inputs(model.config)
    before = model(**inputs).representations
    after = model(**inputs | {"text": inputs["text"].flip(-1)}).representations
    changed = {view: not torch.allclose(before[view], after[view]) for view in before}
    exchange = fields.get("extractor") != "lstm"
    assert changed == {"fusion": True, "text": True, "audio": exchange, "visual": exchange}


# the public code --------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_golden(tmp_path):
    weights, inputs, outputs = read_golden(GOLDEN)
    save_file(weights, tmp_path / "public.safetensors")
    convert("sugrm", tmp_path / "public.safetensors", tmp_path / "sugrm")
    found = AutoModel.from_pretrained(tmp_path / "sugrm").eval()(**inputs)
    for view, letter in {"fusion": "f", "text": "t", "audio": "a", "visual": "v"}.items():
        prediction = found.logits["sentiment" if view == "fusion" else f"sentiment_{view}"]
        expected = outputs["m" if view == "fusion" else letter]
        torch.testing.assert_close(prediction, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.representations[view], outputs[f"feature_{letter}"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_conversion_with_bert(tmp_path):
    """The text encoder that was saved with it comes along."""
    weights, inputs, _ = read_golden(GOLDEN)
    torch.manual_seed(0)
    bert = BertModel(BertConfig(**BERT | {"hidden_size": 32})).eval()
    weights |= {f"text_model.model.{name}": value.clone() for name, value in bert.state_dict().items()}
    weights["text_model.model.embeddings.position_ids"] = torch.arange(512.0)
    save_file(weights, tmp_path / "public.safetensors")
    record = convert("sugrm", tmp_path / "public.safetensors", tmp_path / "sugrm")
    assert "text_model.model.embeddings.position_ids" in record["dropped"]
    model = AutoModel.from_pretrained(tmp_path / "sugrm").eval()
    assert model.config.text_config.num_attention_heads == 1
    tokens = torch.randint(30, (3, 24))
    streams = {m: inputs[m] for m in ("audio", "visual")}
    given = model(text=bert(tokens).last_hidden_state, **streams)
    torch.testing.assert_close(model(input_ids=tokens, **streams).pooler_output, given.pooler_output)
    with pytest.raises(ValueError, match="30"):
        model(input_ids=tokens + 1, **streams)
    with pytest.raises(ValueError, match="have no labels; leave the labels out"):
        convert("sugrm", tmp_path / "public.safetensors", tmp_path / "other", labels=["a"])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SUGRMConfig(), 558_244),
        (SUGRMConfig.paper("cmu_mosi"), 482_497),
        (SUGRMConfig.reference(), 562_468),
        (SUGRMConfig.reference("cmu_mosi"), 486_721),
    ],
)
def test_parameter_counts(config, expected):
    """Without BERT; the public code has 192 more, layer norms of the keys of self layers that nothing reads."""
    with torch.device("meta"):
        model = SUGRMForAffect(config)
    assert model.num_parameters() == expected - 192
    assert model.recalibration.squeeze.weight.shape in ((219, 877), (198, 793))


def test_presets():
    mosi, mosei = SUGRMConfig.paper("cmu_mosi"), SUGRMConfig.paper("cmu_mosei")
    dropouts = (
        "embedding_dropout_prob",
        "attention_dropout",
        "activation_dropout",
        "hidden_dropout_prob",
        "head_dropout_prob",
    )
    assert [getattr(mosi, name) for name in dropouts] == [0.3] * 5 and mosi.num_attention_heads == 8
    assert [getattr(mosei, name) for name in dropouts] == [0.2, 0.1, 0.1, 0.1, 0.1] and mosei.num_attention_heads == 4
    assert mosi.feature_sizes == {"text": 768, "audio": 5, "visual": 20} and mosei.to_dict() == SUGRMConfig().to_dict()
    assert (mosi.input_shift, mosi.cross_shift, mosi.self_shift) == ([], ["S"], ["S"])
    assert SUGRMConfig.paper("cmu_mosi", num_attention_heads=2).num_attention_heads == 2
    reference = SUGRMConfig.reference("cmu_mosi")
    assert (reference.head, reference.attention_dropout, reference.pe_zero_first_channel) == ("mlp2", 0.0, True)
    with pytest.raises(ValueError, match="settings for cmu_mosei and cmu_mosi, not for 'iemocap'"):
        SUGRMConfig.paper("iemocap")


# bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"extractor": "gru"}, "`extractor` is 'gru'; expected one of spt, lstm, transformer"),
        ({"head": "mlp3"}, "`head` is 'mlp3'; expected one of paper, mlp2"),
        ({"common_size": 0}, "`common_size` is 0; expected a positive integer"),
        ({"unimodal": ["video"]}, "`unimodal` has 'video'; expected modalities of the model: text, audio, visual"),
        (
            {"unimodal": ["text"], "modalities": ["audio"]},
            "`unimodal` has 'text'; expected modalities of the model: audio",
        ),
        (
            {"text_config": {"model_type": "bert", **BERT}, "feature_sizes": {"text": 768}},
            r"`feature_sizes\['text'\]` is 768, but the text encoder has 16 features",
        ),
    ],
)
def test_bad_configurations(fields, words):
    with pytest.raises((ValueError, StrictDataclassError), match=words):
        SUGRMConfig(**fields)


def test_text_encoder_of_another_width(tmp_path):
    """What recalibration was built for is the width of the encoder, and features of another width are refused."""
    config = SUGRMConfig(**SMALL, text_config={"model_type": "bert", **BERT})
    assert config.feature_sizes["text"] == 16
    config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).feature_sizes["text"] == 16
    model = SUGRMForAffect(config).eval()
    assert model.recalibration.squeeze.in_features == 16 + 74 + 35
    with pytest.raises(ValueError, match="`text` has 768 features per step; the config says 16"):
        model(text=torch.randn(2, 3, 768))
    model.text_encoder = BertModel(BertConfig(**BERT | {"hidden_size": 20}))
    with pytest.raises(ValueError, match="`text` has 20 features per step; the config says 16"):
        model(input_ids=torch.ones(2, 3, dtype=torch.long))


def test_names_of_the_public_code_are_all_told_apart():
    """But for what it keeps in one matrix: query, key and value."""
    with torch.device("meta"):
        names = SUGRMForAffect(SUGRMConfig.reference()).state_dict()
    public = [SUGRM.get_public_name(name) for name in names]
    packed = [name for name in public if "in_proj" in name or name == "spe.init_hiddens"]
    assert len(packed) == 9 * 3 * 2 + 1 and len(set(packed)) == 9 * 2 + 1
    assert len(set(public)) == len(public) - len(packed) + len(set(packed))
