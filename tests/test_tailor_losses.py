# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""TAILOR's losses: each by its definition, in loops over samples and steps; whom they train, and in which direction."""

import math

import pytest
import torch
from tailor_by_hand import REFERENCE, SMALL, ByHand, mean, random_model, uneven_inputs
from test_modeling_common import SIZES, TASKS, make_inputs, make_labels, without
from torch.nn import functional as F

from mm_affect.models import tailor
from mm_affect.models.tailor import TailorConfig, TailorForAffect
from mm_affect.tasks import Task


ORDER = ("text", "audio", "visual")
WORDS = [5, 3, 3, 0, 0, 5]  # of the rows of `uneven_inputs`, from the first to the last; their text has up to 5 steps
EVEN_GUESS = 3 * math.log(3)  # the sum of three cross-entropies among three


def labels_with_gaps() -> dict[str, torch.Tensor]:
    labels = make_labels()
    labels["emotion"][0, 1] = labels["emotion"][5, 2] = labels["sentiment"][3] = torch.nan
    labels["sarcasm"][2] = -100
    return labels


class Rows:
    """Private and common streams of every row of a batch, and its CTC losses, by hand."""

    def __init__(self, model, inputs):
        self.hand = ByHand(model)
        self.encoded, self.ctc = zip(*(self.hand.unimodal(inputs, row) for row in range(6)))
        self.private = [self.hand.private(encoded) for encoded in self.encoded]
        self.common = [self.hand.common(encoded) for encoded in self.encoded]


def cross_entropy(model, rows: list[dict]) -> torch.Tensor:
    """Of the modality of each step; a mean over the real steps of the batch, summed over modalities (Eq. 4 and 5)."""
    total = 0.0
    for kind, m in enumerate(ORDER):
        terms = []
        for streams in rows:
            for vector in streams[m].values():
                share = model.discriminator(vector).exp()
                terms.append(-(share[kind] / share.sum()).log())
        total = total + sum(terms) / len(terms)
    return total


def overlap(rows: list[tuple[dict, dict]], normalized: bool) -> torch.Tensor:
    """Squared inner products of any step of the one with any of the other; a mean over samples that have both (Eq. 6)."""
    terms = []
    for first, second in rows:
        if first and second:
            total = sum((x @ y) ** 2 for x in first.values() for y in second.values())
            terms.append(total * (60 * 60 / (len(first) * len(second)) if normalized else 1))
    return sum(terms) / len(terms)


def criterion(task: Task, logits: torch.Tensor, target) -> list[torch.Tensor]:
    """The loss of each known label of a row."""
    if task.problem_type == "single_label_classification":
        return [] if target == -100 else [-(logits.exp()[target] / logits.exp().sum()).log()]
    if task.problem_type == "regression":
        return [] if target.isnan() else [(logits[0] - target).abs()]
    p = 1 / (1 + (-logits).exp())
    return [-(p[k] if y == 1 else 1 - p[k]).log() for k, y in enumerate(target) if not y.isnan()]


def supervised(logits_of, labels: dict) -> dict[str, torch.Tensor]:
    """Per task the mean over known labels; `logits_of(task, row)` is None where a row adds nothing."""
    losses = {}
    for task in TASKS:
        terms = []
        for row in range(6):
            if (logits := logits_of(task, row)) is not None:
                terms += criterion(task, logits, labels[task.name][row])
        losses[task.name] = sum(terms) / len(terms)
    return losses


def common_logits(model, pooled):
    return lambda task, row: None if pooled[row] is None else model.common_classifiers[task.name](pooled[row])


VARIANTS = {
    "paper": {},
    "public code": REFERENCE,
    "normalized": {"normalize_orthogonality": True, "orthogonal_private_pairs": True},
    "mlp": {"discriminator": "mlp"},
    "as it is": {"aligner": "none", "common_loss": "sum_first"},
    "ctc": {"aligner": "ctc", "aligned_length": 4},
    "ctc as in the public code": {"aligner": "ctc", **REFERENCE},
}


