# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A test of the tests: faults are planted one at a time, and the check that should see each must fail.

Most faults were found in published code. The last one, a cross-attention wired to the wrong stream, passes every common
check: only a reference or golden test of the architecture sees it.
"""

import inspect
import tempfile
from pathlib import Path

import numpy as np
import pytest
import test_joint_training
import test_layers
import test_lmr_cbt
import test_models
import test_mult
import torch
from huggingface_hub.dataclasses import strict
from test_modeling_common import ModelTesterMixin, make_inputs
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.utils.output_capturing import OutputRecorder

from mm_affect.models import fusion, lmr_cbt
from mm_affect.models.configuration import AffectConfig
from mm_affect.models.layers import attention, bilstm, ctc_aligner, gradient_reversal, task_heads
from mm_affect.models.layers import cross_modal_encoder as cross_modal
from mm_affect.models.layers.streams import Stream, masked_mean
from mm_affect.models.modeling import AffectPreTrainedModel, FusionOutput
from mm_affect.training.mixture import MixtureSampler, corpus_proportions
from mm_affect.training.options import Mixture


# a small architecture with cross-attention, to plant faults in -----------------------------------------------------


@strict
class RingConfig(AffectConfig):
    model_type = "test_ring"

    hidden_size: int = 12
    memory: dict | None = None  # which modality each one attends to

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        ring = dict(zip(self.modalities, self.modalities[1:] + self.modalities[:1], strict=True))
        self.memory = self.memory or ring


class RingForAffect(AffectPreTrainedModel):
    """Each modality attends to the next one, text to audio to visual to text; the means over time stand side by side."""

    config_class = RingConfig
    supports_gradient_checkpointing = True
    _can_record_outputs = {
        "hidden_states": OutputRecorder(attention.TransformerBlock, capture_initial_hidden_state=False),
        "attentions": OutputRecorder(attention.Attention, index=1),
    }

    def build(self, config):
        size = config.hidden_size
        self.projections = nn.ModuleDict({m: nn.Linear(config.feature_sizes[m], size) for m in config.modalities})
        self.encoders = nn.ModuleDict(
            {m: attention.TransformerEncoder(config, size, 1, 3, 16, 0.1) for m in config.modalities}
        )
        return {"fusion": 2 * size * len(config.modalities)}

    def project(self, streams):
        return {m: Stream(self.projections[m](values), mask) for m, (values, mask) in streams.items()}

    def targets(self):
        return self.config.modalities

    def memory_of(self, target):
        return self.config.memory[target]

    def fuse(self, streams):
        streams = self.project(streams)
        views = []
        for m in self.targets():
            own = masked_mean(*streams[m])  # still there where the memory is missing
            views += [own, masked_mean(*self.encoders[m](streams[m], streams[self.memory_of(m)]))]
        return FusionOutput({"fusion": torch.cat(views, dim=-1)})


AutoConfig.register(RingConfig.model_type, RingConfig)
AutoModel.register(RingConfig, RingForAffect)


class TestRing(ModelTesterMixin):
    """Without a fault the small architecture passes everything."""

    model_class = RingForAffect


def check_ring_against_torch():
    """The reference test of the small architecture: the same equations with PyTorch's attention."""
    model = TestRing().model()
    inputs = make_inputs(model.config, ragged=False)
    projected = {m: model.projections[m](inputs[m]) for m in model.config.modalities}
    expected = []
    for target, memory in (("text", "audio"), ("audio", "visual"), ("visual", "text")):
        (block,) = model.encoders[target].blocks
        attention = nn.MultiheadAttention(12, 3, batch_first=True)
        parts = [block.attention.query, block.attention.key, block.attention.value]
        attention.in_proj_weight.data = torch.cat([part.weight.data for part in parts])
        attention.in_proj_bias.data = torch.cat([part.bias.data for part in parts])
        attention.out_proj.load_state_dict(block.attention.output.state_dict())
        queries, keys = projected[target], projected[memory]
        hidden = block.attention_norm(queries + attention(queries, keys, keys)[0])
        hidden = block.feed_forward_norm(hidden + block.shrink(block.expand(hidden).relu()))
        expected += [queries.mean(1), hidden.mean(1)]
    torch.testing.assert_close(model(**inputs).pooler_output, torch.cat(expected, dim=-1))


def test_ring_against_torch():
    check_ring_against_torch()


# planting and catching --------------------------------------------------------------------------------------------


def assert_caught(check):
    """The check passes nothing by: with the fault it fails."""
    with pytest.raises(AssertionError):
        run(check)


