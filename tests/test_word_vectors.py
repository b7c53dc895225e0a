# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Word vectors: one token per word, the right vector per token, files that survive, bad lines named by number."""

import gzip
import json
import os

import numpy as np
import pytest

from mm_affect.features.word_vectors import HashedWordVectors, WordVectors, tokenize


GOOD = [-0.7287256, -1.1154116, 1.3485823]  # the first numbers of HashedWordVectors()(["good"])
GLOVE = """the 0.1 0.2 0.3
Turkey 1 2 3
turkey 4 5 6
. . . 7 7 7
don't -1 -2 -3e-1
. 9 9 9
the 8 8 8
café 5 5 5
"""


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.tiny.3d.txt"
    path.write_text(GLOVE, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("word", "token"),
    [
        ("Well,", "Well"),
        ("“don’t!”", "don't"),
        ("'cause", "'cause"),
        ("dogs'", "dogs'"),
        ("'know'!", "know"),
        ("know!'", "know"),
        ("--", "--"),
        ("well-known", "well-known"),
        ("$5.50,", "5.50"),
        ("cafe\u0301", "café"),
        ("हिन्दी", "हिन्दी"),
    ],
)
def test_tokens(word, token):
    assert tokenize(word) == [token]


def test_one_token_for_every_word_and_tokens_are_their_own_tokens():
    rng = np.random.default_rng(0)
    letters = list("aZé9'’\"“.,-–!$ \t\n\u00a0\u2003\u0301")
    for _ in range(300):
        transcript = "".join(rng.choice(letters, size=20))
        tokens = tokenize(transcript)
        assert len(tokens) == len(transcript.split())
        assert all(token and tokenize(token) == [token] for token in tokens if token.strip(".,-–!$'\""))


def test_looks_up_as_written_then_in_lower_case_and_counts_the_rest(glove):
    extractor = WordVectors.from_glove(glove, {"The", "Turkey", "TURKEY", "don't", "café", "unheard"})
    result = extractor(["The", "Turkey", "TURKEY", "unheard", "don't", "unheard", "café"])
    expected = [[0.1, 0.2, 0.3], [1, 2, 3], [4, 5, 6], [0, 0, 0], [-1, -2, -0.3], [0, 0, 0], [5, 5, 5]]
    np.testing.assert_array_equal(result, np.array(expected, np.float32))
    assert result.dtype == np.float32
    assert extractor.unknown_words == {"unheard": 2}
    assert extractor([]).shape == (0, 3)


def test_keeps_only_the_vocabulary_and_is_not_misled_by_tokens_with_spaces(glove):
    extractor = WordVectors.from_glove(glove, {".", "Turkey"})
    assert extractor.words == [".", "Turkey", "turkey"]
    np.testing.assert_array_equal(extractor(["."]), [[9, 9, 9]])


def test_gzip_and_a_line_of_counts_give_the_same_vectors(glove, tmp_path):
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(b"8 3\n" + GLOVE.replace("\n", " \r\n").encode()))
    plain, other = (WordVectors.from_glove(path, {"the", "Turkey"}) for path in (glove, packed))
    np.testing.assert_array_equal(plain(["the", "Turkey"]), other(["the", "Turkey"]))
    assert plain.describe()["sha256"] == other.describe()["sha256"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("the 1 2 3\ncat 1 2\n", "Line 2 of .* has 2 numbers after its word, expected 3"),
        ("the 1 2 3\ncat 1 x 3\n", "Line 2 of .* could not convert"),
        ("the 1 2 3\ncat 1 nan 3\n", "Line 2 of .* not finite"),
        ("\n", "Line 1 of "),
        ("", "is empty"),
    ],
)
def test_malformed_files_are_refused_with_the_line_number(tmp_path, text, message):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        WordVectors.from_glove(path, {"cat"})


def test_a_cut_gzip_and_a_missing_file_are_refused(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(os.urandom(5000).hex().encode())[:-2000])
    with pytest.raises(ValueError, match="not a complete gzip"):
        WordVectors.from_glove(path, {"a"})
    with pytest.raises(FileNotFoundError, match="no file of word vectors"):
        WordVectors.from_glove(tmp_path / "absent.txt", {"a"})