@torch.no_grad()
@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_by_their_definition(variant):
    model = random_model(**VARIANTS[variant])
    inputs, labels, config = uneven_inputs(model.config), labels_with_gaps(), model.config
    output, rows = model(**inputs, labels=labels), Rows(model, inputs)

    expected = supervised(lambda task, row: output.logits[task.name][row], labels)
    expected["common_adversarial"] = cross_entropy(model, rows.common)
    expected["private_adversarial"] = cross_entropy(model, rows.private)

    pairs = [[(rows.common[row][m], rows.private[row][m]) for row in range(6)] for m in ORDER]
    if config.orthogonal_private_pairs:
        for first, second in (("text", "visual"), ("text", "audio"), ("visual", "audio")):
            pairs.append([(rows.private[row][first], rows.private[row][second]) for row in range(6)])
    expected["orthogonal"] = sum(overlap(pair, config.normalize_orthogonality) for pair in pairs)

    weights = {task.name: task.weight for task in TASKS}
    if config.common_loss == "sum_first":
        totals = [rows.hand.sum(common) for common in rows.common]
        firsts = [total[min(total)] if total else None for total in totals]
        found = supervised(common_logits(model, firsts), labels)
        expected["common_semantics"] = sum(weights[name] * loss for name, loss in found.items())
    else:
        expected["common_semantics"] = 0.0
        for m in ORDER:
            means = [mean(common[m], 16) if common[m] else None for common in rows.common]
            found = supervised(common_logits(model, means), labels)
            expected["common_semantics"] += sum(weights[name] * loss for name, loss in found.items())

    if config.aligner == "ctc":
        expected["ctc"] = 0.0
        for m in ("audio", "visual"):
            terms = []
            for row in range(6):
                words = WORDS[row] or config.aligned_length
                if inputs[f"{m}_mask"][row].any():
                    share = 1 if config.ctc_reduction == "sum" else min(words, config.aligned_length)
                    terms.append(rows.ctc[row][m] / share)
            expected["ctc"] += sum(terms) / (1 if config.ctc_reduction == "sum" else len(terms))

    assert set(output.losses) == set(expected)
    for name, loss in expected.items():
        torch.testing.assert_close(output.losses[name], loss, rtol=1e-4, atol=1e-5, msg=lambda t, n=name: f"{n}: {t}")
        assert output.losses[name] > 0
    weights |= {
        "common_adversarial": 0.01,
        "private_adversarial": 0.01,
        "orthogonal": 5e-6,
        "common_semantics": 0.5,
        "ctc": 0.5,
    }
    torch.testing.assert_close(
        output.loss, sum(weights[name] * loss for name, loss in expected.items()), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"refinement": "none"}, set()),
        ({"refinement": "none", "aligner": "ctc"}, {"ctc"}),
        ({"refinement": "common"}, {"common_adversarial", "common_semantics"}),
        ({"refinement": "private"}, {"private_adversarial"}),
        ({"refinement": "private", "orthogonal_private_pairs": True}, {"private_adversarial", "orthogonal"}),
        ({}, {"common_adversarial", "common_semantics", "private_adversarial", "orthogonal"}),
    ],
)
def test_losses_of_an_ablation(fields, expected):
    """What is not refined has no loss; what is left keeps its own."""
    whole, model = random_model(aligner=fields.get("aligner", "given")), random_model(**fields)
    weights = whole.state_dict()
    model.load_state_dict({name: weights.get(name, value) for name, value in model.state_dict().items()})
    inputs = uneven_inputs(model.config)
    losses, every = (m(**inputs, labels=make_labels()).losses for m in (model, whole))
    assert set(losses) - {task.name for task in TASKS} == expected
    for name in expected - {"orthogonal"}:
        torch.testing.assert_close(losses[name], every[name])


def test_a_modality_that_is_missing_everywhere_adds_nothing():
    """Its discriminator class, its overlap and its prediction fall away; the loss stays finite and has a gradient."""
    model = random_model()
    inputs = make_inputs(model.config, ragged=False)
    private, common = model.refined(**inputs)
    whole, less = (model(**batch, labels=make_labels()).losses for batch in (inputs, without(inputs, "audio")))
    alone = -model.discriminator(private["audio"].values).log_softmax(-1)[..., 1].mean()
    torch.testing.assert_close(whole["private_adversarial"] - less["private_adversarial"], alone, rtol=1e-4, atol=1e-5)
    gram = (common["audio"].values @ private["audio"].values.transpose(1, 2)).square().sum((1, 2)).mean()
    torch.testing.assert_close(whole["orthogonal"] - less["orthogonal"], gram, rtol=1e-4, atol=1e-3)