def run(check):
    if "tmp_path" in inspect.signature(check).parameters:
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder))
    else:
        check()


def test_mean_without_mask(monkeypatch):
    monkeypatch.setattr(fusion, "masked_mean", lambda values, mask: values.mean(1))
    assert_caught(test_models.TestEFLFAVG().test_one_equals_many)
    assert_caught(test_models.TestEFLFAVG().test_more_padding_changes_nothing)


def test_last_step_by_index(monkeypatch):
    def last_step(self, stream):
        return torch.cat(
            [self.forward_lstm(stream.values)[0][:, -1], self.backward_lstm(stream.values)[0][:, -1]], dim=-1
        )

    monkeypatch.setattr(bilstm.BiLSTM, "last_step", last_step)
    assert_caught(test_models.TestEFLFLSTM().test_one_equals_many)
    assert_caught(test_models.TestEFLFLSTM().test_missing_modality)
    assert_caught(test_layers.check_lstm_equals_packed)


def test_attention_forgets_the_mask_of_the_memory(monkeypatch):
    original = attention.create_bidirectional_mask

    def forgetful(*, attention_mask, encoder_hidden_states=None, **kwargs):
        if encoder_hidden_states is not None:
            attention_mask = torch.ones_like(attention_mask)
        return original(attention_mask=attention_mask, encoder_hidden_states=encoder_hidden_states, **kwargs)

    monkeypatch.setattr(attention, "create_bidirectional_mask", forgetful)
    assert_caught(TestRing().test_one_equals_many)
    assert_caught(test_layers.check_cross_block_equals_torch)


def test_recurrence_along_the_batch(monkeypatch):
    """As in the public code of LMR-CBT: the neighbors in a batch decide."""
    original = bilstm.BiLSTM.forward

    def along_the_batch(self, stream):
        values = original(self, Stream(*(part.transpose(0, 1) for part in stream))).values
        return Stream(values.transpose(0, 1), stream.mask).cleaned()

    monkeypatch.setattr(bilstm.BiLSTM, "forward", along_the_batch)
    assert_caught(test_lmr_cbt.TestLMRCBT().test_one_equals_many)


def test_statistics_of_the_padding(monkeypatch):
    original = lmr_cbt.StepNorm.forward

    def forward(self, stream):
        return Stream(
            original(self, Stream(stream.values, torch.ones_like(stream.mask))).values, stream.mask
        ).cleaned()

    monkeypatch.setattr(lmr_cbt.StepNorm, "forward", forward)
    assert_caught(test_lmr_cbt.test_padding_has_no_say_in_training_either)


def test_last_step_of_the_padded_row(monkeypatch):
    monkeypatch.setattr(cross_modal, "last_real", lambda values, mask: values[:, -1])
    assert_caught(test_mult.TestMulT().test_one_equals_many)
    assert_caught(test_mult.TestMulT().test_more_padding_changes_nothing)


def test_corpora_one_after_another(monkeypatch):
    def init(self, sizes, mixture):
        shares = corpus_proportions(mixture, sizes)
        self.sizes = list(sizes)
        self.counts = [max(1, round(sizes[0] * s / shares[0])) for s in shares]
        self.pattern = np.repeat(np.arange(len(sizes)), self.counts)

    monkeypatch.setattr(MixtureSampler, "__init__", init)
    proportional = (Mixture(), [0.25, 0.7, 0.05])
    assert_caught(lambda: test_joint_training.test_every_batch_mixes_corpora_in_their_shares(*proportional))


def test_unknown_labels_count_as_zero(monkeypatch):
    monkeypatch.setattr(torch, "isnan", lambda values: torch.zeros_like(values, dtype=torch.bool))
    task = test_joint_training.SENTIMENT
    assert_caught(lambda: test_joint_training.test_a_task_with_all_labels_missing_changes_no_gradient(task))


def test_order_of_the_modalities_from_a_dict(monkeypatch):
    """A dict in a configuration comes back from JSON with its keys sorted."""
    monkeypatch.setattr(RingForAffect, "targets", lambda self: list(self.config.memory))
    assert_caught(TestRing().test_saved_equals_loaded)


def test_every_stream_is_text(monkeypatch):
    original = RingForAffect.project

    def project(self, streams):
        projected = original(self, streams)
        return dict.fromkeys(projected, next(iter(projected.values())))

    monkeypatch.setattr(RingForAffect, "project", project)
    assert_caught(TestRing().test_gradient_at_real_steps_only)
    assert_caught(TestRing().test_every_parameter_is_trained)


