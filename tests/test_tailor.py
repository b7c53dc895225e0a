# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""TAILOR: the common checks for its presets, alignments and ablations, parameter counts, bad input."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from tailor_by_hand import REFERENCE, SMALL, random_model
from test_modeling_common import ModelTesterMixin, make_inputs, make_labels

from mm_affect.models.tailor import CHOICES, LOSS_WEIGHTS, TailorConfig, TailorForAffect
from mm_affect.tasks import Task


class TestTailor(ModelTesterMixin):
    model_class = TailorForAffect
    config_fields = SMALL
    # the mean of signs that the absolute error gives this bias is 0: three labels lie above its first prediction, three below
    untrained = ("common_classifiers.sentiment.0.bias",)


class TestTailorReference(TestTailor):
    config_fields = SMALL | REFERENCE


class TestTailorCTC(TestTailor):
    config_fields = SMALL | {"aligner": "ctc"}

    def test_every_subset_of_modalities(self):
        """Those with text; without it there is nothing to align to."""
        for modalities in (["text"], ["text", "audio"], ["text", "visual"], ["text", "audio", "visual"]):
            model = self.model(modalities=modalities)
            output = model(**make_inputs(model.config), labels=make_labels())
            output.loss.backward()
            assert torch.isfinite(output.loss)
        with pytest.raises(StrictDataclassError, match="aligns to the text"):
            self.config(modalities=["audio", "visual"])


class TestTailorUnaligned(TestTailor):
    config_fields = SMALL | {"aligner": "none", "normalize_orthogonality": True}


class TestTailorWithoutRefinement(TestTailor):
    config_fields = SMALL | {"refinement": "none"}


class TestTailorCommonOnly(TestTailor):
    config_fields = SMALL | {"refinement": "common", "fusion_order": None, "modality_token_embeddings": False}


class TestTailorPrivateOnly(TestTailor):
    config_fields = SMALL | {"refinement": "private", "aligner": "none"}


class TestTailorIdentical(TestTailor):
    config_fields = SMALL | {"decoder": "identical"}


class TestTailorLabelEmbeddings(TestTailor):
    config_fields = SMALL | {"decoder": "label_embeddings"}


class TestTailorLabelCorrelations(TestTailor):
    config_fields = SMALL | {"decoder": "label_correlations"}


# parameter counts -------------------------------------------------------------------------------------------------


def count(config: TailorConfig, *without: str) -> int:
    with torch.device("meta"):
        parameters = TailorForAffect(config).named_parameters()
    return sum(parameter.numel() for name, parameter in parameters if not name.startswith(without))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (TailorConfig(), 10_372_673),
        (TailorConfig.reference(), 10_798_652 - 394_752),  # the public code has poolers that no loss touches
        (TailorConfig.reference(aligner="ctc"), 10_490_192),
    ],
    ids=["paper", "public code", "public code with ctc"],
)
def test_parameter_counts(config, expected):
    assert count(config) == expected


def test_parameters_that_inference_needs():
    assert count(TailorConfig.reference(), "discriminator.", "common_classifiers.") == 10_369_075


def test_the_default_is_the_paper():
    config = TailorConfig()
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (256, 8, 256)
    assert config.encoder_layers == {"text": 6, "audio": 4, "visual": 4} and config.cross_layers == 3
    assert config.fusion_order == ["visual", "audio", "text", "common"] and config.max_position_embeddings == 60
    assert (config.hidden_dropout_prob, config.private_dropout_prob, config.logit_dropout) == (0.3, 0.1, 0.0)
    assert config.loss_weights == {
        "common_adversarial": 0.01, "private_adversarial": 0.01, "orthogonal": 5e-6, "common_semantics": 0.5, "ctc": 0.5,
    }  # fmt: skip
    assert config.tasks[0].threshold == 0.35
    assert TailorConfig(aligner="none").max_position_embeddings == 500
    assert TailorConfig(loss_weights={"orthogonal": 1.0}).loss_weights == LOSS_WEIGHTS | {"orthogonal": 1.0}
    assert TailorConfig(encoder_layers={"text": 2}).encoder_layers == {"text": 2, "audio": 4, "visual": 4}


def test_the_reference_yields_to_fields_that_are_given():
    config = TailorConfig.reference(discriminator="linear", aligner="ctc")
    assert (config.discriminator, config.aligner, config.concat_order) == ("linear", "ctc", "reference")
    assert {name: getattr(TailorConfig.reference(), name) for name in REFERENCE} == REFERENCE