def test_saved_is_loaded_and_stays_on_disk(glove, tmp_path):
    saved = WordVectors.from_glove(glove, {"the", "café", "don't"})
    saved.save(tmp_path / "folder")
    loaded = WordVectors.from_description(json.loads(json.dumps(saved.describe())), tmp_path / "folder")
    assert loaded.words == saved.words and loaded.describe() == saved.describe()
    assert isinstance(loaded.vectors, np.memmap)
    np.testing.assert_array_equal(loaded(["café", "the"]), saved(["café", "the"]))
    loaded.save(tmp_path / "folder")  # over the very files that are mapped
    assert WordVectors.load(tmp_path / "folder").describe() == saved.describe()
    assert sorted(os.listdir(tmp_path / "folder")) == ["word_vectors.npy", "word_vectors.vocab.txt"]


def test_no_words_at_all_can_be_saved_too(glove, tmp_path):
    WordVectors.from_glove(glove, set()).save(tmp_path / "folder")
    assert WordVectors.load(tmp_path / "folder")(["the"]).tolist() == [[0, 0, 0]]


def test_a_failed_write_leaves_the_old_files(glove, tmp_path, monkeypatch):
    old = WordVectors.from_glove(glove, {"the"})
    old.save(tmp_path / "folder")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space"):
        WordVectors.from_glove(glove, {"café"}).save(tmp_path / "folder")
    assert WordVectors.load(tmp_path / "folder").describe() == old.describe()
    assert len(os.listdir(tmp_path / "folder")) == 2


@pytest.mark.parametrize("name", ["word_vectors.npy", "word_vectors.vocab.txt"])
def test_damaged_or_missing_files_are_refused(glove, tmp_path, name):
    WordVectors.from_glove(glove, {"the", "café"}).save(tmp_path)
    content = (tmp_path / name).read_bytes()
    for damaged in (content[:-3], b"", content[:-3] + b"abc"):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged or do not belong together"):
            WordVectors.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        WordVectors.load(tmp_path)


def test_a_description_of_other_vectors_or_without_a_folder_is_refused(glove, tmp_path):
    one = WordVectors.from_glove(glove, {"the"})
    WordVectors.from_glove(glove, {"café"}).save(tmp_path / "folder")
    with pytest.raises(ValueError, match="not the ones described"):
        WordVectors.from_description(one.describe(), tmp_path / "folder")
    with pytest.raises(ValueError, match="give the folder"):
        WordVectors.from_description(one.describe())


def test_hashed_words_are_fixed_vectors_of_unit_variance():
    extractor = HashedWordVectors()
    words = [f"word{i}" for i in range(500)]
    vectors = extractor(words)
    assert vectors.shape == (500, 64) and vectors.dtype == np.float32
    assert abs(vectors.mean()) < 0.02 and abs(vectors.var() - 1) < 0.02
    correlations = vectors @ vectors.T / 64
    assert np.abs(correlations[~np.eye(500, dtype=bool)]).max() < 0.75  # unrelated: standard deviation 1 / 8
    np.testing.assert_array_equal(extractor(["Word7"])[0], vectors[7])
    np.testing.assert_allclose(extractor(["good"])[0, :3], GOOD, rtol=1e-6)  # the same on every machine, for ever


def test_hashed_words_protocol():
    extractor = HashedWordVectors(size=8, seed=3)
    assert (extractor.name, extractor.rate, extractor.size) == ("hashed_words", None, 8)
    assert extractor.dimension_names == [f"w{i}" for i in range(8)]
    again = HashedWordVectors.from_description(json.loads(json.dumps(extractor.describe())))
    np.testing.assert_array_equal(again(["a", "b"]), extractor(["a", "b"]))
    assert not np.array_equal(HashedWordVectors(size=8)(["a"]), extractor(["a"]))
    assert extractor([]).shape == (0, 8)
    for change in ({"name": "glove"}, {"version": 2}, {"color": "red"}):
        with pytest.raises(ValueError, match="Not a description"):
            HashedWordVectors.from_description(extractor.describe() | change)


def test_a_bare_string_is_refused(glove):
    for extractor in (HashedWordVectors(), WordVectors.from_glove(glove, {"the"})):
        with pytest.raises(ValueError, match="tokenize"):
            extractor("the cat")
