# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Parts of pretraining: rows streamed or mapped, the plan of batches, the step over many batches, the survey and its bad input."""

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from accelerate import Accelerator
from pretraining_rows import SIZES, clip, options_of, write_clips

from mm_affect import JointEmbeddingsConfig, JointEmbeddingsForPreTraining, TranscriptTokenizer
from mm_affect.training.pretraining.batches import PlannedBatches, PretrainingCollator, batch_loader
from mm_affect.training.pretraining.evaluation import Evaluation
from mm_affect.training.pretraining.options import PretrainingOptions
from mm_affect.training.pretraining.plan import BatchPlan
from mm_affect.training.pretraining.rows import new_processor, open_rows
from mm_affect.training.pretraining.steps import learning_rate, train_step
from mm_affect.training.pretraining.survey import hash_id, select_unseen_rows, take_survey


TOKENIZER = TranscriptTokenizer()
CONFIGS = Path(__file__).resolve().parent.parent / "examples" / "configs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("pretraining") / "rows")


def surveyed(folder, **fields):
    options = options_of(folder, folder / "nowhere", **fields)
    rows, processor = open_rows(folder, "train", options.streaming), new_processor(folder, options.model["modalities"])
    return options, rows, processor, take_survey(rows, processor, TOKENIZER, options)


def planned(folder, **fields):
    options, rows, processor, survey = surveyed(folder, **fields)
    plan = BatchPlan(survey.training, survey.steps, rows.starts, options.batch_steps, options.pool_rows, options.seed)
    rows.groups_kept = plan.groups_at_once
    collator = PretrainingCollator(processor, TOKENIZER, survey.speakers)
    return PlannedBatches(rows, plan, collator, options.hide_words)


def assert_same(one, other):
    assert one[0] == other[0] and one[1].keys() == other[1].keys()
    for name in one[1].keys() - {"labels"}:
        assert torch.equal(one[1][name], other[1][name]), name
    assert torch.equal(one[1]["labels"]["person"], other[1]["labels"]["person"])


# rows and their order --------------------------------------------------------------------------------------------------


def test_streaming_equals_memory_mapped(folder):
    streamed, mapped = planned(folder), planned(folder, streaming=False)
    places = [(epoch, n) for epoch in (0, 1) for n in range(len(streamed.plan.epoch(epoch)))]
    assert len(places) > 10
    for place in places:
        assert_same(streamed[place], mapped[place])


def test_streaming_holds_few_row_groups(folder):
    batches = planned(folder, pool_rows=10)
    assert len(batches.rows.groups) >= 5 > batches.rows.groups_kept
    for number in range(len(batches.plan.epoch(0))):
        batches[0, number]
        assert len(batches.rows._read) <= batches.rows.groups_kept


def test_an_epoch_has_every_row_once_in_batches_of_bounded_size(folder):
    plan = planned(folder).plan
    first, second = plan.epoch(0), plan.epoch(1)
    length = dict(zip(plan.places.tolist(), plan.steps.tolist(), strict=True))
    for batches in (first, second):
        assert sorted(np.concatenate(batches).tolist()) == plan.places.tolist()
        assert all(sum(length[n] for n in batch.tolist()) <= plan.batch_steps for batch in batches)
    assert {tuple(b) for b in first} != {tuple(b) for b in second}
    spread = lambda batches: np.mean([np.ptp([length[n] for n in batch.tolist()]) for batch in batches])  # noqa: E731
    assert spread(first) < 0.7 * np.ptp(plan.steps), "rows of like length come together"