def test_first_weights():
    """Normal with deviation 0.02 and zero biases, as in BERT; the LSTMs of the aligner as PyTorch has them."""
    torch.manual_seed(0)
    model = TailorForAffect(TailorConfig.reference(aligner="ctc", encoder_layers={"text": 1}, cross_layers=1))
    for name, parameter in model.named_parameters():
        if "lstm" in name:
            assert parameter.abs().max() <= 51**-0.5 and parameter.std() > 0.06, name
        elif "norm" in name:
            assert (parameter == float(name.endswith("weight"))).all(), name
        elif name.endswith("bias"):
            assert (parameter == 0).all(), name
        elif parameter.numel() > 2000:
            assert 0.019 < parameter.std() < 0.021 and abs(parameter.mean()) < 0.001, name


# bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"fusion_order": ["text", "audio", "visual"]}, "`fusion_order` is .* each of text, audio, visual, common once"),
        ({"fusion_order": ["text", "text", "visual", "common"]}, "`fusion_order` is .* once"),
        ({"fusion_order": ["text", "audio", "visual", "face"]}, "`fusion_order` is .* once"),
        ({"fusion_order": ["audio", "common"], "refinement": "none"}, "each of text, audio, visual once"),
        ({"fusion_order": ["visual", "common"], "modalities": ["text", "audio"]}, "each of text, audio, common once"),
        ({"loss_weights": {"orthogonl": 1.0}}, "`loss_weights` has the unknown loss 'orthogonl'. Did you mean 'orthogonal'"),
        ({"aligner": "ctc", "modalities": ["audio", "visual"]}, "aligns to the text, but `modalities` does not contain text; use 'none'"),
        ({"hidden_size": 100}, "`hidden_size` is 100, which is not divisible by 8 attention heads"),
        ({"encoder_layers": {"smell": 1}}, "`encoder_layers` names the unknown modality 'smell'"),
        ({"encoder_layers": {"audio": 0}}, "`encoder_layers\\['audio'\\]` is 0; expected a positive integer"),
        ({"hidden_dropout_prob": 1.0}, "`hidden_dropout_prob` is 1.0; expected at least 0 and less than 1"),
        ({"private_dropout_prob": -0.1}, "`private_dropout_prob` is -0.1"),
        ({"logit_dropout": 1}, "`logit_dropout` is 1;"),
        *(({name: 0}, f"`{name}` is 0; expected a positive integer") for name in (
            "hidden_size", "num_attention_heads", "intermediate_size", "cross_layers", "max_position_embeddings",
            "aligned_length",
        )),
        *(({name: "best"}, f"`{name}` is 'best'; expected one of {', '.join(known)}") for name, known in CHOICES.items()),
    ],
)  # fmt: skip
def test_wrong_fields_are_refused(fields, sentence):
    with pytest.raises((ValueError, StrictDataclassError), match=sentence):
        TailorConfig(**fields)


def test_streams_of_unequal_length_are_refused():
    """By a model of aligned streams, which says what to do; a modality that is missing everywhere has no length."""
    model = random_model()
    inputs = {"text": torch.randn(2, 4, 10), "audio": torch.randn(2, 9, 7), "visual": torch.randn(2, 4, 5)}
    with pytest.raises(
        ValueError, match="4 .text., 9 .audio., 4 .visual. steps.*Align them to the words, or set `aligner`"
    ):
        model(**inputs)
    absent = torch.zeros(2, 9, dtype=torch.bool)
    assert torch.isfinite(model(**inputs, audio_mask=absent).pooler_output).all()
    assert torch.isfinite(random_model(aligner="none")(**inputs).pooler_output).all()


def test_unknown_tasks_and_labels_of_a_wrong_shape_are_refused():
    model = random_model()
    inputs = make_inputs(model.config)
    with pytest.raises(
        ValueError, match="`labels` has the unknown task 'arousal'; expected emotion, sarcasm, sentiment"
    ):
        model(**inputs, labels=make_labels() | {"arousal": torch.zeros(6)})
    with pytest.raises(ValueError, match="Labels of 'emotion' have shape .6, 6.; expected .6, 3."):
        model(**inputs, labels={"emotion": torch.zeros(6, 6)})


@pytest.mark.parametrize("names", [("happy", "sad"), tuple("abcdefghijk")])
def test_any_set_of_labels(names):
    """Known from the configuration alone; one label is enough."""
    for labels in (names, names[:1]):
        model = random_model(tasks=[Task("emotion", labels=labels)])
        output = model(**make_inputs(model.config), labels={"emotion": torch.ones(6, len(labels))})
        assert output.logits["emotion"].shape == (6, len(labels)) and torch.isfinite(output.loss)
