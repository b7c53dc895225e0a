# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Building a corpus as Parquet: parallel, resumed or replaced, never half; its card, and what may be pushed."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from corpora import tiny_rows
from fixture_layouts.iemocap import write_iemocap
from fixture_layouts.mustard import write_features, write_json
from fixture_layouts.voxceleb2 import write_voxceleb2
from hub_stand_in import HubStandIn
from huggingface_hub import DatasetCard

from mm_affect.cli.corpus_program import main
from mm_affect.data import RowReader, load, read_corpus
from mm_affect.data import parallel_build as shards
from mm_affect.data.corpora.official_folds import load_folds
from mm_affect.data.corpora.registry import find_layout
from mm_affect.data.dataset_card import write_dataset_card
from mm_affect.data.parallel_build import build_rows
from mm_affect.preparation.publishing import push_rows


ROOT = Path(__file__).resolve().parent.parent
IDS = [clip for fold in (1, 2, 3) for clip in load_folds("mustard")[f"fold_{fold}"][:8]]


@pytest.fixture
def layout(tmp_path, monkeypatch):
    """A tree of 24 + 6 clips, in four parts for each split."""
    monkeypatch.setattr(shards, "DEFAULT_PARTS", 4)
    write_voxceleb2(tmp_path / "vox")
    return find_layout("voxceleb2", tmp_path / "vox", validation=0.25)


def contents(folder):
    splits = load(folder, cache_dir=folder.parent / "cache")
    return {split: sorted(row["id"] for row in RowReader(rows)) for split, rows in splits.items()}


def parts_of(building):
    return {path.name: path.stat().st_ino for path in building.iterdir() if path.is_dir()}


def fail_after(monkeypatch, parts):
    """The build breaks off, as if killed, after so many parts."""
    real, done = shards._build_part, []

    def build_part(layout, part, *rest):
        if len(done) == parts:
            raise KeyboardInterrupt
        done.append(part)
        return real(layout, part, *rest)

    monkeypatch.setattr(shards, "_build_part", build_part)
    return done


def test_rows_are_those_of_the_copy(layout, tmp_path):
    record = build_rows(layout, tmp_path / "rows")
    expected = {split: sorted(row["id"] for row in layout.rows(split)) for split in ("train", "validation", "test")}
    assert contents(tmp_path / "rows") == expected
    assert record.counts == {"train": 18, "validation": 6, "test": 6} and record.layout == "tree"
    assert read_corpus(tmp_path / "rows") == record
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_several_processes_make_the_same(layout, tmp_path):
    one = build_rows(layout, tmp_path / "one")
    two = build_rows(layout, tmp_path / "two", workers=2)
    assert one == two
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)


def test_an_interrupted_build_goes_on(layout, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            build_rows(layout, tmp_path / "rows")
    building = tmp_path / ".rows.building"
    assert not (tmp_path / "rows").exists() and len(parts_of(building)) == 5
    done, seen = fail_after(monkeypatch, 99), []
    build_rows(layout, tmp_path / "rows", progress=lambda *progress: seen.append(progress))
    assert len(done) == 12 - 5 and seen[0] == (5, 12) and seen[-1] == (12, 12)
    assert not building.exists() and sum(map(len, contents(tmp_path / "rows").values())) == 30


@pytest.mark.parametrize("damage", ["cut", "flipped", "record", "missing", "half"])
def test_damaged_parts_are_not_trusted(layout, tmp_path, monkeypatch, damage):
    with monkeypatch.context() as patch:
        fail_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            build_rows(layout, tmp_path / "rows")
    file = sorted((tmp_path / ".rows.building").glob("train-*/*.parquet"))[1]
    part = file.parent
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:-20])
    elif damage == "flipped":
        file.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    elif damage == "record":
        (part / "part.json").write_text("{")
    elif damage == "missing":
        file.unlink()
    else:
        part.rename(part.with_suffix(".tmp"))
    done = fail_after(monkeypatch, 99)
    build_rows(layout, tmp_path / "rows")
    assert len(done) == 12 - 4 and part.name in map(shards._name, done)
    assert sum(map(len, contents(tmp_path / "rows").values())) == 30


