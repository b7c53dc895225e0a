# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""TAILOR's wiring: the model equals the paper computed by hand, sample by sample, in every order, alignment and ablation."""

import pytest
import torch
from tailor_by_hand import REFERENCE, ByHand, mean, random_model, uneven_inputs
from test_modeling_common import SIZES, TASKS, make_inputs, without
from torch.nn import functional as F

from mm_affect.tasks import Task


def papers_hierarchy(cme, s):
    """Eq. 8: visual and audio, then text, then the common part."""
    return cme(2, cme(1, cme(0, s["visual"], s["audio"]), s["text"]), s["common"])


@torch.no_grad()
def check_by_hand(model, inputs, hierarchy=papers_hierarchy):
    """Every logit and every view of every row."""
    hand, config, output = ByHand(model), model.config, model(**inputs)
    for row in range(6):
        encoded, _ = hand.unimodal(inputs, row)
        private = hand.private(encoded) if config.refinement in ("full", "private") else {}
        common = hand.common(encoded) if config.refinement in ("full", "common") else {}
        parts = dict(private or common or encoded)
        if private and common:
            parts["common"] = hand.sum(common)
        views = {"fusion": hand.decode(hierarchy(hand.cross, parts))}
        views |= {f"private_{m}": mean(stream, config.hidden_size) for m, stream in private.items()}
        views |= {f"common_{m}": mean(stream, config.hidden_size) for m, stream in common.items()}
        assert set(output.representations) == set(views)
        for name, view in views.items():
            torch.testing.assert_close(output.representations[name][row], view.flatten(), rtol=1e-4, atol=1e-5)
        first = 0
        for task in config.tasks:
            found, expected = output.logits[task.name][row], hand.answer(task, views, first)
            torch.testing.assert_close(
                found, expected, rtol=1e-4, atol=1e-5, msg=lambda text, row=row: f"{row}: {text}"
            )
            first += task.num_outputs if task.view == "fusion" else 0


ORDERS = {
    "paper": ({}, papers_hierarchy),
    "newcomer first": (
        {"concat_order": "reference"},
        lambda cme, s: cme(2, cme(1, s["text"], cme(0, s["audio"], s["visual"])), s["common"]),
    ),
    "public code": (
        REFERENCE,
        lambda cme, s: cme(2, cme(1, s["text"], cme(0, s["audio"], s["visual"])), s["common"]),
    ),
    "a, t, v, c": (
        {"fusion_order": ["audio", "text", "visual", "common"]},
        lambda cme, s: cme(2, cme(1, cme(0, s["audio"], s["text"]), s["visual"]), s["common"]),
    ),
    "c, t, v, a, newcomer first": (
        {"fusion_order": ["common", "text", "visual", "audio"], "concat_order": "reference"},
        lambda cme, s: cme(2, s["audio"], cme(1, s["visual"], cme(0, s["text"], s["common"]))),
    ),
    "common in the middle, newcomer first": (
        {"fusion_order": ["text", "common", "visual", "audio"], "concat_order": "reference"},
        lambda cme, s: cme(2, s["audio"], cme(1, s["visual"], cme(0, s["text"], s["common"]))),
    ),
    "without tokens": ({"modality_token_embeddings": False}, papers_hierarchy),
    "deeper": ({"cross_layers": 2, "encoder_layers": {"text": 1, "audio": 2, "visual": 3}}, papers_hierarchy),
    "two modalities": (
        {"modalities": ["text", "visual"]},
        lambda cme, s: cme(1, cme(0, s["visual"], s["text"]), s["common"]),
    ),
    "one modality": ({"modalities": ["audio"]}, lambda cme, s: cme(0, s["audio"], s["common"])),
}


@pytest.mark.parametrize("order", ORDERS)
def test_hierarchy(order):
    fields, hierarchy = ORDERS[order]
    model = random_model(**fields)
    check_by_hand(model, uneven_inputs(model.config), hierarchy)


@pytest.mark.parametrize("refinement", ["common", "private", "none"])
def test_refinements(refinement):
    model = random_model(refinement=refinement)
    check_by_hand(
        model,
        uneven_inputs(model.config),
        lambda cme, s: cme(1, cme(0, s["visual"], s["audio"]), s["text"]),
    )


@pytest.mark.parametrize("shared", [False, True], ids=["a classifier per label", "one for all"])
@pytest.mark.parametrize("decoder", ["label_guided", "label_correlations", "label_embeddings", "identical"])
def test_decoders(decoder, shared):
    model = random_model(decoder=decoder, shared_label_classifier=shared)
    check_by_hand(model, uneven_inputs(model.config))


def test_public_code_is_a_preset_of_the_switches_tested_here():
    """Unlike the paper's model in each of them."""
    reference, paper = random_model(**REFERENCE), random_model()
    inputs = make_inputs(paper.config)
    assert (reference(**inputs).pooler_output - paper(**inputs).pooler_output).abs().max() > 0.1
    assert len(reference.discriminator) == 4 and len(reference.heads.heads["emotion"].weight) == 1


