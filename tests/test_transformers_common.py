# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The common model tests of transformers itself, run against our architectures.

They are not in the installed package but in its source distribution. `MM_AFFECT_TRANSFORMERS_TESTS` names the unpacked
folder, the one that holds `tests/test_modeling_common.py`; without it everything here is skipped. Nothing is written there: what
those tests import beside them is stood in for in memory.
"""

import contextlib
import copy
import importlib
import inspect
import os
import sys
import types
import unittest
from pathlib import Path

import pytest
import torch
import transformers
from spt_by_hand import SMALL as SMALL_SPT
from tailor_by_hand import SMALL as SMALL_TAILOR
from test_bigru import SMALL as SMALL_BIGRU
from test_emo_emb import SMALL as SMALL_EMO_EMB
from test_joint_embeddings import SMALL as SMALL_JOINT
from test_lmr_cbt import SMALL as SMALL_LMR_CBT
from test_mfn import SMALL as SMALL_MFN
from test_modeling_common import LENGTHS, SIZES, TASKS, make_inputs, make_labels
from test_models import SMALL
from test_mult import SMALL as SMALL_MULT

from mm_affect.models.bigru import BiGRUConfig, BiGRUForAffect
from mm_affect.models.emo_emb import EmoEmbConfig, EmoEmbForAffect
from mm_affect.models.fusion import FusionConfig, FusionForAffect
from mm_affect.models.joint_embeddings import JointEmbeddingsConfig, JointEmbeddingsForAffect
from mm_affect.models.lmr_cbt import LMRCBTConfig, LMRCBTForAffect
from mm_affect.models.mfn import MFNConfig, MFNForAffect
from mm_affect.models.mult import MulTConfig, MulTForAffect
from mm_affect.models.spt import SPTConfig, SPTForAffect
from mm_affect.models.sugrm import SUGRMConfig, SUGRMForAffect
from mm_affect.models.tailor import TailorConfig, TailorForAffect


DEFAULT = Path(__file__).resolve().parent.parent / ".venv" / f"transformers-{transformers.__version__}"
FOLDER = Path(os.environ.get("MM_AFFECT_TRANSFORMERS_TESTS", DEFAULT))
if not (FOLDER / "tests" / "test_modeling_common.py").is_file():
    pytest.skip(
        "the source distribution of transformers is not here: see `MM_AFFECT_TRANSFORMERS_TESTS` in CONTRIBUTING.md",
        allow_module_level=True,
    )

# Tests that cannot apply to any of our models, or that our own common tests make as strictly, each with its reason. The names are
# beginnings: a parameterized test carries its parameters behind its name. They are not collected, like those that the machine
# cannot run (no GPU, no flash attention). `test_what_rules_tests_out_is_true` checks what these reasons say of the models.
COMPOSITE = "the configuration holds no other: there is no text encoder"
EMBEDDINGS = "there are no token embeddings"
EXPERTS = "there are no sparse experts"
FP32 = "no module is kept in float32"
LANGUAGE_MODEL = "there is no language model head"
PLAN = "there is no plan for tensor parallelism"
RENAMING = "no weight is renamed when it is loaded"
ROTARY = "there are no rotary positions"
STACK = "counts one stack of `num_hidden_layers`; there is one per stream"
NOT_APPLICABLE = {
    "test_attention_outputs": "counts one attention stack of `num_hidden_layers` and one length; there is one per stream",
    "test_attn_implementation_composite_models": COMPOSITE,
    "test_can_load_from_already_mapped_keys": RENAMING,
    "test_can_set_attention_dynamically_composite_model": COMPOSITE,
    "test_causal_lm_loss_honors_shift_labels": LANGUAGE_MODEL,
    "test_determinism": "ours wants equal outputs: `test_deterministic_in_evaluation`",
    "test_eager_matches_batched_and_grouped_inference": EXPERTS,
    "test_enable_input_require_grads_with_gradient_checkpointing": EMBEDDINGS,
    "test_encoder_decoder_loss_no_double_shift": LANGUAGE_MODEL,
    "test_feed_forward_chunking": "no feed-forward layer is computed in chunks",
    "test_get_": "there is no `get_text_features` or the like",
    "test_hidden_states_output": STACK,
    "test_inputs_embeds": EMBEDDINGS,
    "test_keep_in_fp32_modules": FP32,
    "test_load_save_without_tied_weights": "sets `tie_word_embeddings`, an unknown field here; nothing is tied",
    "test_model_get_set_embeddings": EMBEDDINGS,
    "test_model_main_input_name": "wants the main input to come first; every modality may be missing, none is the main one",
    "test_model_rope_": ROTARY,
    "test_moe_models_record_router_logits": EXPERTS,
    "test_output_router_logits_from_config": EXPERTS,
    "test_resize_": EMBEDDINGS,
    "test_reverse_loading_mapping": RENAMING,
    "test_save_load": "ours wants equal weights and outputs: `test_saved_equals_loaded`",
    "test_sdpa_can_dispatch_composite_models": COMPOSITE,
    "test_sliding_window_mask": "no attention has a sliding window of transformers",
    "test_tied_head_has_a_tp_plan_entry": PLAN,
    "test_tp_plan_matches_params": PLAN,
    "test_training_gradient_checkpointing_use_reentrant_false": "is `test_training_gradient_checkpointing`: the default",
    "test_vision_axial_rope": ROTARY,
}
# `attention_mask` belongs to the tokens of a text encoder, and there is none, so the sides of the padding do not differ. What
# remains: each precision, with and without the fast kernels, and with attentions. Ragged masks are in ours (`test_eager_equals_sdpa`,
# `test_missing_modality`).
NOT_APPLICABLE |= {
    f"test_eager_matches_sdpa_inference_{number:02}": "gives a model the same as `pad_left_no_attn_mask`"
    for number in range(24)
    if number % 8 not in (2, 3)
}
WITHOUT_ATTENTION = {
    "test_eager_matches_sdpa_inference": "there is no attention",
    "test_sdpa_can_dispatch_non_composite_models": "there is no attention",
}
# Tests of code that no architecture changes; they run for one.
ONCE = {"test_bc_torch_dtype": "reads one checkpoint 14 times by two names of one argument of `from_pretrained`"}

# Further ones, of the EF / LF family.
NOT_APPLICABLE_TO_FUSION = NOT_APPLICABLE | {
    "test_retain_grad_hidden_states_attentions": "wants hidden states of one stack; averaging branches have none",
    "test_training_gradient_checkpointing_use_reentrant_true": "the checkpointed branches read the features, which need no "
    "gradient, and re-entrant checkpointing then gives none; the other kind, the default, is tested",
}

# Further ones, of MFN and EMO-EMB.
NOT_APPLICABLE_TO_MFN = NOT_APPLICABLE | {
    "test_retain_grad_hidden_states_attentions": "wants hidden states of one stack; there is an LSTM per stream",
}
NOT_APPLICABLE_TO_EMO_EMB = NOT_APPLICABLE_TO_MFN | {
    name: reason for name, reason in NOT_APPLICABLE_TO_FUSION.items() if "use_reentrant_true" in name
}

# Further ones, of SPT and SUGRM.
NOT_APPLICABLE_TO_SPT = NOT_APPLICABLE | {
    "test_retain_grad_hidden_states_attentions": "wants hidden states of one stack; here they are packed over the rows, and "
    "fewer in each layer",
}


# Further ones, of MulT and LMR-CBT.
NOT_APPLICABLE_TO_CROSS_MODAL = NOT_APPLICABLE | {
    "test_can_capture_specific_layers_hidden_states": "finds the last by `num_hidden_layers`; there is one stack per stream",
}


class parameterized:
    """Runs a test once per case, as the package of this name does."""

    @staticmethod
    def expand(cases):
        def decorate(test):
            def every_case(self):
                skipped = 0
                for case in cases:
                    try:
                        test(self, *(case if isinstance(case, tuple | list) else (case,)))
                    except unittest.SkipTest as reason:
                        skipped, last = skipped + 1, reason
                if skipped == len(cases):
                    raise last

            every_case.__name__ = test.__name__
            return every_case

        return decorate


def stand_in(name: str, **members):
    """An empty module of this name, with these members."""
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


def common_tests():
    """Their `ModelTesterMixin`, imported from the folder under a package name of our own."""
    package = "transformers_own_tests"
    stand_in(package, __path__=[str(FOLDER / "tests")])
    for part, mixin in (
        ("exporters.test_export", "ExportTesterMixin"),
        ("generation.test_utils", "GenerationTesterMixin"),
    ):
        stand_in(f"{package}.{part.split('.')[0]}", __path__=[])
        stand_in(f"{package}.{part}", **{mixin: type(mixin, (), {})})
    if importlib.util.find_spec("parameterized") is None:
        stand_in("parameterized", parameterized=parameterized)
    common = importlib.import_module(f"{package}.test_modeling_common")
    # it sets epsilons, which are unknown fields here, and takes TAILOR's `decoder` for a configuration
    common.set_config_for_less_flaky_test = lambda config: None
    return common.ModelTesterMixin


class AffectModelTester:
    """What their mixin asks about a model: a small configuration and a batch for it."""

    batch_size, seq_length, is_training = 6, LENGTHS["audio"], True
    hidden_size, num_hidden_layers, num_attention_heads = 16, 2, 2

    def __init__(self, config_class, fields: dict):
        self.config_class, self.fields = config_class, fields

    def get_config(self):
        return self.config_class(feature_sizes=SIZES, tasks=TASKS, **self.fields)

    def prepare_config_and_inputs_for_common(self):
        config = self.get_config()
        return config, make_inputs(config)


class CommonTests(common_tests()):
    """Their tests with what holds for all our models."""

    all_model_classes = (FusionForAffect,)
    has_attentions = False
    test_resize_embeddings = False
    config_class, fields = FusionConfig, {}
    not_applicable = NOT_APPLICABLE_TO_FUSION

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        left_out = cls.not_applicable | ({} if cls.has_attentions else WITHOUT_ATTENTION)
        left_out |= {} if cls.__name__ == "TestTRANS" else ONCE
        names = [name for name in dir(cls) if name.startswith("test_")]
        assert all(any(name.startswith(start) for name in names) for start in left_out), "names of no test"
        for name in names:
            if name.startswith(tuple(left_out)) or getattr(getattr(cls, name), "__unittest_skip__", False):
                setattr(cls, name, None)

    def setUp(self):
        self.model_tester = AffectModelTester(self.config_class, self.fields)

    def subTest(self, *args, **kwargs):
        return contextlib.nullcontext()

    def test_what_rules_tests_out_is_true(self):
        """A model of which this fails needs the tests that are left out for it."""
        model = self.all_model_classes[0](self.model_tester.get_config())
        assert not any(getattr(model.config, name) for name in model.config.sub_configs), COMPOSITE
        assert not (model._keep_in_fp32_modules or model._keep_in_fp32_modules_strict), FP32
        assert not (model.tp_plan or model._tp_plan), PLAN
        assert not model._tied_weights_keys
        with pytest.raises(NotImplementedError):
            model.get_input_embeddings()
        for name in ("rope_parameters", "sliding_window", "output_router_logits"):
            assert not hasattr(model.config, name), name
        assert "inputs_embeds" not in inspect.signature(model.forward).parameters
        assert not [name for name in dir(model) if name.startswith("get_") and name.endswith("_features")]
        with torch.no_grad():
            model.set_attn_implementation("eager")
            _, inputs = self.model_tester.prepare_config_and_inputs_for_common()
            assert self.has_attentions or not model(**inputs, output_attentions=True).attentions

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = copy.deepcopy(inputs_dict)
        return inputs | {"labels": make_labels()} if return_labels else inputs


class TestAVG(CommonTests, unittest.TestCase):
    fields = SMALL | {"encoder": "avg"}


class TestLSTM(CommonTests, unittest.TestCase):
    fields = SMALL | {"encoder": "lstm"}


class TestTRANS(CommonTests, unittest.TestCase):
    fields = SMALL | {"encoder": "trans"}
    has_attentions = True


class TestTAILOR(CommonTests, unittest.TestCase):
    all_model_classes = (TailorForAffect,)
    config_class, fields = TailorConfig, SMALL_TAILOR
    not_applicable = NOT_APPLICABLE
    has_attentions = True


class TestMFN(CommonTests, unittest.TestCase):
    all_model_classes = (MFNForAffect,)
    config_class, fields = MFNConfig, SMALL_MFN
    not_applicable = NOT_APPLICABLE_TO_MFN


class TestEmoEmb(CommonTests, unittest.TestCase):
    all_model_classes = (EmoEmbForAffect,)
    config_class, fields = EmoEmbConfig, SMALL_EMO_EMB
    not_applicable = NOT_APPLICABLE_TO_EMO_EMB


class TestMulT(CommonTests, unittest.TestCase):
    all_model_classes = (MulTForAffect,)
    config_class, fields = MulTConfig, SMALL_MULT
    not_applicable = NOT_APPLICABLE_TO_CROSS_MODAL
    has_attentions = True


class TestLMRCBT(CommonTests, unittest.TestCase):
    all_model_classes = (LMRCBTForAffect,)
    config_class, fields = LMRCBTConfig, SMALL_LMR_CBT
    not_applicable = NOT_APPLICABLE_TO_CROSS_MODAL
    has_attentions = True


class TestBiGRU(CommonTests, unittest.TestCase):
    all_model_classes = (BiGRUForAffect,)
    config_class, fields = BiGRUConfig, SMALL_BIGRU


class TestJointEmbeddings(CommonTests, unittest.TestCase):
    all_model_classes = (JointEmbeddingsForAffect,)
    config_class, fields = JointEmbeddingsConfig, SMALL_JOINT
    not_applicable = NOT_APPLICABLE
    has_attentions = True


class TestSPT(CommonTests, unittest.TestCase):
    all_model_classes = (SPTForAffect,)
    config_class, fields = SPTConfig, SMALL_SPT
    not_applicable = NOT_APPLICABLE_TO_SPT


class TestSUGRM(CommonTests, unittest.TestCase):
    all_model_classes = (SUGRMForAffect,)
    config_class, fields = SUGRMConfig, SMALL_SPT | {"unimodal": []}
    not_applicable = NOT_APPLICABLE_TO_SPT
