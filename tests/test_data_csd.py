# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Computational sequences: what was written comes back by slices, and every damaged or foreign file is one sentence."""

import json
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from fixture_layouts.csd import write_csd

from mm_affect.data.alignment import inside
from mm_affect.data.readers.csd import ComputationalSequence, find_shared_videos


REALDATA = Path(os.environ.get("MM_AFFECT_REALDATA", Path(__file__).parents[2] / "shared" / "realdata")) / "mosi"
TIMES = np.array([[0.0, 0.5], [0.5, 0.7], [0.7, 1.5]])


def refused(words: str):
    return pytest.raises(ValueError, match=words)


def one_sentence(caught, path: Path) -> None:
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_numbers_come_back_whole_and_by_slices(tmp_path, compression):
    rng = np.random.default_rng(0)
    videos = {name: (rng.normal(size=(n, 4)), rng.random((n, 2)).cumsum(1)) for name, n in (("b", 7), ("a", 300))}
    videos["none"] = (np.zeros((0, 4)), np.zeros((0, 2)))
    with ComputationalSequence(write_csd(tmp_path / "x.csd", "COVAREP", videos, compression)) as sequence:
        assert (sequence.name, sequence.videos, sequence.size) == ("COVAREP", ["a", "b", "none"], 4)
        assert not sequence.is_text and "a" in sequence and "c" not in sequence
        for video, (features, intervals) in videos.items():
            assert sequence.steps(video) == len(features)
            found = sequence.features(video)
            assert found.dtype == np.float32 and found.shape == features.shape
            np.testing.assert_array_equal(found, features.astype(np.float32))
            np.testing.assert_array_equal(sequence.intervals(video), intervals)
        np.testing.assert_array_equal(sequence.features("a", slice(20, 31)), np.float32(videos["a"][0][20:31]))
        np.testing.assert_array_equal(sequence.features("a", slice(-5, None)), np.float32(videos["a"][0][-5:]))
        with refused("in slices with step 1"):
            sequence.features("a", slice(None, None, 2))


@pytest.mark.parametrize("kind", [None, h5py.string_dtype()], ids=["fixed", "variable"])
def test_words_are_texts_and_silence_is_dropped(tmp_path, kind):
    texts = ["sp", "caf\u00e9", "", "so", "spa", " sp "] * 10
    times = np.arange(120.0).reshape(60, 2)
    features = texts if kind is None else np.array([text.encode() for text in texts], dtype=object)[:, None]
    path = write_csd(tmp_path / "words.csd", "words", {"v": (features, times)})
    with ComputationalSequence(path, root="words") as sequence:
        assert sequence.is_text and sequence.size == 1
        assert sequence.texts("v") == texts and sequence.texts("v", slice(1, 20)) == texts[1:20]
        words, intervals = sequence.words("v")
        assert words == ["caf\u00e9", "so", "spa"] * 10
        np.testing.assert_array_equal(intervals[:3], times[[1, 3, 4]])
        with refused("no numbers; `texts` reads words|holds .* not numbers"):
            sequence.features("v")


def test_metadata_is_json_or_the_text_itself(tmp_path):
    path = write_csd(tmp_path / "x.csd", "x", {"v": (np.ones((3, 1)), TIMES)}, metadata={"creator": "me"})
    with h5py.File(path, "a") as file:
        del file["x/metadata/md5"]
        file["x/metadata"].create_dataset("md5", (1,), dtype=h5py.string_dtype())[0] = "asdf {"
        file["x/metadata/unknown"] = np.zeros(3)
    with ComputationalSequence(path) as sequence:
        assert sequence.metadata["creator"] == "me" and sequence.metadata["md5"] == "asdf {"
        assert sequence.metadata["dimension names"] == ["a"] and "unknown" not in sequence.metadata
    with h5py.File(path, "a") as file:
        del file["x/metadata/md5"]
        file["x/metadata/md5"] = np.zeros(3)
    with ComputationalSequence(path) as sequence, refused("metadata `md5` is float64") as caught:
        sequence.metadata  # noqa: B018
    one_sentence(caught, path)
    with h5py.File(path, "a") as file:
        del file["x/metadata"]
    with ComputationalSequence(path) as sequence:
        assert sequence.metadata == {}


