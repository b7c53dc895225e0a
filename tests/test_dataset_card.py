# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The card of a folder of rows: what its front matter tells the Hub, what it tells a reader, and that its example runs."""

import re
from dataclasses import replace

import pytest
import yaml
from corpora import SIZES, tiny_rows
from huggingface_hub import DatasetCard

from mm_affect.data import read_corpus
from mm_affect.data.dataset_card import write_dataset_card
from mm_affect.data.licenses import make_license_fields, slug


def card_of(folder, **changes):
    return write_dataset_card(
        folder, replace(read_corpus(tiny_rows()), **changes), "Ask the authors.", "python build.py"
    ).read_text()


@pytest.mark.parametrize(
    ("license", "front"),
    [
        ("CC0-1.0", {"license": "cc0-1.0"}),
        ("CC BY-NC 4.0", {"license": "cc-by-nc-4.0"}),
        ("EULA: ask us", {"license": "other", "license_name": "eula-ask-us"}),
        (None, {"license": "unknown"}),
    ],
)
def test_front_matter(tmp_path, license, front):
    text = card_of(tmp_path, license=license)
    found = yaml.safe_load(text.split("---\n")[1])
    assert {key: value for key, value in found.items() if key.startswith("license")} == front
    assert found["size_categories"] == "n<1K" and "synthetic-data" in found["tags"]
    paths = {part["split"]: part["path"] for part in found["configs"][0]["data_files"]}
    assert paths == {split: f"{split}-*.parquet" for split in ("train", "validation", "test")}
    assert DatasetCard.load(tmp_path / "README.md").data.pretty_name == "tiny"
    assert f"License: {license or 'none stated'}." in text


def test_it_says_counts_splits_features_labels_and_where_to_get_them(tmp_path):
    text = card_of(tmp_path, counts={"train": 20_000, "validation": 12, "test": 0}, split_protocol="by speaker")
    for words in (
        *("| train | 20,000 |", "| validation | 12 |", "| test | 0 |", "Split protocol: by speaker"),
        *(f"| {modality} | {size} |" for modality, size in SIZES.items()),
        *(
            "| sentiment | regression | sentiment | [-3.0, 3.0] |",
            "| emotion | multi label classification | happy, sad |",
        ),
        *(
            "How to get the corpus: Ask the authors.",
            "python build.py",
            "SYNTHETIC DATA",
            "AI Act, Art. 5(1)(f)",
        ),
        "size_categories: 10K<n<100K",
    ):
        assert words in text, words
    assert "path: test-" not in text, "a split without rows has no files"


def test_its_example_runs(tmp_path, monkeypatch):
    program = re.search(r"```python\n(.*?)```", card_of(tmp_path), re.DOTALL).group(1)
    (tmp_path / re.search(r'load\("(.*?)"\)', program).group(1)).symlink_to(tiny_rows())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(program, names)
    assert len(names["rows"]) == 32 and names["rows"][0]["text"].shape[1] == SIZES["text"]


def test_names_of_licenses():
    assert make_license_fields("Apache-2.0") == {"license": "apache-2.0"}
    assert slug("  --  ") == "unnamed" and slug("MIT (code); clips: others") == "mit-code-clips-others"
    assert len(slug("long name " * 20)) <= 60 and not slug("a" * 59 + " b").endswith("-")
