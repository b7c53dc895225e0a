# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The restricted reader of pickles and torch.save files: what plain loading gives for honest ones, nothing for others."""

import collections
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

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


TENSORS = {
    "float": torch.arange(24.0).reshape(2, 3, 4),
    "transposed": torch.arange(6.0).reshape(2, 3).t(),
    "part": torch.arange(10)[2:9:3],
    "no value": torch.zeros(0, 3),
    "zero rank": torch.tensor(1.5),
    "bfloat16": torch.tensor([1.5, -2.0, float("inf")], dtype=torch.bfloat16),
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "weights": torch.nn.Linear(2, 3).state_dict(),
    "shape": torch.Size((2, 3)),
    "beside": [np.arange(3), "text", {"tgt": [2, 4, 3]}, {"again": torch.ones(2)}],
}
KINDS = (torch.float64, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
TENSORS |= {str(kind): torch.tensor([0, 1, 1], dtype=kind) for kind in (*KINDS, torch.complex64, torch.complex128)}


def without_torch(value):
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if isinstance(value, dict):
        return type(value)((key, without_torch(item)) for key, item in value.items())
    return [without_torch(item) for item in value] if isinstance(value, list) else value


def write_torch(path: Path, value, form: str) -> None:
    if form == "pickle":
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=form == "zip")


each_form = pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])


@each_form
def test_tensors_come_as_arrays(tmp_path, form):
    write_torch(tmp_path / "a.pt", TENSORS, form)
    found = read_pickle(tmp_path / "a.pt")
    for name, value in TENSORS.items():
        assert same(found[name], without_torch(value)), name


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_tensors_of_one_storage_are_views_of_one(tmp_path, form):
    base = torch.arange(12.0).reshape(3, 4)
    write_torch(tmp_path / "a.pt", [base, base[1:], base.t(), base], form)
    whole, part, turned, again = read_pickle(tmp_path / "a.pt")
    whole[1, 2] = 70.0
    assert part[0, 2] == turned[2, 1] == 70.0 and again is whole


@each_form
def test_code_beside_tensors_is_not_run(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    for value in ({"a": torch.ones(2), "b": Evil()}, [torch.nn.Linear(2, 2)], torch.ones(2).to_sparse()):
        write_torch(tmp_path / "bad.pt", value, form)
        with pytest.raises(ValueError, match="asks for `"):
            read_pickle(tmp_path / "bad.pt")
    assert not (tmp_path / "executed").exists()


@each_form
def test_every_truncation_of_a_torch_file_is_one_sentence(tmp_path, form):
    write_torch(tmp_path / "a.pt", {"a": torch.arange(3)}, form)
    content = (tmp_path / "a.pt").read_bytes()
    for length in range(1, len(content), 3):
        refuse(tmp_path, content[:length], "bad.pkl is ")


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
        (b"PK\x03\x04", "damaged or no pickle .*zip file"),
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
