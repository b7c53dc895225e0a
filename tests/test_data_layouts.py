# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Layouts of corpora: detection in a folder, options, folds, padding, caching, counts, and tables."""

import json
import os
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
from fixture_layouts.cmu_sdk import write_sdk
from fixture_layouts.mult_pickle import write_mult_pickle
from fixture_layouts.sequences import padded, random_sequences

from mm_affect.data import LabelField, RowReader, check_label, load, write_rows
from mm_affect.data.corpora import official_folds
from mm_affect.data.corpora.corpus_builder import CorpusBuilder
from mm_affect.data.corpora.layouts import deduplicate_ids
from mm_affect.data.corpora.official_folds import folds_hash, get_split_by_id, load_folds, select_validation_groups
from mm_affect.data.corpora.padding import bounds_from_lengths, count_zero_steps, detect_padding, find_padded_side
from mm_affect.data.corpora.registry import CORPORA, find_layout, fingerprint, get_corpus
from mm_affect.data.readers.tables import read_table, read_text


VIDEOS = [load_folds("cmu_mosi")[split][0] for split in ("train", "validation", "test")]


# corpora and their layouts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus", map(get_corpus, CORPORA), ids=CORPORA)
def test_every_corpus_says_what_a_user_needs(corpus):
    assert corpus.license and corpus.citation and corpus.access.endswith(".") and "http" in corpus.access
    names = [layout.name for layout in corpus.layouts]
    assert len(set(names)) == len(names)
    for layout in corpus.layouts:
        assert layout.title and layout.files and all(wanted.purpose for wanted in layout.files)
    for settings in corpus.configs.values():
        assert settings.get("layout", names[0]) in names


@pytest.mark.parametrize("corpus", CORPORA)
def test_an_empty_folder_is_told_what_was_looked_for_and_whom_to_ask(corpus, tmp_path):
    with pytest.raises(ValueError, match="holds no layout") as error:
        find_layout(corpus, tmp_path)
    known = get_corpus(corpus)
    assert known.access in str(error.value) and known.license in str(error.value)
    assert all(layout.name in str(error.value) for layout in known.layouts)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist. Request the files from the CMU"):
        find_layout("cmu_mosi", tmp_path / "nowhere")


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "mm_affect.data.corpora.registry.os.access", lambda path, mode: False
    )  # root may read everything
    with pytest.raises(PermissionError, match="is not readable for this user"):
        find_layout("cmu_mosi", tmp_path)


def test_a_configuration_whose_copy_is_not_there(tmp_path):
    write_mult_pickle(tmp_path, "iemocap", ids=None, classes=4)
    assert find_layout("iemocap", tmp_path).name == "mult_pickle", "without a configuration the one that fits is taken"
    with pytest.raises(ValueError, match="can be read as release; looked for:\n  release: found nothing"):
        find_layout("iemocap", tmp_path, "six")


def test_a_misspelled_corpus_is_suggested(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'cmu_mosei'"):
        get_corpus("cmu_mosey")


def test_several_layouts_in_one_folder(tmp_path):
    write_sdk(tmp_path, VIDEOS)
    write_mult_pickle(tmp_path)
    assert find_layout("cmu_mosi", tmp_path).name == "sdk"
    assert find_layout("cmu_mosi", tmp_path, layout="mult_pickle").name == "mult_pickle"
    assert find_layout("cmu_mosi", tmp_path / "mosi_data.pkl").name == "mult_pickle"
    with pytest.raises(ValueError, match="no layout 'mult'; known: sdk, raw, mult_pickle"):
        find_layout("cmu_mosi", tmp_path, layout="mult")
    (tmp_path / "other.bin").touch()
    with pytest.raises(ValueError, match="other.bin holds no layout"):
        find_layout("cmu_mosi", tmp_path / "other.bin")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algin": "words"}, "Did you mean 'align'"),
        ({"bananas": 1}, "no option 'bananas'. Known: align, allow_partial, modalities, reducer"),
        ({"reducer": "median"}, "`reducer` is 'median'; expected one of 'mean', 'max', 'first', 'last'"),
        ({"modalities": "text"}, "`modalities` is 'text'; expected a list"),
        ({"modalities": ["smell"]}, "expected a list of text, audio, visual"),
        ({"config": "four"}, "no configuration 'four'"),
    ],
)
def test_options_are_checked(tmp_path, options, message):
    write_sdk(tmp_path, VIDEOS)
    with pytest.raises(ValueError, match=message):
        find_layout("cmu_mosi", tmp_path, **options)