def test_random_shift_at_inference(monkeypatch):
    original = fusion.FusionForAffect.fuse

    def fuse(self, streams):
        shift = int(torch.randint(1, 1000, ()))
        return original(self, {m: Stream(s.values.roll(shift, 1), s.mask.roll(shift, 1)) for m, s in streams.items()})

    monkeypatch.setattr(fusion.FusionForAffect, "fuse", fuse)
    assert_caught(test_models.TestEFLFLSTM().test_deterministic_in_evaluation)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_attention_dropout_always_on(monkeypatch, implementation):
    original = attention.Attention.forward

    def forward(self, *args, **kwargs):
        self.training = True
        return original(self, *args, **kwargs)

    class Tester(test_models.TestEFLFTRANS):
        config_fields = test_models.TestEFLFTRANS.config_fields | {"attn_implementation": implementation}

    monkeypatch.setattr(attention.Attention, "forward", forward)
    assert_caught(Tester().test_deterministic_in_evaluation)
    assert_caught(test_layers.check_block_equals_torch)


def test_dead_layer(monkeypatch):
    original = fusion.FusionForAffect.build

    def build(self, config):
        self.forgotten = nn.Linear(3, 3)
        return original(self, config)

    monkeypatch.setattr(fusion.FusionForAffect, "build", build)
    assert_caught(test_models.TestEFLFAVG().test_every_parameter_is_trained)


def test_layer_without_effect(monkeypatch):
    """A branch whose answer is multiplied by zero takes part, but learns nothing."""
    original = fusion.FusionForAffect.fuse

    def fuse(self, streams):
        views = original(self, streams).views
        silent = views["fusion"].clone()
        silent[:, -self.early.size :] *= 0
        return FusionOutput(views | {"fusion": silent})

    monkeypatch.setattr(fusion.FusionForAffect, "fuse", fuse)
    assert_caught(test_models.TestEFLFAVG().test_every_parameter_is_trained)


def test_unknown_labels_counted(monkeypatch):
    original = task_heads.TaskHeads._loss

    def loss(self, task, logits, labels, origin=None):
        if labels.is_floating_point():
            return original(self, task, logits, labels.nan_to_num(), origin)
        return original(self, task, logits, labels.clamp_min(0), origin)

    monkeypatch.setattr(task_heads.TaskHeads, "_loss", loss)
    assert_caught(test_models.TestEFLFAVG().test_unknown_labels)
    assert_caught(test_models.TestEFLFAVG().test_wholly_unknown_batch)


def test_nan_padding_leaks(monkeypatch):
    """Padding multiplied by zero instead of replaced: zero times NaN is NaN."""
    monkeypatch.setattr(Stream, "cleaned", lambda self: Stream(self.values * self.mask.unsqueeze(-1), self.mask))
    assert_caught(test_models.TestEFLFAVG().test_padding_content_ignored)
    assert_caught(test_models.TestEFLFLSTM().test_gradient_at_real_steps_only)


def test_attention_without_scaling(monkeypatch):
    original = attention.Attention.__init__

    def __init__(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.scaling = 1.0

    monkeypatch.setattr(attention.Attention, "__init__", __init__)
    assert_caught(test_layers.check_block_equals_torch)


def test_gradient_reversal_without_the_sign(monkeypatch):
    backward = staticmethod(lambda context, gradient: (context.scale * gradient, None))
    monkeypatch.setattr(
        gradient_reversal,
        "_ReverseGradient",
        type("Straight", (gradient_reversal._ReverseGradient,), {"backward": backward}),
    )
    assert_caught(test_layers.check_reversed_gradient)


def test_ctc_in_bfloat16(monkeypatch):
    original = ctc_aligner.F.ctc_loss

    def ctc_loss(log_probs, *args, **kwargs):
        return original(log_probs.bfloat16(), *args, **kwargs)

    monkeypatch.setattr(ctc_aligner.F, "ctc_loss", ctc_loss)
    with pytest.raises((AssertionError, RuntimeError)):  # a CPU has no such kernel and says so
        test_layers.check_ctc_in_bfloat16()


def test_wrong_wiring_passes_common_checks_and_fails_the_reference(monkeypatch):
    """Every cross-attention reads text: a lawful model, but not the paper's. Only its reference test knows."""
    monkeypatch.setattr(
        RingForAffect, "memory_of", lambda self, target: "text" if "text" in self.config.modalities else target
    )
    tester = TestRing()
    for name in dir(tester):
        if name.startswith("test_"):
            run(getattr(tester, name))
    assert_caught(check_ring_against_torch)
