# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Files made to attack their reader: nothing runs, nothing is written, memory stays bounded, the refused thing is named.

Every file is read in another process, which reports how much memory it took at most.
"""

import io
import json
import os
import pickle
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from fixture_layouts.csd import write_csd


MEGABYTES = 64  # that a file of this page, none over 2 MB, may take beyond what the reader itself takes
READ = """
import json, sys
from mm_affect.data import read_pickle
from mm_affect.data.readers.csd import ComputationalSequence

def read_csd(path):
    with ComputationalSequence(path) as sequence:
        for video in sequence.videos:
            sequence.texts(video) if sequence.is_text else sequence.features(video)
            sequence.intervals(video)

def peak():  # of this program alone: ru_maxrss begins with what the parent had
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024

try:
    import h5py
    read_pickle(__file__)
except ValueError:
    pass
before = peak()
for path in sys.argv[1:]:
    try:
        (read_csd if path.endswith(".csd") else read_pickle)(path)
        message = "read"
    except ValueError as error:
        message = str(error)
    print(json.dumps([path, message, peak() - before]))
"""


class Call:
    """What unpickles as `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def repeated(start: bytes, once: bytes, times: int) -> bytes:
    """A list of `start` (which ends as memo 0) and what `once` makes of it, again and again."""
    return b"\x80\x04](" + start + b"q\x00" + once * times + b"e."


def text(length: int) -> bytes:
    return b"X" + struct.pack("<I", length) + b"a" * length


def laughs(open_: bytes, close: bytes, levels: int = 60) -> bytes:
    """Ten of ten of ten ..., each level a few bytes in the file and ten times the last in print."""
    content = b"\x80\x04X\x03\x00\x00\x00lolq\x00"
    for level in range(levels):
        content += open_ + (b"h" + bytes([level])) * 10 + close + b"q" + bytes([level + 1])
    return content + b"."


def array(shape: bytes, kind: bytes, data: bytes) -> bytes:
    head = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(" + shape + b"t"
    return head + b"cnumpy\ndtype\n(S'" + kind + b"'\nI00\nI01\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\n" + data + b"tb"


def torch_zip(contents: bytes, members: dict[str, bytes] | None = None, **options) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        archive.writestr("a/data.pkl", contents)
        for name, data in ({"a/data/0": b"\0" * 16} | (members or {})).items():
            archive.writestr(name, data)
    return file.getvalue()


def tensor(count: int, offset: int, shape: tuple, strides: tuple, reference: tuple = ()) -> bytes:
    """The contents of a file with one tensor over storage "0" of `count` floats."""

    class Reference:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return (
                reference or ("storage", torch.FloatStorage, "0", "cpu", count)
                if isinstance(value, Reference)
                else None
            )

    file = io.BytesIO()
    Pickler(file, 2).dump(Call(torch._utils._rebuild_tensor_v2, Reference(), offset, shape, strides, False, None))
    return file.getvalue()


def torch_legacy(contents: bytes, keys=("0",), count: int = 4, data: bytes = b"\0" * 16) -> bytes:
    header = [torch.serialization.MAGIC_NUMBER, 1001, {"little_endian": True}]
    return (
        b"".join(pickle.dumps(part, 2) for part in header)
        + contents
        + pickle.dumps(list(keys), 2)
        + struct.pack("<q", count)
        + data
    )


def symlink() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo("a/data/0")
        member.external_attr = 0o120777 << 16
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr(member, "/etc/passwd")
    return file.getvalue()


def overlapping() -> bytes:
    """A thousand names for the same megabyte."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", b"N.")
        archive.writestr("a/data/0", b"\0" * 2**20)
        last = archive.filelist[-1]
        for number in range(1, 1000):
            again = zipfile.ZipInfo(f"a/data/{number}")
            again.header_offset, again.file_size, again.compress_size, again.CRC = (
                last.header_offset, last.file_size, last.compress_size, last.CRC,
            )  # fmt: skip
            archive.filelist.append(again)
    return file.getvalue()


def attacks(canary: str) -> dict[str, tuple[bytes, str]]:
    """Name -> (file, words of the refusal; "read" where the file may be read, because it is harmless)."""
    touch = f"touch {canary}"
    code = f"open({canary!r}, 'w')"
    evil = Call(os.system, touch)
    saved, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.ones(2), "b": evil}, saved)
    torch.save([torch.nn.Linear(1, 1), evil], legacy, _use_new_zipfile_serialization=False)
    chain = b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'" + touch.encode() + b"'\ntR."
    one = tensor(4, 0, (4,), (1,))
    found = {
        # code
        "system": (pickle.dumps(evil), "asks for `posix.system`"),
        "eval": (pickle.dumps(Call(eval, code)), "asks for `builtins.eval`"),
        "exec": (pickle.dumps(Call(exec, code)), "asks for `builtins.exec`"),
        "import": (pickle.dumps(Call(__import__, "os")), "asks for `builtins.__import__`"),
        "chain": (chain, "asks for `builtins.getattr`"),
        "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x0ef2py.os.system\x93.", "asks for `numpy.f2py.os.system`"),
        "objects": (pickle.dumps(np.array([1, [evil]], dtype=object)), "asks for `posix.system`"),
        "object of newobj": (b"\x80\x04cbuiltins\nobject\n)\x81.", "asks for `builtins.object`"),
        "instance": (b"(S'" + touch.encode() + b"'\nios\nsystem\n.", "asks for `os.system`"),
        "extension": (b"\x80\x02\x82\x01.", "registered as extension 1"),
        "extension of two bytes": (b"\x80\x02\x83\x01\x01.", "registered as extension 257"),
        "extension of four bytes": (b"\x80\x02\x84\x01\x00\x01\x00.", "registered as extension 65537"),
        "nested": (pickle.dumps(Call(pickle.loads, pickle.dumps(evil))), "asks for `_pickle.loads`"),
        "nested bytes": (pickle.dumps({"inner": pickle.dumps(evil)}), "read"),
        "nested storage": (
            pickle.dumps(Call(torch.storage._load_from_bytes, pickle.dumps(evil))), "asks for `posix.system`"),
        # what a file may do with the parts it is given
        "state of a class": (b"ccollections\nOrderedDict\n(dS'items'\nI1\nsb.", "gives a function a state"),
        "attribute of a class": (b"cbuiltins\nset\n(N(dS'__reduce__'\nI1\nstb.", "gives a function a state"),
        "attribute of an object": (b"ccollections\nOrderedDict\n)R(dS'items'\nI1\nsb.", "read"),
        "state of a list": (b"](dS'append'\nI1\nsb.", "AttributeError"),
        "state of a type": (b"cnumpy\ndtype\n(S'f8'\nI00\nI01\ntR(dS'type'\nI1\nsb.", "structured array"),
        "state of a tensor": (torch_zip(one[:-1] + b"(dS'shape'\nI1\nsb."), "gives a tensor a state"),
        "function as a key": (b"}cbuiltins\nset\nI1\ns.", "unhashable"),
        "function in a set": (b"\x80\x04\x8f(cbuiltins\nset\n\x90.", "unhashable"),
        # torch
        "zip": (saved.getvalue(), "asks for `posix.system`"),
        "legacy": (legacy.getvalue(), "refers to a `module`|asks for `torch.nn.modules.linear.Linear`"),
        "hostile storage": (torch_legacy(b"\x80\x02(S'storage'\ncos\nsystem\nS'0'\nS'cpu'\nI4\ntQ."), "asks for `os.system`"),
        "storage of a text": (torch_zip(tensor(4, 0, (4,), (1,), ("storage", "os.system", "0", "cpu", 4))), "without a proper type"),
        "module": (torch_zip(tensor(4, 0, (4,), (1,), ("module", "os", "a.py", "import os"))), "refers to a `module`"),
        "reference of text": (torch_zip(b"Pfile:///etc/passwd\n."), "objects outside the file"),
        "reference without a file": (tensor(4, 0, (4,), (1,)), "objects outside the file"),
        "key that leads out": (torch_zip(tensor(4, 0, (4,), (1,), ("storage", "torch.FloatStorage", "../data.pkl", "cpu", 4))), "is missing"),
        # more than there is
        "array": (array(b"I1000000\nI1000000\n", b"f8", b"S'AAAAAAAA'\n") + b".", "comes with 8 values"),
        "array of nothing": (array(b"I1000000\nI1000000\n", b"S0", b"S''\n") + b".", "whose values have no size"),
        "array of pointers": (array(b"I1\n", b"O8", b"S'AAAAAAAA'\n") + b".", "instead of 1"),
        "bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 2**36) + b"a.", "damaged|truncated"),
        "array of bytes": (b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b"a.", "damaged|truncated"),
        "text": (b"\x80\x04\x8d" + struct.pack("<Q", 2**36) + b"a.", "damaged|truncated"),
        "number": (b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b"a.", "damaged|truncated|read"),
        "frame": (b"\x80\x04\x95" + struct.pack("<Q", 2**36) + b"N.", "damaged|truncated|read"),
        "bytes by call": (pickle.dumps(Call(bytes, 2**36)), "bytes of a given length"),
        "memo": (b"\x80\x02Nr\xff\xff\xff\x7f.", "read"),
        "tensor": (torch_zip(tensor(4, 0, (2**20, 2**19), (0, 0))), "does not fit its storage of 4 values"),
        "tensor beyond": (torch_zip(tensor(4, 2, (3,), (1,))), "from value 2, which does not fit"),
        "tensor with strides beyond": (torch_legacy(tensor(4, 0, (2, 2), (1, 3))), r"the strides \(1, 3\)"),
        "tensor before": (torch_zip(tensor(4, -1, (2,), (1,))), "without a proper storage, shape and strides"),
        "tensor backwards": (torch_zip(tensor(4, 3, (2,), (-1,))), "without a proper storage, shape and strides"),
        "storage": (torch_zip(tensor(2**36, 0, (2,), (1,))), "has 16 bytes instead of"),
        "legacy storage": (torch_legacy(tensor(2**36, 0, (2,), (1,)), count=2**36), "truncated"),
        "legacy storage of another size": (torch_legacy(tensor(4, 0, (2,), (1,)), count=2**36), "instead of 4"),
        "legacy storage that is missing": (torch_legacy(tensor(4, 0, (2,), (1,)), keys=()), "a storage is missing"),
        "legacy storage of nothing": (torch_legacy(b"N.", keys=["7"]), "belongs to no tensor"),
        # the same again and again
        "laughs of lists": (laughs(b"](", b"e"), "read"),
        "laughs of tuples": (laughs(b"(", b"t"), "read"),
        "laughs in a message": (laughs(b"](", b"e", 30)[:-1] + b"cnumpy\ndtype\nh\x1e\x85R.", "array of type a list"),
        "texts": (repeated(text(2**16), b"c_codecs\nencode\n(h\x00S'latin1'\ntR", 20_000), "a memory bomb"),
        "lists": (repeated(b"](" + b"N" * 2**16 + b"e", b"cbuiltins\nlist\n(h\x00tR", 20_000), "a memory bomb"),
        "sets": (repeated(b"](" + b"N" * 2**16 + b"e", b"cbuiltins\nset\n(h\x00tR", 20_000), "a memory bomb"),
        "arrays": (repeated(text(2**16), array(b"I65536\n", b"i1", b"h\x00"), 5000), "a memory bomb"),
        # archives
        "zip bomb": (torch_zip(b"N.", {"a/data/1": b"\0" * 10**8}, compression=zipfile.ZIP_DEFLATED), "'a/data.pkl' is compressed|zip bomb"),
        "overlapping members": (overlapping(), "larger than the file"),
        "parent": (torch_zip(b"N.", {"a/../../" + Path(canary).name: b"x"}), "leads out of the archive"),
        "absolute": (torch_zip(b"N.", {canary: b"x"}), "leads out of the archive"),
        "backslashes": (torch_zip(b"N.", {"..\\x": b"x"}), "leads out of the archive"),
        "drive": (torch_zip(b"N.", {"c:x": b"x"}), "leads out of the archive"),
        "symlink": (symlink(), "symbolic link, 'a/data/0'"),
        "two contents": (torch_zip(b"N.", {"b/data.pkl": b"N."}), "none that torch.save wrote"),
    }  # fmt: skip
    with pytest.warns(UserWarning, match="Duplicate name"):
        found["same name"] = torch_zip(b"N.", {"a/data.pkl": b"N."}), "two members of the name 'a/data.pkl'"
    return found


def write_csd_attacks(folder: Path, secret: Path) -> dict[str, str]:
    """File name -> words of the refusal."""
    times = np.array([[0.0, 1.0]])

    def change(name, part, make):
        path = write_csd(folder / name, "x", {"v": (np.ones((1, 2)), times)})
        with h5py.File(path, "a") as file:
            del file["x/data/v"][part]
            make(file["x/data/v"], part)

    def heap(group, part):  # 100,000 words that are all the same megabyte of the file
        words = group.create_dataset(part, (100_000, 1), h5py.string_dtype())
        words[0] = "a" * 2**20
        words[1:] = "b"
        place = words.id.get_offset()
        del group["intervals"]
        group["intervals"] = np.zeros((100_000, 2))
        group.file.flush()
        with open(group.file.filename, "r+b") as file:
            file.seek(place)
            pointer = file.read(16)
            file.seek(place)
            file.write(pointer * 100_000)

    layout = h5py.VirtualLayout((1, 2), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "x", (1, 2))
    changes = {
        "shape": (
            "features",
            lambda g, n: g.create_dataset(n, (2**20, 2**16), "f4", chunks=(16, 16)),
            r"declares shape \(1048576, 65536\)",
        ),
        "chunk": (
            "features",
            lambda g, n: g.create_dataset(
                n, data=np.ones((1, 2)), maxshape=(None, 2), chunks=(2**24, 2), compression="gzip"
            ),
            "in chunks of 268435456 bytes",
        ),
        "heap": ("features", heap, "more than 16777216 bytes of text"),
        "external": (
            "features",
            lambda g, n: g.create_dataset(n, (1, 2), "f8", external=[(str(secret), 0, 16)]),
            "kept in another file",
        ),
        "virtual": ("features", lambda g, n: g.create_virtual_dataset(n, layout), "kept in another file"),
        "link": ("features", lambda g, n: g.__setitem__(n, h5py.ExternalLink(str(secret), "/x")), "link to elsewhere"),
        "loop": ("features", lambda g, n: g.__setitem__(n, h5py.SoftLink("/x/data/v")), "link to elsewhere"),
        "objects": (
            "features",
            lambda g, n: g.create_dataset(n, data=[[g.ref, g.ref]], dtype=h5py.ref_dtype),
            "holds object, no",
        ),
    }
    for name, (part, make, _) in changes.items():
        change(f"{name}.csd", part, make)
    return {f"{name}.csd": words for name, (_, _, words) in changes.items()}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of one program")
def test_nothing_runs_nothing_is_written_and_memory_is_bounded(tmp_path):
    inside, secret, canary = tmp_path / "files", tmp_path / "secret", tmp_path / "canary"
    inside.mkdir()
    secret.write_bytes(b"s" * 64)
    expected = {}
    for name, (content, words) in attacks(str(canary)).items():
        (inside / name).write_bytes(content)
        assert len(content) < 2 * 2**20, name
        expected[name] = words
    expected |= write_csd_attacks(inside, secret)
    before = sorted(tmp_path.rglob("*"))
    reader = tmp_path.parent / f"{tmp_path.name}-read.py"
    reader.write_text(READ)
    environment = {
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
        "PATH": os.environ["PATH"],
        "OMP_NUM_THREADS": "1",
    }
    result = subprocess.run([sys.executable, str(reader), *expected], cwd=inside, env=environment, capture_output=True,
                            text=True, timeout=120)  # fmt: skip
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [name for name, *_ in lines] == list(expected), result.stderr
    wrong = []
    for name, message, grown in lines:
        fits = re.search(expected[name], message)
        if not fits or "\n" in message or len(message) > 600 or grown > MEGABYTES:
            wrong.append((name, message, round(grown)))
    assert not wrong, "\n".join(map(str, wrong))
    assert sorted(tmp_path.rglob("*")) == before and not canary.exists()