def test_the_registry_imports_no_data_libraries():
    heavy = ("datasets", "pyarrow", "pandas", "h5py", "scipy", "torch", "transformers")
    code = f"import sys, mm_affect.data.corpora.registry; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# load ------------------------------------------------------------------------------------------------------------


def test_counts_are_asserted_and_a_partial_copy_is_asked_for(tmp_path):
    write_sdk(tmp_path / "corpus", VIDEOS)
    with pytest.raises(ValueError, match="CMU-MOSI: found 2 rows in train, expected 1284; .*allow_partial=True"):
        load("cmu_mosi", tmp_path / "corpus", cache_dir=tmp_path)
    rows = load("cmu_mosi", tmp_path / "corpus", allow_partial=True, cache_dir=tmp_path)
    assert {split: len(part) for split, part in rows.items()} == {"train": 2, "validation": 2, "test": 2}
    record = CorpusBuilder(
        find_layout("cmu_mosi", tmp_path / "corpus", allow_partial=True), "cmu_mosi", tmp_path
    ).record
    assert record.counts == {"train": 2, "validation": 2, "test": 2} and record.layout == "sdk"
    assert record.reported == {"video_without_labels": 90}


def test_splits_without_rows_are_left_out(tmp_path):
    write_sdk(tmp_path / "corpus", VIDEOS[1:])
    assert list(load("cmu_mosi", tmp_path / "corpus", allow_partial=True, cache_dir=tmp_path)) == [
        "validation",
        "test",
    ]
    write_sdk(tmp_path / "strange", ["no_such_video"])
    with pytest.raises(ValueError, match="holds no rows of CMU-MOSI"):
        load("cmu_mosi", tmp_path / "strange", allow_partial=True, cache_dir=tmp_path)


def test_load_streams_a_corpus(tmp_path):
    write_sdk(tmp_path, VIDEOS)
    rows = load("cmu_mosi", tmp_path, streaming=True, allow_partial=True)
    first = next(iter(rows["test"]))
    assert first["id"] == f"{VIDEOS[2]}[0]" and first["transcript"] == "word0 word1"


def test_load_without_data_dir(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"load\('cmu_mosi', data_dir\)"):
        load("cmu_mosi")
    with pytest.raises(ValueError, match="align, config: these belong to a corpus"):
        load(tmp_path, config="four", align="words")


def test_a_repaired_file_is_read_again_and_an_unchanged_one_is_not(tmp_path, monkeypatch):
    folder, cache = tmp_path / "corpus", tmp_path / "cache"
    truth = write_mult_pickle(folder)

    def labels():
        rows = load("cmu_mosi", folder, allow_partial=True, cache_dir=cache)
        return [label["sentiment"] for label in rows["train"]["labels"]]

    before = labels()
    assert before == pytest.approx([clip["label"] for clip in truth["train"]], abs=1e-6)
    with monkeypatch.context() as context:
        context.setattr("mm_affect.data.corpora.split_pickle.read_pickle", lambda path: pytest.fail("read again"))
        assert labels() == before
    state = (folder / "mosi_data.pkl").stat()

    def repaired(contents):
        contents["train"]["labels"] += 0.5

    write_mult_pickle(folder, change=repaired)
    os.utime(folder / "mosi_data.pkl", ns=(state.st_atime_ns, state.st_mtime_ns))  # same size, same time
    assert (folder / "mosi_data.pkl").stat().st_size == state.st_size
    assert labels() == pytest.approx([label + 0.5 for label in before], abs=1e-5)


