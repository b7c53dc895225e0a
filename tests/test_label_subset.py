# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Few labels: which rows keep theirs, that nothing of the others is left, and what results and card say of it."""

import json
import pickle

import pytest
from corpora import FIELDS, SIZES, make_rows, run_config, tiny_rows
from test_experiments import no_plots  # noqa: F401

from mm_affect.data import RowReader, load, write_rows
from mm_affect.evaluation.cards import write_card
from mm_affect.training import prepared_run
from mm_affect.training import run as experiments
from mm_affect.training.config import RunConfig
from mm_affect.training.label_subset import LabelSubset


ROWS = make_rows("train")
TASKS = [
    {"name": "feeling", "column": "emotion", "labels": ["happy", "sad"]},
    {"name": "sentiment", "problem_type": "regression", "value_range": [-3, 3]},
]


def labeled(rows, column):
    return {row["id"] for row in rows if row["labels"].get(column) is not None}


def prepare(output, **fields):
    return prepared_run.prepare(RunConfig.from_dict(run_config(output, **fields)), measure_test=False)


def test_a_share_of_the_labels_is_kept_and_of_the_rest_nothing():
    few = LabelSubset(ROWS, {"emotion": 0.25})
    known = labeled(ROWS, "emotion")
    assert few.counts == {"emotion": {"known": len(known), "used": round(len(known) / 4)}}
    assert len(few) == len(labeled(few, "emotion")) == round(len(known) / 4)
    originals = {row["id"]: row for row in ROWS}
    for row in few:
        original = originals[row["id"]]
        assert row["labels"] == {"emotion": original["labels"]["emotion"]}
        assert all(row[name] is original[name] for name in ("text", "audio", "visual"))
    assert [row["id"] for row in few] == [row["id"] for row in ROWS if row["id"] in labeled(few, "emotion")]


def test_columns_have_shares_of_their_own():
    few = LabelSubset(ROWS, {"emotion": 0.1, "sentiment": 1, "sarcasm": 0.5})
    assert labeled(few, "sentiment") == labeled(ROWS, "sentiment")
    assert len(labeled(few, "sarcasm")) == round(len(labeled(ROWS, "sarcasm")) / 2)
    assert {row["id"] for row in few} == set().union(*(labeled(few, f.name) for f in FIELDS))


def test_the_draw_follows_the_ids_alone():
    small, large = (labeled(LabelSubset(ROWS, {"emotion": share}), "emotion") for share in (0.2, 0.6))
    assert small < large < labeled(ROWS, "emotion")
    assert labeled(LabelSubset(ROWS[::-1], {"emotion": 0.2}), "emotion") == small
    everywhere = [row for row in ROWS if all(row["labels"][name] is not None for name in ("emotion", "sarcasm"))]
    both = LabelSubset(everywhere, {"emotion": 0.3, "sarcasm": 0.3})
    assert labeled(both, "emotion") == labeled(both, "sarcasm")
    first = [row["id"] for row in ROWS[: len(small)] if row["id"] in labeled(ROWS, "emotion")]
    assert small != set(first)  # drawn, not cut off


def test_at_least_one_label_is_kept_and_none_is_made_up():
    assert len(LabelSubset(ROWS, {"emotion": 1e-6})) == 1
    few = LabelSubset(ROWS, {"emotion": 0.5, "nothing": 0.5})
    assert few.counts["nothing"] == {"known": 0, "used": 0} and labeled(few, "nothing") == set()


def test_they_reach_another_process():
    few = LabelSubset(RowReader(load(tiny_rows())["train"]), {"emotion": 0.5})
    again = pickle.loads(pickle.dumps(few))
    assert [row["id"] for row in again] == [row["id"] for row in few] and again[0]["labels"] == few[0]["labels"]


@pytest.mark.parametrize(
    ("share", "used"), [(0.5, {"emotion", "sentiment"}), ({"emotion": 0.5}, {"emotion", "sentiment"})]
)
def test_a_run_trains_on_them_alone(tmp_path, share, used):
    prepared = prepare(tmp_path / "run", tasks=TASKS, label_fraction=share)
    rows, counts, tasks = prepared.train, prepared.labels_used, prepared.tasks
    assert counts.keys() == used and all({"emotion", "sentiment"} == row["labels"].keys() for row in rows)
    assert len(labeled(rows, "emotion")) == counts["emotion"]["used"] == round(counts["emotion"]["known"] / 2)
    whole = counts["sentiment"]["known"]
    assert len(labeled(rows, "sentiment")) == (whole if isinstance(share, dict) else round(whole / 2))
    happy = [row["labels"]["emotion"][0] for row in rows if row["labels"]["emotion"] is not None]
    assert tasks[0].class_weights[0] == pytest.approx((len(happy) - sum(happy)) / sum(happy), abs=1e-4)


def test_rows_of_labels_that_no_task_reads_stay_out(tmp_path):
    rows = prepare(tmp_path / "run", tasks=TASKS[:1], label_fraction={"emotion": 0.25}).train
    assert len(rows) == len(labeled(rows, "emotion")) < 10


def test_the_seed_of_the_run_draws_no_labels(tmp_path):
    draws = [prepare(tmp_path / "run", label_fraction=0.3, seeds=[seed]).train.indices for seed in (0, 7)]
    assert draws[0] == draws[1]


def test_results_and_card_say_how_many(tmp_path, no_plots):  # noqa: F811
    config = run_config(tmp_path / "run", tasks=TASKS, label_fraction={"emotion": 0.25}, training={"epochs": 1})
    results = experiments.run(RunConfig.from_dict(config))
    counts = json.loads((tmp_path / "run" / "results.json").read_text())["corpus"]["labels_used"]
    assert counts == results.corpus.labels_used and results.config["label_fraction"] == {"emotion": 0.25}
    write_card(results, tmp_path)
    used, known = counts["emotion"]["used"], counts["emotion"]["known"]
    assert f"| training labels used, `emotion` | {used} of {known} |" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("share", [0, -0.1, 1.5, {"emotion": 0}])
def test_what_is_no_share_is_refused(tmp_path, share):
    with pytest.raises(ValueError, match="label_fraction is .*above 0 and up to 1"):
        RunConfig.from_dict(run_config(tmp_path, label_fraction=share))


def test_a_column_that_no_task_reads_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has the column 'feeling', which no task reads"):
        prepare(tmp_path / "run", tasks=TASKS, label_fraction={"feeling": 0.1})


def test_auxiliary_corpora_keep_their_labels(tmp_path):
    fields, rows = FIELDS[1:], [row | {"id": f"other-{row['id']}"} for row in make_rows("test")]
    rows = [row | {"labels": {name: row["labels"][name] for name in ("sarcasm", "emotion")}} for row in rows]
    write_rows(tmp_path / "other", {"train": rows}, {"name": "other", "label_fields": fields, "sizes": SIZES})
    prepared = prepare(tmp_path, auxiliary=[str(tmp_path / "other")], tasks=TASKS, label_fraction={"emotion": 0.2})
    kept = labeled(prepared.train, "emotion")
    assert {id for id in kept if id.startswith("other-")} == labeled(rows, "emotion")
    assert len(kept) - len(labeled(rows, "emotion")) == prepared.labels_used["emotion"]["used"] < 10
