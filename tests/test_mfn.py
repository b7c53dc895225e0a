# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""MFN: the common checks, parameter counts, and a literal implementation that goes row by row and step by step."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from test_modeling_common import SIZES, TASKS, ModelTesterMixin, make_inputs, make_labels
from torch import nn

from mm_affect import MODALITIES, MFNConfig, MFNForAffect, Task
from mm_affect.models.mfn import Gating


SMALL = {
    "hidden_sizes": {"text": 8, "audio": 5, "visual": 6},
    "memory_size": 7,
    "attention_size": 9,
    "proposal_size": 10,
    "retain_size": 11,
    "update_size": 12,
    "head_size": 13,
}


class TestMFN(ModelTesterMixin):
    model_class = MFNForAffect
    config_fields = SMALL


def model(**fields) -> MFNForAffect:
    torch.manual_seed(0)
    return MFNForAffect(MFNConfig(**{"feature_sizes": SIZES, "tasks": TASKS} | SMALL | fields)).double().eval()


def ragged_inputs(config) -> dict:
    """Rows that lack steps of single modalities, a whole modality, and steps of all."""
    inputs = make_inputs(config)
    inputs["audio_mask"] = inputs["audio_mask"].clone()
    inputs["audio_mask"][0, 3:5] = inputs["audio_mask"][1] = inputs["audio_mask"][2, -1] = False
    inputs["visual_mask"] = inputs["visual_mask"].clone()
    inputs["visual_mask"][5, 0] = inputs["visual_mask"][3, 1] = False
    return {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}


def literal(model: MFNForAffect, inputs: dict) -> torch.Tensor:
    """The fused view as the paper's equations say, one row and one step at a time."""
    sizes, memory_size = model.config.hidden_sizes, model.config.memory_size
    cells = {m: nn.LSTMCell(SIZES[m], sizes[m]).double() for m in MODALITIES}
    weights = {}
    for m, cell in cells.items():  # parameters of the cell become those of the model, for the gradients
        for name, _ in cell.named_parameters():
            weights[m, name] = getattr(model.lstms[m], f"{name}_l0")
    fused = []
    for row in range(len(inputs["text"])):
        hidden = {m: torch.zeros(1, sizes[m]).double() for m in MODALITIES}
        memories = {m: torch.zeros(1, sizes[m]).double() for m in MODALITIES}
        memory = torch.zeros(1, memory_size).double()
        for step in range(inputs["text"].shape[1]):
            if not any(inputs[f"{m}_mask"][row, step] for m in MODALITIES):
                continue
            earlier = torch.cat(list(memories.values()), dim=1)
            for m, cell in cells.items():
                if inputs[f"{m}_mask"][row, step]:
                    own = {name: weights[m, name] for name, _ in cell.named_parameters()}
                    state = (inputs[m][row, step].unsqueeze(0), (hidden[m], memories[m]))
                    hidden[m], memories[m] = torch.func.functional_call(cell, own, state)
            change = torch.cat([earlier, *memories.values()], dim=1)
            attended = model.attention.attention(change).softmax(1) * change
            proposal = model.attention.proposal(attended).tanh()
            both = torch.cat([attended, memory], dim=1)
            memory = model.memory.retain(both).sigmoid() * memory + model.memory.update(both).sigmoid() * proposal
        fused.append(torch.cat([*hidden.values(), memory], dim=1))
    return torch.cat(fused)


def test_equals_the_literal_implementation():
    """Values and the gradients of every weight."""
    mfn = model()
    inputs = ragged_inputs(mfn.config)
    found, gradients = mfn(**inputs).representations, []
    expected = literal(mfn, inputs)
    torch.testing.assert_close(found["fusion"], expected)
    for fused in (found["fusion"], expected):
        mfn.zero_grad()
        (fused * torch.linspace(1, 2, fused.numel()).view(fused.shape)).sum().backward()
        gradients.append({name: p.grad for name, p in mfn.named_parameters() if p.grad is not None})
    assert len(gradients[0]) == 3 * 4 + 4 * 4
    for name, gradient in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], gradient, msg=lambda text, name=name: f"{name}: {text}")