def test_options_are_part_of_the_fingerprint(tmp_path):
    write_sdk(tmp_path, VIDEOS)
    prints = {fingerprint(find_layout("cmu_mosi", tmp_path, reducer=reducer)) for reducer in ("mean", "max")}
    assert len(prints) == 2


def test_rows_of_a_corpus_become_a_folder_of_rows(tmp_path):
    """`load` and `write_rows` yield the same rows of a layout."""
    write_sdk(tmp_path / "corpus", VIDEOS)
    layout = find_layout("cmu_mosi", tmp_path / "corpus", allow_partial=True)
    write_rows(tmp_path / "rows", {split: layout.rows(split) for split in ("train", "test")}, layout.describe())
    loaded = load("cmu_mosi", tmp_path / "corpus", allow_partial=True, cache_dir=tmp_path)
    written = load(tmp_path / "rows", cache_dir=tmp_path)
    for split in ("train", "test"):
        for left, right in zip(RowReader(loaded[split]), RowReader(written[split]), strict=True):
            assert left.keys() == right.keys()
            assert all(np.array_equal(left[key], right[key]) for key in left)


# label fields that are not strict -----------------------------------------------------------------------------------


def test_labels_beyond_a_scale_are_kept_only_where_the_field_says_so():
    field = {"name": "sentiment", "problem_type": "regression", "labels": ["sentiment"], "range": [-3.0, 3.0]}
    assert "strict" not in LabelField.from_dict(field | {"strict": True}).to_dict()
    loose = LabelField.from_dict(field | {"strict": False})
    assert check_label(3.4, loose, "here") == 3.4
    with pytest.raises(ValueError, match="outside its range"):
        check_label(3.4, LabelField.from_dict(field), "here")
    with pytest.raises(ValueError, match="finite"):
        check_label(np.nan, loose, "here")
    with pytest.raises(ValueError, match="has strict 'no'; it must be true or false"):
        LabelField.from_dict(field | {"strict": "no"})


# folds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("corpus", "counts"), [("cmu_mosi", (52, 10, 31)), ("cmu_mosei", (2249, 300, 678))])
def test_official_folds(corpus, counts):
    splits = load_folds(corpus)
    assert tuple(len(splits[split]) for split in ("train", "validation", "test")) == counts
    assert len(get_split_by_id(corpus)) == sum(counts), "no video is in two folds"


@pytest.mark.parametrize("name", ["cmu_mosi", "cmu_mosei"])
def test_changed_folds_are_refused(name, tmp_path, monkeypatch):
    record = json.loads(
        (resources.files("mm_affect.data.corpora") / "folds" / f"{name}.json").read_text(encoding="utf-8")
    )
    record["splits"]["train"].append(record["splits"]["test"].pop())
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / f"{name}.json").write_text(json.dumps(record))
    monkeypatch.setattr(official_folds.resources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=f"folds of {name} in this installation were changed"):
        load_folds.__wrapped__(name)


def test_the_hash_of_folds_does_not_depend_on_order():
    assert folds_hash({"a": ["1", "2"], "b": ["3"]}) == folds_hash({"b": ["3"], "a": ["2", "1"]})
    assert folds_hash({"a": ["1", "2"], "b": ["3"]}) != folds_hash({"a": ["1"], "b": ["2", "3"]})


def test_validation_is_carved_by_group():
    groups = [f"v{i // 7}" for i in range(210)]
    held = select_validation_groups(groups, 0.2)
    assert held == select_validation_groups(groups, 0.2) and 0.15 < sum(g in held for g in groups) / 210 < 0.25
    with pytest.raises(ValueError, match="between 0 and 1"):
        select_validation_groups(groups, 1.0)


# padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["front", "behind"])
def test_padding_is_found_on_either_side(side):
    """Zeros on the other side, such as a word without a vector, stay: they are data."""
    rng = np.random.default_rng(0)
    counts = {"text": [3, 7, 9, 5], "audio": [30, 2, 11, 4]}
    real = {modality: random_sequences(rng, lengths, 6) for modality, lengths in counts.items()}
    real["text"][0][-1 if side == "front" else 0] = 0
    real["audio"][1][:] = 0
    arrays = {m: {"train": padded(part, 9 if m == "text" else 30, side)} for m, part in real.items()}
    bounds, ways = detect_padding(arrays)
    assert ways == {"text": f"{side}, by zeros", "audio": f"{side}, by zeros"}
    for modality, sequences in real.items():
        for i, sequence in enumerate(sequences):
            start, stop = bounds[modality]["train"][i]
            found = arrays[modality]["train"][i, start:stop]
            absent = modality == "audio" and i == 1
            assert np.array_equal(found, sequence[:0] if absent else sequence)


def test_aligned_modalities_are_stripped_together():
    """A step is padding only if it is zero in all; a modality of zeros alone is absent."""
    rng = np.random.default_rng(1)
    counts = [4, 2, 6]
    real = {modality: random_sequences(rng, counts, 3) for modality in ("text", "audio")}
    real["text"][0][:2] = 0  # two words without a vector at the beginning
    real["audio"][2][:] = 0  # no sound
    arrays = {
        m: {"train": padded(part[:2], 6, "front"), "test": padded(part[2:], 6, "front")} for m, part in real.items()
    }
    bounds, ways = detect_padding(arrays)
    assert set(ways.values()) == {"front, by steps that are zero in every modality"}
    assert bounds["text"]["train"].tolist() == bounds["audio"]["train"].tolist() == [[2, 6], [4, 6]]
    assert bounds["text"]["test"].tolist() == [[0, 6]] and bounds["audio"]["test"].tolist() == [[0, 0]]


def test_files_without_padding():
    values = np.ones((2, 4, 3), np.float32)
    assert find_padded_side([count_zero_steps(values)], [4]) is None
    assert detect_padding({"text": {"train": values}})[1] == {"text": "none"}
    assert count_zero_steps(np.zeros((2, 0, 3))).tolist() == [[0, 0], [0, 0]]


def test_zero_ends_against_a_loop():
    rng = np.random.default_rng(2)
    values = (rng.random((150, 7, 2)) < 0.25) * rng.normal(size=(150, 7, 2))
    for (front, behind), sample in zip(count_zero_steps(values), values, strict=True):
        zero = [not step.any() for step in sample]
        assert front == (zero.index(False) if False in zero else 7)
        assert behind == (zero[::-1].index(False) if False in zero else 7)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 9], "goes from 3 to 9; the arrays have 5 steps"),
        ([-1, 2], "from -1"),
        ([1, 2, 3], r"\(3,\); expected one"),
    ],
)
def test_lengths_that_cannot_be(lengths, message):
    with pytest.raises(ValueError, match=message):
        bounds_from_lengths(lengths, 2, 5, "`audio_lengths`")


# ids and tables ----------------------------------------------------------------------------------------------------


def test_ids_become_unique():
    assert deduplicate_ids(["a", "b", "a", "a"]) == (["a", "b", "a#2", "a#3"], 2)


def test_tables_name_the_line(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('a,b\n1,"x, y"\n\n2\n')
    with pytest.raises(ValueError, match="line 3 has 1 cells; its header has 2"):
        list(read_table(path, ("a",)))
    with pytest.raises(ValueError, match="no column `c`; it has a, b"):
        list(read_table(path, ("c",)))
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        list(read_table(path, ("a",)))
    path.write_bytes("a,b\nsch\u00f6n,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8 .* at byte 7"):
        read_text(path)