@pytest.mark.parametrize("change", ["file", "option", "plan"])
def test_a_build_of_something_else_is_replaced(layout, tmp_path, monkeypatch, change):
    with monkeypatch.context() as patch:
        fail_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            build_rows(layout, tmp_path / "rows")
    options = {"validation": 0.25}
    if change == "file":
        (tmp_path / "vox/dev/aac/id00012/-xBvQ000000/00001.m4a").write_bytes(b"repaired")
    elif change == "option":
        options = {"validation": 0.5}
    else:
        (tmp_path / ".rows.building" / "plan.json").write_text("{}")
    done = fail_after(monkeypatch, 99)
    build_rows(find_layout("voxceleb2", tmp_path / "vox", **options), tmp_path / "rows")
    assert len(done) == 12


def test_other_folders_are_left_alone(layout, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="left alone"):
        build_rows(layout, tmp_path / "mine", overwrite=True)
    build_rows(layout, tmp_path / "rows")
    with pytest.raises(FileExistsError, match="overwrite"):
        build_rows(layout, tmp_path / "rows")
    build_rows(layout, tmp_path / "rows", overwrite=True)


def test_a_partial_copy_is_refused_until_it_is_allowed(tmp_path):
    write_iemocap(tmp_path / "release")
    with pytest.raises(ValueError, match="found 24 rows in train, expected 2755.*allow_partial"):
        build_rows(find_layout("iemocap", tmp_path / "release"), tmp_path / "rows")
    assert not (tmp_path / "rows").exists()
    record = build_rows(find_layout("iemocap", tmp_path / "release", allow_partial=True), tmp_path / "rows")
    assert record.counts == {"train": 24, "validation": 8, "test": 8} and len(record.dropped) == 30


def test_features_survive_the_road(tmp_path):
    write_json(tmp_path / "corpus", IDS)
    write_features(tmp_path / "corpus", IDS)
    build_rows(find_layout("mustard", tmp_path / "corpus", allow_partial=True), tmp_path / "rows")
    rows = RowReader(load(tmp_path / "rows", cache_dir=tmp_path / "cache")["test"])
    for row in rows:
        assert np.all(row["visual"] == IDS.index(row["id"])) and row["audio"].shape == (12, 283)
    assert len(rows) == 8


# the programs -----------------------------------------------------------------------------------------------------


def test_the_program_inspects_and_builds_with_a_card(tmp_path, capsys):
    write_json(tmp_path / "corpus", IDS)
    write_features(tmp_path / "corpus", IDS)
    source, rows = str(tmp_path / "corpus"), tmp_path / "rows"
    assert main("mustard", "words", ["inspect", source]) == 1
    assert "PROBLEM: test has 8 rows" in capsys.readouterr().out
    assert main("mustard", "words", ["build", source, "--output", str(rows), "--workers", "1"]) == 1
    assert "mustard: MUStARD: found" in capsys.readouterr().err
    command = ["build", source, "--output", str(rows), "--allow-partial", "--option", "fold=2", "--workers", "1"]
    assert main("mustard", "words", command) == 0
    assert "test 8" in capsys.readouterr().out
    card = DatasetCard.load(rows / "README.md")
    assert card.data.license == "other" and card.data.pretty_name == "MUStARD"
    assert {"split": "test", "path": "test-*.parquet"} in card.data.configs[0]["data_files"]
    for told in (
        "| test | 8 |", "official fold 2", "shared between splits: yes", "ResNet-152", "raw clips cannot be predicted",
        "sincere, sarcastic", "datasets_scripts/mustard.py build", "ACL 2019", "github.com/soujanyaporia/MUStARD",
        read_corpus(rows).manifest_hash,
    ):  # fmt: skip
        assert told in card.text, told
    assert "Layout: repository." in card.text
    assert str(tmp_path) not in card.text, "paths of this machine are nobody's business"


@pytest.mark.parametrize("name", ["cmu_mosei", "cmu_mosi", "iemocap", "mustard", "voxceleb2"])
def test_every_corpus_has_its_program(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "inspect", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "datasets_scripts" / f"{name}.py"), run_name="__main__")
    told = capsys.readouterr().out
    assert ended.value.code == 1 and "MISSING" in told and "Where to get it" in told


