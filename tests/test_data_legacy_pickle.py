# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The restricted pickle reader: what plain unpickling gives for honest files, and nothing at all for the others."""

import collections
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from mm_affect.data import read_pickle


REALDATA = Path(os.environ.get("MM_AFFECT_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))


def same(left, right) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and same(left.tolist(), right.tolist())
    return left == right


shared = np.arange(6.0).reshape(2, 3)
HONEST = {
    "train": {"text": np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32), "id": ["a", "b"]},
    "order": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "big endian": np.arange(4, dtype=">i4"),
    "texts": np.array(["so", "goes"]),
    "bytes": np.array([b"so", b"it"]),
    "flags": np.array([True, False]),
    "half": np.arange(3, dtype=np.float16),
    "empty": np.zeros((0, 3)),
    "zero rank": np.array(1.5),
    "scalars": [np.float32(1.5), np.int64(-2), np.bool_(True), 1, 2.5, 1j, None, True, b"x", "\u00e9", 10**30],
    "objects": np.array([np.arange(2), None, "x", [np.arange(3)]], dtype=object),
    "shared": [shared, (shared, {"again": shared})],
    "type": np.dtype("float32"),
    "sets": {1, 2},
    "ordered": collections.OrderedDict(a=np.arange(2)),
    "default": collections.defaultdict(list, a=[np.arange(2)]),
    "array of bytes": bytearray(b"abc"),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("rename", [False, True])
def test_honest_files_read_as_plain_unpickling_reads_them(tmp_path, protocol, rename):
    path = tmp_path / "a.pkl"
    for name, value in HONEST.items():
        content = pickle.dumps(value, protocol)
        expected = pickle.loads(content)
        if rename and protocol < 4:  # as numpy before 2.0 wrote it (later protocols store the length of the name)
            content = content.replace(b"cnumpy._core.", b"cnumpy.core.")
        path.write_bytes(content)
        assert same(read_pickle(path), expected), name


def test_arrays_that_are_one_stay_one_and_can_be_written(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([shared, shared]))
    first, second = read_pickle(tmp_path / "a.pkl")
    first[0, 0] = 7.0
    assert second[0, 0] == 7.0
    loop = []
    loop.append(loop)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(loop))
    again = read_pickle(tmp_path / "a.pkl")
    assert again[0] is again


def test_a_file_of_python_2(tmp_path):
    """{'a': array([1., 2.]), 'b': 'caf\\xe9'} as Python 2.7 and numpy 1.x pickle it with protocol 2."""
    data = struct.pack("<2d", 1.0, 2.0)
    content = (
        b"\x80\x02}q\x00(U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04U\x01bq\x05"
        b"\x87q\x06Rq\x07(K\x01K\x02\x85q\x08cnumpy\ndtype\nq\tU\x02f8q\nK\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01<q\rNNNJ\xff\xff\xff"
        b"\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x10" + data + b"q\x0ftq\x10bU\x01bU\x04caf\xe9u."
    )
    (tmp_path / "a.pkl").write_bytes(content)
    assert same(read_pickle(tmp_path / "a.pkl"), {"a": np.array([1.0, 2.0]), "b": "caf\u00e9"})


def refuse(tmp_path, content: bytes, words: str):
    path = tmp_path / "bad.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_pickle(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"cos\nsystem\n(S'touch {target}'\ntR.", "asks for `os.system`"),
        (b"cposix\nsystem\n(S'touch {target}'\ntR.", "asks for `posix.system`"),
        (b"c__builtin__\neval\n(S'1'\ntR.", "asks for `builtins.eval`"),
        (b"cbuiltins\ngetattr\n(cbuiltins\nlist\nS'x'\ntR.", "asks for `builtins.getattr`"),
        (b"(S'touch {target}'\nios\nsystem\n.", "asks for `os.system`"),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94.", "asks for `os.system`"),
        (b"\x80\x04\x8c\x0dcollections\x00\x94.", "no pickle|truncated|damaged"),
        (b"cnumpy\nload\n(S'x'\ntR.", "asks for `numpy.load`"),
        (b"cnumpy.testing._private.utils\nrunstring\n.", "asks for `numpy.testing._private.utils.runstring`"),
        (b"cfunctools\npartial\n.", "asks for `functools.partial`"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n.", "asks for `torch._utils._rebuild_tensor_v2`"),
        (b"\x80\x02U\x01xQ.", "objects outside the file"),
        (b"cnumpy\ndtype\n(S'V8'\nI00\nI01\ntR.", "array of type 'V8'"),
        (b"cnumpy\ndtype\n(S'f8'\nI00\nI01\ntR(I3\nS'|'\nN(S'a'\nt(dI-1\nI-1\nI0\ntb.", "structured array"),
        (b"cnumpy.core.multiarray\n_reconstruct\n.", "holds a function as a value"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(dS'x'\nI1\nsb.", "gives a function a state"),
        (b"cnumpy\nndarray\n(I1000000000000\ntR.", "damaged or no pickle"),
        (b"cbuiltins\nbytearray\n(I1000000000000\ntR.", "bytearray of a given length"),
        (b"cbuiltins\nbytes\n(I1000000000000\ntR.", "bytes of a given length"),
        (b"", "is empty"),
        (b"not a pickle at all", "damaged or no pickle"),
        (b"PK\x03\x04", "zip archive"),
        (b"(" * 5, "truncated|damaged"),
        (b"\x80\x04" + b"]\x94" * 200_000 + b"a" * 199_999 + b".", "damaged or no pickle"),
    ],
)
def test_malicious_and_broken_files(tmp_path, content, words):
    target = tmp_path / "executed"
    refuse(tmp_path, content.replace(b"{target}", str(target).encode()), words)
    assert not target.exists()


class Evil:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_inside_honest_containers_is_not_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    for value in ({"train": [np.ones(2), Evil()]}, np.array([Evil()], dtype=object), np.ma.ones(3)):
        refuse(tmp_path, pickle.dumps(value, protocol), "asks for `")
    for value in (np.zeros(2, dtype=[("a", "O")]), np.array(["2020-01-01"], dtype="M8[D]")):
        refuse(tmp_path, pickle.dumps(value, protocol), "is not read: it holds an array")
    assert not (tmp_path / "executed").exists()


def test_a_forged_array_never_reads_bytes_as_pointers(tmp_path):
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I{}\n"
    head += b"tcnumpy\ndtype\n(S'{}'\nI00\nI01\ntR(I3\nS'|'\nNNNI-1\nI-1\nI63\ntbI00\nS'AAAAAAAA'\ntb."
    for count, code in ((b"1", b"O8"), (b"2", b"f8"), (b"99999999999", b"f8"), (b"-1", b"f8")):
        content = head.replace(b"{}", count, 1).replace(b"{}", code, 1)
        refuse(tmp_path, content, "without a proper type and shape|instead of")


def test_every_truncation_is_one_sentence(tmp_path):
    content = pickle.dumps({"a": np.arange(3), "b": ["x"]}, 4)
    for length in range(1, len(content)):
        refuse(tmp_path, content[:length], "bad.pkl is ")


@pytest.mark.skipif(not (REALDATA / "mosi" / "dev.pkl").exists(), reason="the real corpora are not on this machine")
def test_published_files():
    clips = read_pickle(REALDATA / "mosi" / "dev.pkl")
    assert len(clips) == 229
    (words, visual, audio, _), label, _ = clips[0]
    assert visual.shape == (len(words), 47) and audio.shape == (len(words), 74) and label.shape == (1, 1)
    folds = read_pickle(REALDATA / "mustard" / "split_indices.p")
    assert [(len(train), len(test)) for train, test in folds] == [(552, 138)] * 5
    pooled = read_pickle(REALDATA / "ravdess" / "au_mfcc.pkl")
    assert len(pooled) == 1440 and {array.shape for array in pooled.values()} == {(294,)}
