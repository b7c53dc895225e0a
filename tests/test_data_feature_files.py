# Copyright 2026 The mm_affect authors. Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Feature files: every format reads to the same array; every fault is one sentence; nothing is unpickled."""

import io
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from mm_affect.data import read_features


VALUES = np.array([[0.5, -1.0, np.nan], [2.0, np.inf, 3.0]], dtype=np.float32)


def write_h5(path, values, name="d1"):
    h5py = pytest.importorskip("h5py", reason="h5py is an optional extra")
    with h5py.File(path, "w") as file:
        file[f"group/{name}"] = values


WRITERS = {
    "npy": np.save,
    "npz": lambda path, values: np.savez(path, x=values),
    "csv": lambda path, values: np.savetxt(path, values, delimiter=","),
    "h5": write_h5,
    "safetensors": lambda path, values: save_file({"x": np.ascontiguousarray(values)}, path),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_reads_the_same(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](path, VALUES)
    read = read_features(path, size=3)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, VALUES)  # NaN and infinity are kept for the writer of rows to count


@pytest.mark.parametrize("kind", WRITERS)
def test_a_torn_or_empty_file_is_one_sentence(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](path, np.arange(3000.0).reshape(300, 10))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2] if kind != "csv" else whole[: len(whole) // 2] + b",x", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"a.{kind}") as caught:
            read_features(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "safetensors"])
@pytest.mark.parametrize(("values", "words"), [(np.ones((2, 3, 4)), "shape"), (np.ones((0, 3)), "empty")])
def test_wrong_shapes(tmp_path, kind, values, words):
    path = tmp_path / f"a.{kind}"
    WRITERS[kind](path, values)
    with pytest.raises(ValueError, match=words):
        read_features(path)


def test_a_vector_is_one_step_and_sizes_must_agree(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5))
    assert read_features(tmp_path / "a.npy").shape == (1, 5)
    with pytest.raises(ValueError, match="has 5 features per step; the other files of this modality have 4"):
        read_features(tmp_path / "a.npy", size=4)


def test_what_is_not_numbers_is_refused(tmp_path):
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    with pytest.raises(ValueError, match="must be real numbers"):
        read_features(tmp_path / "text.npy")
    np.save(tmp_path / "complex.npy", np.ones((2, 2), dtype=complex))
    with pytest.raises(ValueError, match="must be real numbers"):
        read_features(tmp_path / "complex.npy")
    (tmp_path / "a.csv").write_text("1,2\n3,four\n")
    with pytest.raises(ValueError, match="four"):
        read_features(tmp_path / "a.csv")
    with pytest.raises(ValueError, match="is no feature file"):
        read_features(tmp_path / "a.txt")


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def test_pickled_objects_are_refused_without_being_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", np.array([Bomb()], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match="allow_pickle=False"):
            read_features(tmp_path / name)


def test_csv_with_a_header_and_archives_with_several_arrays(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufefff0,f1\n1,2\n3,4\n".encode())
    np.testing.assert_array_equal(read_features(tmp_path / "a.csv"), [[1, 2], [3, 4]])
    np.savez(tmp_path / "a.npz", features=np.ones((2, 2)), times=np.ones(2))
    assert read_features(tmp_path / "a.npz").shape == (2, 2)
    np.savez(tmp_path / "a.npz", x=np.ones((2, 2)), times=np.ones(2))
    with pytest.raises(ValueError, match="expected one, or one named 'features'"):
        read_features(tmp_path / "a.npz")


def declared(shape, kind="<f4", content=b"") -> bytes:
    """The bytes of an array file with a true header and whatever content."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


@pytest.mark.parametrize("kind", ["npy", "npz"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (declared((10**9, 10**4)), "more than the 1073741824 bytes"),
        (declared((2**62, 2**62)), "more than the"),
        (declared((2**29, 1), "|u1"), "more than the"),  # it would be 2 GiB as float32
        (declared((10**12,), "|S0"), "more than the"),
        (declared((100, 10), content=bytes(3999)), "holds"),
        (declared((-1, 10), content=bytes(400)), "expected dimensions of 0 or more"),
        (b"\x93NUMPY\x07\x00" + bytes(100), "version"),
    ],
)
def test_a_declared_shape_is_checked_before_memory_is_taken(tmp_path, monkeypatch, kind, content, words):
    path = tmp_path / f"a.{kind}"
    if kind == "npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("the array was read"))
    with pytest.raises(ValueError, match=words) as caught:
        read_features(path)
    assert "\n" not in str(caught.value)


def test_a_small_archive_does_not_expand_without_bound(tmp_path, monkeypatch):
    monkeypatch.setattr("mm_affect.data.readers.feature_files.MAX_CLIP_BYTES", 2**20)
    np.savez_compressed(tmp_path / "a.npz", np.zeros((2**11, 2**7), dtype=np.float32))
    assert read_features(tmp_path / "a.npz").shape == (2**11, 2**7)  # exactly the limit
    np.savez_compressed(tmp_path / "b.npz", np.zeros((2**11 + 1, 2**7), dtype=np.float32))
    assert (tmp_path / "b.npz").stat().st_size < 2**13
    with pytest.raises(ValueError, match="more than the 1048576 bytes that one clip may have"):
        read_features(tmp_path / "b.npz")


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_a_damaged_byte_is_one_sentence_or_harmless(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    values = np.random.default_rng(0).normal(size=(20, 5))
    np.savez_compressed(path, values) if kind == "npz" else write_h5(path, values)
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            read_features(path)
        except ValueError as error:
            assert f"a.{kind}" in str(error) and "\n" not in str(error)


def test_h5_files_are_bounded_and_hold_their_own_values(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is an optional extra")
    (tmp_path / "secret.bin").write_bytes(bytes(80))

    def virtual(file):
        layout = h5py.VirtualLayout((2, 5), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "d1", (2, 5))
        file.create_virtual_dataset("x", layout)

    cases = {
        "kept in another file": lambda file: file.create_dataset(
            "x", (2, 5), "f8", external=[(str(tmp_path / "secret.bin"), 0, 80)]
        ),
        "its values are kept in another file": virtual,
        "more than the": lambda file: file.create_dataset("x", (10**9, 10**4), "f4", chunks=(100, 100)),
        r"declares shape \(1024, 1048575\)": lambda file: file.create_dataset(
            "x", (2, 5), "f4", chunks=(2**10, 2**20 - 1), maxshape=(None, None)
        ),
        "must be real numbers": lambda file: file.create_dataset("x", data=["a", "b"]),
    }
    for number, (words, write) in enumerate(cases.items()):
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            write(file)
        with pytest.raises(ValueError, match=words):
            read_features(path)