def test_views_are_the_parts_of_the_fused_one():
    mfn = model()
    views = mfn(**ragged_inputs(mfn.config)).representations
    parts = [views[name] for name in (*MODALITIES, "memory")]
    assert torch.equal(torch.cat(parts, dim=1), views["fusion"])
    assert views["audio"][1].abs().max() == 0 < views["text"][1].abs().min()  # a missing modality stays at zeros


def test_gradients_of_the_memory_with_dropout():
    def random(*shape):
        return torch.randn(*shape, dtype=torch.double, requires_grad=True)

    kept = 2.0 * (torch.rand(8, 7) > 0.5).double()
    inputs = (random(8, 7), kept, random(8, 3), random(7, 3), random(3, 4), random(3), random(3, 3), random(3))
    assert torch.autograd.gradcheck(lambda *given: Gating.apply(*given, [4, 2, 1, 1]), inputs)


def test_each_dropout_is_where_it_belongs():
    mfn = model(**{f"{part}_dropout_prob": 0.0 for part in ("attention", "proposal", "retain", "update", "head")})
    inputs = ragged_inputs(mfn.config)
    expected = mfn(**inputs).logits
    assert all(torch.equal(logits, expected[name]) for name, logits in mfn.train()(**inputs).logits.items())
    for part in ("attention", "proposal", "retain", "update"):
        dropping = model(**{f"{other}_dropout_prob": 0.6 * (other == part) for other in
                            ("attention", "proposal", "retain", "update", "head")}).train()  # fmt: skip
        views, other = (dropping(**inputs).representations for _ in range(2))
        assert not torch.equal(views["memory"], other["memory"]), part
        assert torch.equal(views["text"], other["text"])


def test_parameter_counts():
    count = lambda config: MFNForAffect(config).num_parameters()  # noqa: E731
    assert count(MFNConfig()) == count(MFNConfig.paper("cmu_mosei")) == 1_037_894
    sentiment = {"feature_sizes": {"text": 300, "audio": 5, "visual": 20}, "tasks": [Task("sentiment", "regression")]}
    assert count(MFNConfig.reference(**sentiment)) == 454_193
    assert MFNConfig.paper("iemocap").tasks[0].labels == ("neutral", "happy", "sad", "anger")


def test_heads_on_single_views_are_linear():
    mfn = model(tasks=[Task("emotion", labels=("sad", "happy"), view="memory")])
    output = mfn(**ragged_inputs(mfn.config))
    assert isinstance(mfn.heads.heads["emotion"], nn.Linear)
    torch.testing.assert_close(output.logits["emotion"], mfn.heads.heads["emotion"](output.representations["memory"]))


def test_streams_that_are_not_word_aligned_are_refused():
    mfn = model()
    inputs = {m: torch.randn(2, length, SIZES[m]) for m, length in zip(MODALITIES, (5, 9, 5))}
    with pytest.raises(ValueError, match="5 \\(text\\), 9 \\(audio\\), 5 \\(visual\\) steps.*word-aligned"):
        mfn(**inputs)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"memory_size": 0}, "`memory_size` is 0"),
        ({"hidden_sizes": {"text": -1}}, "hidden_sizes\\['text'\\]"),
        ({"hidden_sizes": {"smell": 3}}, "unknown modality 'smell'"),
        ({"retain_dropout_prob": 1.0}, "`retain_dropout_prob` is 1.0"),
        ({"aligner": "none"}, "Unknown field 'aligner'"),
    ],
)
def test_bad_configurations_are_refused(fields, words):
    with pytest.raises((ValueError, StrictDataclassError), match=words):
        MFNConfig(**fields)


def test_unknown_corpus_is_refused():
    with pytest.raises(ValueError, match="cmu_mosei and iemocap, not for 'mosi'"):
        MFNConfig.paper("mosi")


def test_mixed_precision_trains():
    mfn = model().float().train()
    inputs = {
        name: value.float() if value.is_floating_point() else value
        for name, value in ragged_inputs(mfn.config).items()
    }
    with torch.autocast("cpu", torch.bfloat16):
        loss = mfn(**inputs, labels=make_labels()).loss
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in mfn.parameters())
