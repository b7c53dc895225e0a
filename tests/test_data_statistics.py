# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Counts and correlations of labels, against numpy and by hand."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from corpora import FIELDS, make_rows, tiny_rows, write_tiny_rows

from mm_affect.cli.main import main
from mm_affect.data import statistics as module
from mm_affect.data import write_rows
from mm_affect.data.statistics import label_statistics


def known(name):
    rows = [row["labels"][name] for split in ("train", "validation", "test") for row in make_rows(split)]
    return [np.nan if value is None else value for value in rows]


def test_counts_are_those_of_the_rows():
    counts = label_statistics(tiny_rows())["counts"]
    assert list(counts) == ["sentiment", "sarcasm", "emotion"]
    for split in ("train", "validation", "test"):
        labels = [row["labels"] for row in make_rows(split)]
        sarcasm = [label["sarcasm"] for label in labels]
        found = {name: counts["sarcasm"][name][split] for name in ("no", "yes", "unknown")}
        assert found == {"no": sarcasm.count(0), "yes": sarcasm.count(1), "unknown": sarcasm.count(None)}
        emotion = [label["emotion"] for label in labels]
        assert counts["emotion"]["sad"][split] == sum(value[1] > 0 for value in emotion if value is not None)
        assert counts["emotion"]["unknown"][split] == emotion.count(None)
        sentiment = [label["sentiment"] for label in labels if label["sentiment"] is not None]
        assert counts["sentiment"]["below 0"][split] == sum(value < 0 for value in sentiment)
        assert counts["sentiment"]["above 0"][split] == sum(value > 0 for value in sentiment)


def test_correlations_are_those_of_numpy_over_rows_that_know_both(monkeypatch):
    monkeypatch.setattr(module, "BATCH_ROWS", 5)  # sums over many parts
    found = label_statistics(tiny_rows())["correlations"]
    assert found["names"] == ["sentiment", "sarcasm.yes", "emotion.happy", "emotion.sad"]
    emotion = np.array([[np.nan] * 2 if value is np.nan else value for value in known("emotion")])
    variables = [np.array(known("sentiment")), np.array(known("sarcasm")), *emotion.T]
    for i, one in enumerate(variables):
        for j, other in enumerate(variables):
            both = ~np.isnan(one) & ~np.isnan(other)
            assert found["r"][i, j] == pytest.approx(np.corrcoef(one[both], other[both])[0, 1], abs=1e-9)
            assert found["pairs"][i, j] == both.sum()
    assert found["r"][0, 2] > 0.5 > -0.5 > found["r"][0, 3], "happy raises the sentiment of these rows, sad lowers it"


def test_what_does_not_vary_has_no_correlation(tmp_path):
    fields = [FIELDS[0], replace(FIELDS[1], labels=("a", "b", "c"))]
    rows = [{"id": str(i), "group": "g", "labels": {"sentiment": 0.1, "sarcasm": i % 2}} for i in range(9)]
    write_rows(tmp_path / "rows", {"train": rows}, {"name": "flat", "label_fields": fields})
    found = label_statistics(tmp_path / "rows")["correlations"]
    assert found["names"] == ["sentiment", "sarcasm.a", "sarcasm.b", "sarcasm.c"]
    assert np.isnan(found["r"][0]).all() and np.isnan(found["r"][3]).all()
    assert found["r"][1, 2] == pytest.approx(-1) and found["r"][1, 1] == pytest.approx(1)


def test_the_command_prints_both_tables_and_writes_them(tmp_path, capsys):
    assert main(["data", "statistics", str(tiny_rows()), "--output", str(tmp_path / "labels.md")]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "labels.md").read_text() == printed
    assert "| task | label | train | validation | test |" in printed and "| sarcasm.yes |" in printed
    with open(tmp_path / "labels_correlations.csv", newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["", "sentiment", "sarcasm.yes", "emotion.happy", "emotion.sad"]
    assert float(lines[0][2]) == pytest.approx(label_statistics(tiny_rows())["correlations"]["r"][0, 1])
    assert (tmp_path / "labels_counts.csv").read_text().startswith("task,label,train,validation,test\n")


@pytest.mark.parametrize(
    ("words", "sentence"), [(["--output", "x.txt"], "ends in .md"), ([], "has no labels to count")]
)
def test_bad_input_is_one_sentence(tmp_path, capsys, words, sentence):
    rows = write_tiny_rows(tmp_path / "with") if words else tmp_path / "without"
    if not words:
        write_rows(rows, {"train": [{"id": "a", "group": "g"}]}, {"name": "bare"})
    assert main(["data", "statistics", str(rows), *words]) == 1
    error = capsys.readouterr().err
    assert sentence in error and len(error.splitlines()) == 1