def swap(file, name, value):
    del file[name]
    file[name] = value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.create_group("other"), "2 entries at its root"),
        (lambda f: f.move("words", "other"), "has the root `other`; expected `words`"),
        (lambda f: f.move("words/data", "words/date"), "root `words` lacks `data`"),
        (lambda f: swap(f, "words/data", np.zeros(3)), "`data` of root `words` is no HDF5 group"),
        (lambda f: f.__delitem__("words/data/v"), "holds no video"),
        (lambda f: f.move("words/data/v", "words/data/v[0]"), "aligned by the SDK already"),
        (lambda f: f.__delitem__("words/data/v/intervals"), "video `v` lacks `intervals`"),
        (lambda f: swap(f, "words/data/v", np.zeros(3)), "`v` of `data` is no HDF5 group"),
        (lambda f: swap(f, "words/data/v/intervals", np.zeros((3, 3))), r"intervals of video `v` are float64 \(3, 3\)"),
        (lambda f: swap(f, "words/data/v/intervals", np.zeros((4, 2))), "3 steps of features and 4 intervals"),
        (lambda f: swap(f, "words/data/v/features", np.zeros(3)), r"features of video `v` have shape \(3,\)"),
        (lambda f: swap(f, "words/data/v/intervals", np.array([[0, 1], [np.nan, 2], [3, np.inf]])), "has 2 intervals that are not finite, the first in row 1"),
        (lambda f: swap(f, "words/data/v/intervals", TIMES[:, ::-1]), "ends before it starts"),
        (lambda f: swap(f, "words/data/v/features", np.array([[b"a"], [b"\xff"], [b"b"]])), "which is not UTF-8"),
        (lambda f: swap(f, "words/data/v/features", np.zeros((3, 1))), "expected words, one for each step"),
        (lambda f: f.__setitem__("words/data/v/features2", h5py.SoftLink("/words")), None),
        (lambda f: swap(f, "words/data/v/features", h5py.SoftLink("/words/data/v/intervals")), "a link to elsewhere"),
        (lambda f: swap(f, "words/data/v", h5py.ExternalLink("other.h5", "/x")), "a link to elsewhere"),
    ],
)  # fmt: skip
def test_wrong_layouts(tmp_path, change, words):
    path = write_csd(tmp_path / "x.csd", "words", {"v": (["so", "sp", "it"], TIMES)})
    with h5py.File(path, "a") as file:
        change(file)
    if words is None:
        with ComputationalSequence(path) as sequence:
            assert sequence.words("v")[0] == ["so", "it"]
        return
    with refused(words) as caught, ComputationalSequence(path, root="words") as sequence:
        sequence.words("v")
    one_sentence(caught, path)


def test_videos_of_another_size_or_name(tmp_path):
    path = write_csd(tmp_path / "x.csd", "x", {"a": (np.ones((3, 2)), TIMES), "b": (np.ones((3, 5)), TIMES)})
    with ComputationalSequence(path) as sequence:
        with refused("video `b` has 5 features per step; `a` has 2"):
            sequence.features("b")
        with refused("has no video `c`; it has 2 others"):
            sequence.intervals("c")


def test_every_truncation_and_other_files(tmp_path):
    path = write_csd(tmp_path / "x.csd", "x", {f"v{i}": (np.ones((50, 2)), np.ones((50, 2))) for i in range(5)})
    content = path.read_bytes()
    for length in (0, 5, 20, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with refused("truncated or damaged|no HDF5 file") as caught, ComputationalSequence(path):
            pass
        one_sentence(caught, path)
    path.write_text("<html>404</html>")
    with refused("is no HDF5 file"), ComputationalSequence(path):
        pass
    for missing in (tmp_path / "nothing.csd", tmp_path):
        with pytest.raises(FileNotFoundError, match="is no file"):
            ComputationalSequence(missing)


def test_a_damaged_byte_is_one_sentence_or_harmless(tmp_path):
    path = write_csd(tmp_path / "x.csd", "x", {f"v{i}": (np.ones((50, 2)), TIMES[:1].repeat(50, 0)) for i in range(3)})
    content = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(content), 60):
        path.write_bytes(content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :])
        try:
            with ComputationalSequence(path) as sequence:
                for video in sequence.videos:
                    sequence.features(video), sequence.intervals(video)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def test_sequences_of_different_corpora(tmp_path):
    paths = [tmp_path / name for name in ("a.csd", "b.csd", "c.csd")]
    for path, names in zip(paths, ("uvw", "vwx", "xyz"), strict=True):
        write_csd(path, path.stem, {name: (np.ones((3, 1)), TIMES) for name in names})
    with (
        ComputationalSequence(paths[0]) as a,
        ComputationalSequence(paths[1]) as b,
        ComputationalSequence(paths[2]) as c,
    ):
        assert find_shared_videos([a, b]) == ["v", "w"] and find_shared_videos([b]) == ["v", "w", "x"]
        with refused("share none; they are of different corpora") as caught:
            find_shared_videos([a, b, c])
        one_sentence(caught, paths[2])


def test_without_h5py_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"Reading \.csd files needs h5py: pip install 'mm_affect\[data\]'"):
        ComputationalSequence("x.csd")


@pytest.mark.skipif(not REALDATA.exists(), reason="the real corpora are not on this machine")
def test_the_published_files_of_mosi():
    folds = json.loads((REALDATA / "standard_folds.json").read_text(encoding="utf-8"))
    with (
        ComputationalSequence(REALDATA / "CMU_MOSI_ModifiedTimestampedWords.csd") as words,
        ComputationalSequence(REALDATA / "CMU_MOSI_Opinion_Labels.csd", root="Opinion Segment Labels") as labels,
    ):
        assert words.is_text and labels.metadata["dataset name"] == "CMU-MOSI" and labels.size == 1
        videos = find_shared_videos([words, labels])
        assert len(videos) == 93
        assert [sum(labels.steps(v) for v in folds[s]) for s in ("train", "valid", "test")] == [1284, 229, 686]
        scores = np.concatenate([labels.features(video) for video in videos])
        assert scores.min() == -3 and scores.max() == 3
        found = [inside(labels.intervals(v), words.words(v)[1]) for v in videos]
        lengths = np.array([len(part) for segments in found for part in segments])
        assert (lengths > 0).sum() == 2198 and lengths.sum() == 27713