# tasks, views and what is recorded --------------------------------------------------------------------------------


def test_tasks_of_other_views_stand_between_those_of_the_fusion():
    tasks = [TASKS[0], Task("tone", labels=("a", "b"), view="common_audio"), TASKS[1], TASKS[2],
             Task("words", labels=("c",), view="private_text")]  # fmt: skip
    model = random_model(tasks=tasks)
    assert {name: len(table.weight) for name, table in model.decoder.labels.items()} == {
        "emotion": 3, "sarcasm": 2, "sentiment": 1,
    }  # fmt: skip
    check_by_hand(model, uneven_inputs(model.config))


def test_no_task_reads_the_fusion():
    model = random_model(tasks=[Task("tone", labels=("a", "b"), view="private_audio")])
    assert model.decoder is None
    check_by_hand(model, uneven_inputs(model.config))


@torch.no_grad()
def test_label_embeddings_of_several_tasks():
    """Without attention among labels an embedding speaks for its own label only; with it, for all."""
    for decoder, alone in (("label_embeddings", True), ("label_guided", False)):
        model = random_model(decoder=decoder)
        inputs = make_inputs(model.config)
        before = model(**inputs).logits
        model.decoder.labels["emotion"].weight[1] += torch.randn(16)
        after = model(**inputs).logits
        moved = {name: ((after[name] - before[name]).abs() > 1e-5).all(0).tolist() for name in after}
        assert moved == {
            "emotion": [not alone, True, not alone], "sarcasm": [not alone] * 2, "sentiment": [not alone]
        }  # fmt: skip


@pytest.mark.parametrize(
    ("refinement", "expected"),
    [("full", ("private", "common")), ("private", ("private",)), ("common", ("common",)), ("none", ())],
)
def test_views(refinement, expected):
    model = random_model(refinement=refinement)
    output = model(**make_inputs(model.config))
    sizes = {name: view.shape for name, view in output.representations.items()}
    refined = {f"{part}_{m}": (6, 16) for part in expected for m in ("text", "audio", "visual")}
    assert sizes == {"fusion": (6, 6 * 16)} | refined
    with pytest.raises(ValueError, match="'visual'.*offers fusion"):
        random_model(refinement=refinement, tasks=[Task("emotion", labels=("a",), view="visual")])


@torch.no_grad()
def test_refined_streams():
    """What the plots read: the private and the common stream of each modality."""
    model = random_model(aligner="none")
    inputs, hand = uneven_inputs(model.config), ByHand(model)
    private, common = model.refined(**inputs)
    for row in range(6):
        encoded, _ = hand.unimodal(inputs, row)
        for found, expected in ((private, hand.private(encoded)), (common, hand.common(encoded))):
            for m, (values, mask) in found.items():
                assert mask[row].nonzero().flatten().tolist() == sorted(expected[m])
                for position, vector in expected[m].items():
                    torch.testing.assert_close(values[row, position], vector, rtol=1e-4, atol=1e-5)
                assert (values[row][~mask[row]] == 0).all()