def test_a_pool_reads_its_row_groups_only():
    plan = BatchPlan(np.arange(100), np.full(100, 5), np.arange(0, 101, 10), batch_steps=20, pool_rows=20, seed=3)
    groups = [{n // 10 for n in batch.tolist()} for batch in plan.epoch(0)]
    for pool in range(5):  # 20 rows are 5 batches
        assert len(set().union(*groups[5 * pool : 5 * pool + 5])) == 2 <= plan.groups_at_once


def test_processes_share_what_one_would_do(folder):
    batches = planned(folder)
    alone = list(islice(batches.plan.walk(), 24))
    dealt = [list(islice(iter(batch_loader(batches, 0, 0, p, 2, 0)), 12)) for p in (0, 1)]
    for number, place in enumerate(alone):
        assert_same(dealt[number % 2][number // 2], batches[place])
    epoch, number = alone[9]
    assert list(islice(batches.plan.walk(epoch, number), 15)) == alone[9:], "from any place it goes on alike"
    assert alone[-1][0] >= 1, "and over the end of an epoch"


def test_hidden_words_are_drawn_by_the_batch(folder):
    shown, some, none = (planned(folder, modalities=["text", "audio"], hide_words=h) for h in (0.0, 0.5, 1.0))
    said = lambda batches: torch.cat([batches[0, n][1]["text_mask"].any(1) for n in range(6)])  # noqa: E731
    assert said(shown).all() and not said(none).any()
    assert 0.2 < said(some).float().mean() < 0.8 and torch.equal(said(some), said(some))


# one step --------------------------------------------------------------------------------------------------------------


def tiny_model(dropout=0.0, **fields):
    torch.manual_seed(0)
    drops = dict.fromkeys(("embedding_dropout_prob", "attention_dropout", "hidden_dropout_prob"), dropout)
    sizes = {
        "hidden_size": 8,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "encoder_layers": 1,
        "decoder_layers": 1,
    }
    own = {"modalities": ["audio", "visual"], "feature_sizes": {m: SIZES[m] for m in ("audio", "visual")}}
    config = JointEmbeddingsConfig.pretraining(["a", "b", "c", "d"], **(sizes | own | drops | fields))
    return JointEmbeddingsForPreTraining(config).train()


def step_of(batches, dropout=0.0):
    model = tiny_model(dropout)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    weights = {"speech": 0.8, "person": 0.2}
    found = train_step(Accelerator(cpu=True), model, optimizer, batches, weights, 0.5, 1e9)
    return found, torch.cat([p.detach().flatten() for p in model.parameters()])


def test_many_batches_are_one_step_of_their_mean(folder):
    """Batches of unlike numbers of characters and of known speakers, and their rows in one batch."""
    batches = planned(folder)
    numbers = batches.plan.epoch(0)[:3]
    rows = [[batches.rows[n] for n in part.tolist()] for part in numbers]
    rows[0][0]["group"] = "nobody"
    parts = [(7, batches.collator(part)) for part in rows]
    whole = [(7, batches.collator([row for part in rows for row in part]))]
    (one, weights), (three, split) = step_of(whole), step_of(parts)
    assert torch.allclose(weights, split, atol=1e-6) and not torch.equal(weights, step_of(parts[:1])[1])
    for name in ("loss", "loss_speech", "loss_person", "grad_norm", "clips", "steps"):
        assert one[name] == pytest.approx(three[name], rel=1e-5), name
    model, batch = tiny_model(), whole[0][1]
    assert one["loss"] == pytest.approx(model(**batch).loss.item(), rel=1e-6)


def test_what_is_drawn_belongs_to_the_batch(folder):
    parts = [planned(folder)[0, n] for n in range(2)]
    torch.manual_seed(1)
    first = step_of(parts, dropout=0.4)[1]
    torch.manual_seed(2)
    assert torch.equal(first, step_of(parts, dropout=0.4)[1])
    assert not torch.equal(first, step_of([(seed + 1, batch) for seed, batch in parts], dropout=0.4)[1])


def test_a_loss_that_is_not_finite_stops_the_run(folder):
    seed, batch = planned(folder)[0, 0]
    batch["audio"] = batch["audio"] * torch.inf
    with pytest.raises(ValueError, match="Lower `learning_rate`"):
        step_of([(seed, batch)])


def test_the_rate_is_that_of_vaswani():
    for step in (1, 100, 4000, 4001, 90_000):
        noam = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert learning_rate(step, (512 * 4000) ** -0.5, 4000) == pytest.approx(noam)


# the survey, and bad input ---------------------------------------------------------------------------------------------


def test_the_survey_counts_what_it_leaves_out(tmp_path):
    rows = [clip(i) for i in range(60)]
    rows[0]["transcript"], rows[1]["transcript"] = None, " ... "
    rows[2]["audio"] = rows[2]["audio"][:0]
    rows[3]["audio"] = np.ones((300, SIZES["audio"]), np.float32)
    rows[4] |= {"id": "quiet", "audio": np.full((9, SIZES["audio"]), -15.9, np.float32)}
    rows[5] |= {"id": "digits", "transcript": "Room 42, Я!"}
    _, _, processor, survey = surveyed(write_clips(tmp_path / "rows", rows))
    assert survey.left_out == {
        "without a transcript": 2,
        "without audio (none, or shorter than a window)": 1,
        "longer than a batch": 1,
    }
    assert survey.silent == 1 and survey.unknown == {"4": 1, "2": 1, "я": 1}
    assert len(survey.training) + len(survey.held_out) == 56
    ids = {rows[place]["id"] for place in survey.training.tolist()}
    assert not ids & {row["id"] for row in survey.held_out}
    seen = np.concatenate([rows[place]["audio"] for place in survey.training.tolist()])
    assert processor.statistics["audio"]["mean"] == pytest.approx(seen.mean(0).tolist(), rel=1e-4, abs=1e-4)
    said = " ".join(survey.sentences())
    assert "2 clips left out: without a transcript." in said and "'я' (1)" in said and "1 clips are silent" in said


def test_who_is_held_out_does_not_depend_on_the_other_clips(tmp_path):
    few, many = ([clip(i) for i in range(n)] for n in (40, 80))
    one, two = (surveyed(write_clips(tmp_path / f"{len(rows)}", rows))[3] for rows in (few, many))
    held = lambda survey: {row["id"] for row in survey.held_out}  # noqa: E731
    assert held(one) == {name for name in held(two) if int(name[4:]) < 40} and held(one)
    fewer = surveyed(tmp_path / "80", evaluation_clips=2)[3]
    first = sorted(held(two), key=hash_id)[:2]
    assert len(held(two)) > 2 and held(fewer) == set(first), "a choice that does not depend on the order of the rows"


def test_speakers_unseen_in_training_are_measured_apart(folder):
    options, _rows, processor, survey = surveyed(folder)
    others = select_unseen_rows(open_rows(folder, "validation"), survey, TOKENIZER, options)
    assert others and not {row["group"] for row in others} & set(survey.speakers)
    collator = PretrainingCollator(processor, TOKENIZER, survey.speakers)
    assert (collator(others)["labels"]["person"] == -100).all()
    model = tiny_model()
    evaluation = Evaluation(model, collator, {"held_out": survey.held_out, "unseen": others}, survey.longest)
    before = torch.get_rng_state()
    found = evaluation(model.state_dict(), torch.device("cpu"))
    assert torch.equal(before, torch.get_rng_state()) and model.training
    assert 0 <= found["held_out.accuracy"] <= 1 and "unseen.accuracy" not in found
    assert all(found[f"{name}.{metric}"] >= 0 for name in ("held_out", "unseen") for metric in ("cer", "wer", "eer"))


def test_evaluation_finds_what_the_model_says(folder, monkeypatch):
    """A model that writes the truth but for one clip, and gives each speaker a direction, is measured as such."""
    _, _, processor, survey = surveyed(folder)
    collator = PretrainingCollator(processor, TOKENIZER, survey.speakers)
    evaluation = Evaluation(tiny_model(), collator, {"held_out": survey.held_out}, survey.longest)
    by_length = sorted(survey.held_out, key=lambda row: len(row["audio"]))
    texts = [row["transcript"] for row in by_length]
    spelled = [TOKENIZER(text)["input_ids"] for text in ["q" * len(texts[0]), *texts[1:]]]
    answer = torch.nn.utils.rnn.pad_sequence([torch.tensor(s) for s in spelled], batch_first=True)
    monkeypatch.setattr(evaluation.model, "generate_transcript", lambda **given: answer)
    found = evaluation(tiny_model().state_dict(), torch.device("cpu"))
    assert found["held_out.cer"] == len(texts[0]) / sum(map(len, texts))
    assert found["held_out.wer"] == pytest.approx(len(texts[0].split()) / sum(len(text.split()) for text in texts))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([clip(i) | {"group": "one"} for i in range(30)], "expected two speakers"),
        ([clip(0), clip(1)], "expected two speakers and one clip held out"),
        ([clip(i) | {"transcript": None} for i in range(30)], "30 without a transcript"),
    ],
)
def test_too_little_to_learn_from_is_said(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        surveyed(write_clips(tmp_path / "rows", rows))


def test_an_empty_shard_is_no_matter(folder, tmp_path):
    copied = tmp_path / "rows"
    shutil.copytree(folder, copied)
    shards = sorted(copied.glob("train-*.parquet"))
    for number, shard in enumerate([*shards[:2], None, *shards[2:]]):
        target = copied / f".{number:05d}"
        if shard is None:
            pq.write_table(pq.read_table(shards[0]).slice(0, 0), target)
        else:
            target.write_bytes(shard.read_bytes())
    for shard in shards:
        shard.unlink()
    for number in range(len(shards) + 1):
        (copied / f".{number:05d}").rename(copied / f"train-{number:05d}-of-{len(shards) + 1:05d}.parquet")
    one, other = open_rows(folder, "train"), open_rows(copied, "train")
    assert [row["id"] for row in map(one.__getitem__, range(len(one)))] == [other[i]["id"] for i in range(len(other))]
    assert surveyed(copied)[3].digest == surveyed(folder)[3].digest


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "expected an object"),
        ({"stepps": 3}, "Unknown config field 'stepps'. Did you mean 'steps'"),
        ({"rows": "a"}, "output"),
        ({"rows": "a", "output": "b", "steps": "3"}, "steps"),
        ({"rows": "a", "output": "b", "steps": 0}, "steps is 0"),
        ({"rows": "a", "output": "b", "held_out": 1.0}, "held_out"),
        ({"rows": "a", "output": "b", "optimizer": "sgd"}, "'sgd'"),
        ({"rows": "a", "output": "b", "unseen_split": "train"}, "trained on"),
    ],
)
def test_wrong_options_are_said(tmp_path, values, message):
    path = tmp_path / "config.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    with pytest.raises(ValueError, match=message):
        PretrainingOptions.load(path)


@pytest.mark.parametrize("name", ["sample", "voxceleb2"])
def test_the_configs_of_the_examples_describe_a_run(name):
    options = PretrainingOptions.load(CONFIGS / f"pretrain_{name}.json")
    sizes = {"text": 300, "audio": 200, "visual": 4096}
    given = {m: sizes[m] for m in options.model["modalities"]}
    config = JointEmbeddingsConfig.pretraining(["a", "b"], **(options.model | {"feature_sizes": given}))
    if name == "voxceleb2":  # the paper's
        assert config.to_diff_dict() == JointEmbeddingsConfig.pretraining(["a", "b"]).to_diff_dict()
        assert options.learning_rate == pytest.approx((512 * 4000) ** -0.5, rel=0.01)