def test_no_real_step_at_all():
    model = random_model(aligner="ctc", **REFERENCE)
    inputs = make_inputs(model.config)
    for m in ORDER:
        inputs = without(inputs, m)
    output = model(**inputs, labels=make_labels())
    own = set(output.losses) - {task.name for task in TASKS}
    assert own and all(output.losses[name] == 0 for name in own)
    output.loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_normalized_orthogonality_at_sixty_steps_is_the_papers():
    """It changes the scale by the length, and nothing where that is 60."""
    for length, ratio in ((60, 1), (30, 4), (6, 100)):
        found = []
        for normalized in (False, True):
            model = random_model(normalize_orthogonality=normalized, max_position_embeddings=60)
            torch.manual_seed(1)
            inputs = {m: torch.randn(2, length, size) for m, size in SIZES.items()}
            labels = {"emotion": torch.ones(2, 3)}
            found.append(model(**inputs, labels=labels).losses["orthogonal"])
        torch.testing.assert_close(found[1], found[0] * ratio)


def test_ctc_of_a_stream_that_is_too_short_is_zero():
    """Two steps cannot spell five words: no loss of that row, and no infinity."""
    model = random_model(aligner="ctc", ctc_reduction="sum")
    inputs = make_inputs(model.config, ragged=False)
    whole = model(**inputs, labels=make_labels()).losses["ctc"]
    for m in ("audio", "visual"):
        inputs[f"{m}_mask"][1:, 2:] = False
    one = model(**inputs, labels=make_labels())
    first = {name: value[:1] for name, value in inputs.items()}
    labels = {name: value[:1] for name, value in make_labels().items()}
    torch.testing.assert_close(one.losses["ctc"], model(**first, labels=labels).losses["ctc"])
    assert 0 < one.losses["ctc"] < whole
    one.loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


# the discriminator ------------------------------------------------------------------------------------------------


def gradients(loss, model) -> dict[str, torch.Tensor]:
    found = torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
    return {name: g for (name, _), g in zip(model.named_parameters(), found) if g is not None}


@pytest.mark.parametrize("fields", [{}, {"discriminator": "mlp"}, {"aligner": "ctc"}], ids=str)
@pytest.mark.parametrize("part", ["common", "private"])
def test_gradient_reversal_by_hand(part, fields):
    """For the common parts the discriminator descends and everything before it ascends; for the private, both descend."""
    model = random_model(**fields)
    inputs = uneven_inputs(model.config)
    found = gradients(model(**inputs, labels=make_labels()).losses[f"{part}_adversarial"], model)
    private, common = model.refined(**inputs)
    ordinary = 0.0
    for kind, (values, mask) in enumerate((common if part == "common" else private).values()):
        steps = values[mask]
        ordinary = ordinary + F.cross_entropy(model.discriminator(steps), torch.full((len(steps),), kind))
    expected = gradients(ordinary, model)
    assert set(found) == set(expected)
    before = [name for name in found if not name.startswith("discriminator.")]
    starts = ("input_norms.", "encoders.", f"{part}.", *(["aligners."] if "aligner" in fields else []))
    assert all(any(name.startswith(start) for name in before) for start in starts)
    for name, gradient in expected.items():
        sign = -1 if part == "common" and name in before else 1
        torch.testing.assert_close(
            found[name], sign * gradient, rtol=1e-4, atol=1e-6, msg=lambda t, n=name: f"{n}: {t}"
        )
        assert gradient.abs().max() > 1e-5 or name.endswith("key.bias"), name


@pytest.mark.full
def test_discriminator_tells_private_parts_apart_and_is_confused_by_common_ones(monkeypatch):
    """In training by the paper's loss on one small batch; without the reversal it tells the common ones apart as well."""
    found = {}
    for reverse in (tailor.reverse_gradient, lambda values: values):
        monkeypatch.setattr(tailor, "reverse_gradient", reverse)
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "initializer_range": 0.1, "encoder_layers": dict.fromkeys(ORDER, 1)}
        model = TailorForAffect(TailorConfig(feature_sizes=SIZES, tasks=TASKS, **SMALL | sizes)).train()
        batch = make_inputs(model.config) | {"labels": make_labels()}
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(40):
            optimizer.zero_grad()
            model(**batch).loss.backward()
            optimizer.step()
        found[reverse] = model.eval()(**batch).losses
    confused, told = found.values()
    assert confused["private_adversarial"] < 0.15 * EVEN_GUESS and told["private_adversarial"] < 0.15 * EVEN_GUESS
    assert 0.9 * EVEN_GUESS < confused["common_adversarial"] < 1.3 * EVEN_GUESS
    assert told["common_adversarial"] < 0.8 * EVEN_GUESS