# cards and the Hub ------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with HubStandIn() as server:
        server.serve_this_process(monkeypatch, tmp_path / "hub_cache")
        yield server


@pytest.fixture
def built(tmp_path):
    """Feature rows with a card."""
    folder = tmp_path / "built"
    folder.mkdir()
    for path in tiny_rows().iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    write_dataset_card(folder, read_corpus(folder), "ask the authors")
    return folder


def test_what_a_license_protects_is_private_by_default(built, hub):
    address = push_rows(built, "me/iemocap", "iemocap")
    repository = hub.repository("me/iemocap", "dataset")
    assert address == f"{hub.url}/datasets/me/iemocap/commit/{repository.branches['main']}"
    assert repository.private and not repository.gated
    files = repository.files()
    assert {"corpus.json", "README.md"} < files.keys() and any(name.endswith(".parquet") for name in files)
    assert all(content == (built / name).read_bytes() for name, content in files.items() if name != ".gitattributes")
    push_rows(built, "me/mustard", "mustard")
    assert not hub.repository("me/mustard", "dataset").private
    push_rows(built, "me/gated", "iemocap", "gated", revision="two")
    gated = hub.repository("me/gated", "dataset")
    assert gated.gated == "manual" and not gated.private
    assert gated.files().keys() == {".gitattributes"} and "corpus.json" in gated.files("two")
    with pytest.raises(ValueError, match="may not be shared publicly.*University of Southern California"):
        push_rows(built, "me/other", "iemocap", "public")


def test_protected_rows_never_go_where_everybody_reads(built, hub):
    hub.make("me/iemocap", "dataset")
    with pytest.raises(ValueError, match="exists and is public"):
        push_rows(built, "me/iemocap", "iemocap")
    assert hub.repository("me/iemocap", "dataset").files().keys() == {".gitattributes"}


def test_the_corpus_is_known_by_its_name_and_others_are_private(built, hub):
    push_rows(built, "me/own")
    assert hub.repository("me/own", "dataset").private
    replace(read_corpus(built), name="MUStARD").write(built)
    push_rows(built, "me/mustard")
    assert not hub.repository("me/mustard", "dataset").private
    replace(read_corpus(built), name="IEMOCAP").write(built)
    with pytest.raises(ValueError, match="may not be shared publicly"):
        push_rows(built, "me/iemocap", visibility="public")


def test_data_of_something_else_are_left_alone(built, hub):
    hub.make("me/x", "dataset", {"corpus.json": b"{}", "a.parquet": b"x"})
    with pytest.raises(ValueError, match="holds other files .such as a.parquet"):
        push_rows(built, "me/x", "mustard")


def test_paths_of_this_machine_are_not_published(layout, tmp_path, hub):
    def card(folder, record):
        write_dataset_card(folder, record)

    build_rows(layout, tmp_path / "rows", beside=card)
    with pytest.raises(ValueError, match="names media files, which are not uploaded"):
        push_rows(tmp_path / "rows", "me/vox", "voxceleb2")
    assert not hub.requests


def test_rows_of_another_corpus_and_folders_without_rows_are_not_published(built, tmp_path, hub):
    replace(read_corpus(built), name="IEMOCAP").write(built)
    with pytest.raises(ValueError, match="holds rows of IEMOCAP; push them with datasets_scripts/iemocap.py"):
        push_rows(built, "me/x", "mustard")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError):
        push_rows(tmp_path / "empty", "me/x", "mustard")
    assert not hub.requests


def test_extracted_rows_get_their_card_when_they_are_pushed(built, hub):
    (built / "README.md").unlink()
    push_rows(built, "me/x", "mustard")
    assert "github.com/soujanyaporia/MUStARD" in (built / "README.md").read_text(encoding="utf-8")


def test_the_card_of_synthetic_rows_says_so(built):
    card = DatasetCard.load(built / "README.md")
    assert "Layout: own corpus." in card.text
    assert "SYNTHETIC DATA" in card.text and "synthetic-data" in card.data.tags and "ask the authors" in card.text
    assert json.dumps(card.data.to_dict())