@torch.no_grad()
def test_hidden_states_are_one_per_encoder():
    model = random_model()
    inputs, hand = make_inputs(model.config, ragged=False), ByHand(model)
    states = model(**inputs, output_hidden_states=True).hidden_states
    assert [state.shape[1] for state in states] == [7, 7, 7, 14, 21, 28]
    encoded, _ = hand.unimodal(inputs, 2)
    for state, m in zip(states, ("text", "audio", "visual")):
        torch.testing.assert_close(state[2], torch.stack([*encoded[m].values()]), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_attentions():
    """Of every layer and of the decoder, labels among themselves and labels on the fusion; none goes to padding."""
    model = random_model()
    model.set_attn_implementation("eager")
    inputs = make_inputs(model.config)
    attentions = model(**inputs, output_attentions=True).attentions
    layers = [(7, 7)] * 4 + [(14, 14), (21, 21), (28, 28)]
    assert [tuple(table.shape[-2:]) for table in attentions] == [*layers, (6, 6), (6, 28)]
    for table in attentions:
        torch.testing.assert_close(table.sum(-1), torch.ones_like(table[..., 0]))
    guidance, steps = attentions[-1], sum(inputs[f"{m}_mask"].sum(1) for m in model.config.modalities)
    common = inputs["text_mask"].sum(1)
    for row in range(6):
        assert (guidance[row, ..., steps[row] + common[row] :] == 0).all() and (guidance[row] > 0).any()


# any length, any alignment ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 11])
def test_lengths_within_and_beyond_the_table_of_positions(length):
    """4 positions, 16 of the cross-modal encoders: 11 steps have 44 there."""
    model = random_model(max_position_embeddings=4)
    torch.manual_seed(1)
    inputs = {m: torch.randn(6, length, size) for m, size in model.config.feature_sizes.items()}
    inputs |= {f"{m}_mask": torch.ones(6, length, dtype=torch.bool) for m in model.config.modalities}
    check_by_hand(model, inputs)


@pytest.mark.parametrize("lengths", [(3, 40, 17), (9, 2, 5), (1, 1, 30)])
def test_streams_that_are_read_as_they_are(lengths):
    model = random_model(aligner="none", max_position_embeddings=30)
    torch.manual_seed(1)
    inputs = {}
    for (m, size), length in zip(model.config.feature_sizes.items(), lengths):
        inputs[m], inputs[f"{m}_mask"] = torch.randn(6, length, size), torch.ones(6, length, dtype=torch.bool)
        inputs[f"{m}_mask"][1, length // 2 + 1 :] = False
        inputs[f"{m}_mask"][2, : length // 3] = False
        inputs[f"{m}_mask"][3, 1 : length - 1] = False
    check_by_hand(model, without(without(inputs, "audio", [4]), "text", [5]))


@pytest.mark.parametrize("aligned_length", [3, 6])
def test_streams_that_are_aligned_by_ctc(aligned_length):
    """The text has up to 5 steps: also more than the target; row 3 has none, row 2 no visual."""
    model = random_model(aligner="ctc", aligned_length=aligned_length)
    check_by_hand(model, uneven_inputs(model.config))


def test_reference_with_ctc():
    model = random_model(aligner="ctc", **REFERENCE)
    check_by_hand(model, uneven_inputs(model.config), ORDERS["public code"][1])


@torch.no_grad()
def test_unaligned_rows_of_one_length_are_the_aligned_ones():
    """No resampling, no alignment: the same numbers (row 5 has a step that is real in no stream)."""
    inputs = make_inputs(random_model().config)
    expected = random_model()(**inputs).pooler_output[:5]
    assert expected.std() > 0.1
    torch.testing.assert_close(
        random_model(aligner="none")(**inputs).pooler_output[:5], expected, rtol=1e-4, atol=1e-5
    )


# the kind of attention --------------------------------------------------------------------------------------------


@torch.no_grad()
def test_attention_implementation_can_be_changed():
    """Of a model that is built; the text encoder changes with it."""
    bert = {"model_type": "bert", "vocab_size": 30, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 16}  # fmt: skip
    for fields in ({}, {"aligner": "none", "text_config": bert}):
        model = random_model(**fields)
        inputs = make_inputs(model.config)
        if fields:
            text = inputs.pop("text")
            inputs |= {
                "input_ids": torch.arange(text.shape[1]).expand(6, -1),
                "attention_mask": inputs.pop("text_mask"),
            }
        expected = model(**inputs)
        assert model.config._attn_implementation == "sdpa"
        model.set_attn_implementation("eager")
        assert model.config._attn_implementation == "eager"
        assert not fields or model.text_encoder.config._attn_implementation == "eager"
        found = model(**inputs, output_attentions=True)
        assert len(found.attentions) == 9 and all(table is not None for table in found.attentions)
        torch.testing.assert_close(found.pooler_output, expected.pooler_output, rtol=1e-4, atol=1e-5)
        model.set_attn_implementation("sdpa")
        assert torch.equal(model(**inputs).pooler_output, expected.pooler_output)


def test_packed_rows_equal_padded_ones():
    """Values and gradients with and without grouping, of the whole model."""
    gradients = []
    for kind in ("sdpa", "eager"):
        model = random_model(attn_implementation=kind)
        output = model(**uneven_inputs(model.config), labels={"emotion": F.one_hot(torch.arange(6) % 3).float()})
        output.loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert set(gradients[0]) == set(gradients[1])
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradient, gradients[1][name], rtol=1e-3, atol=1e-5, msg=lambda t, n=name: f"{n}: {t}"
        )


@torch.no_grad()
def test_longest_row_may_lack_a_modality():
    """A collator pads each modality to its own longest row; the rows answer as they do alone."""
    model = random_model()
    random = torch.Generator().manual_seed(0)
    text, audio = (
        torch.randn(2, 5, SIZES["text"], generator=random),
        torch.randn(2, 3, SIZES["audio"], generator=random),
    )
    masks = {
        "text_mask": torch.arange(5) < torch.tensor([[5], [3]]),
        "audio_mask": torch.tensor([[False], [True]]).expand(2, 3),
    }
    both = model(text=text, audio=audio, **masks).logits
    longest, shorter = model(text=text[:1]).logits, model(text=text[1:, :3], audio=audio[1:]).logits
    for name, logits in both.items():
        torch.testing.assert_close(logits, torch.cat([longest[name], shorter[name]]), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="5 \\(text\\), 3 \\(audio\\).*Align them to the words"):
        model(text=text, audio=audio)
