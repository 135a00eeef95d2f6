"""The MATLAB reader agrees with what scipy writes, and never fails but by its own error."""

import io
import random
import zlib
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from train.data.mat5 import Mat5Error, decode, variables


def saved(compressed: bool, **values: Any) -> bytes:
    stream = io.BytesIO()
    savemat(stream, values, do_compression=compressed)
    return stream.getvalue()


def read(data: bytes) -> dict[str, Any]:
    return {variable.name: decode(variable) for variable in variables(data)}


def names(*words: str) -> Any:
    column = np.empty((len(words), 1), dtype=object)
    column[:, 0] = words
    return column


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (3, 5), (2, 3, 4)])
def test_numbers_keep_values_type_and_shape(
    dtype: str, shape: tuple[int, ...], compressed: bool
) -> None:
    values = np.random.default_rng(1).integers(0, 100, shape).astype(dtype)
    found = read(saved(compressed, a=values, b=np.zeros((1, 1))))["a"]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("compressed", [False, True])
def test_cells_of_text(compressed: bool) -> None:
    found = read(saved(compressed, a=names("c1s1_1", "é", "")))["a"]
    assert found.shape == (3, 1)
    assert [list(cell.ravel()) for cell in found[:, 0]] == [["c1s1_1"], ["é"], []]


def test_rows_of_characters() -> None:
    assert list(read(saved(False, a=["one", "three"]))["a"]) == ["one  ", "three"]


def test_big_endian_numbers() -> None:
    little = saved(False, a=np.array([[258.0]]))
    body = b"".join(
        int.from_bytes(little[at : at + 4], "little").to_bytes(4, "big")
        for at in range(128, 176, 4)
    )
    # Header words are four bytes each; the name and the number follow in their own order.
    name = (1 << 16 | 1).to_bytes(4, "big") + b"a\0\0\0"
    number = (9).to_bytes(4, "big") + (8).to_bytes(4, "big") + np.array(258.0, ">f8").tobytes()
    data = little[:124] + b"\x01\x00MI" + body[:40] + name + number
    assert read(data)["a"] == 258


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "0 bytes are too few"),
        (b"just some text" * 20, "not a MATLAB 5 file"),
        (b"MATLAB 7.3 MAT-file".ljust(512), r"MATLAB 7\.3 \(HDF5\) file; save it with -v7"),
        (saved(False, a=np.eye(3))[:-20], "cut short: 120 bytes wanted, 100 left"),
        (saved(True, a=np.eye(3))[:-4], "cut short"),
        (saved(False, a={"field": 1}), "a structure is not read"),
        (saved(False, a=np.array([[1j]])), "variable 'a': complex numbers are not read"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, fault: str) -> None:
    with pytest.raises(Mat5Error, match=fault):
        read(data)


def test_compressed_rubbish_is_refused() -> None:
    whole = saved(True, a=np.eye(3))
    packed = zlib.compress(b"x" * 40)[:-6]
    tag = (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little")
    with pytest.raises(Mat5Error, match="compressed data is cut short"):
        read(whole[:128] + tag + packed)
    with pytest.raises(Mat5Error, match="damaged compressed data"):
        read(whole[:128] + tag + b"?" * len(packed))


def test_cells_nested_too_deep_are_refused() -> None:
    value: Any = np.eye(2)
    for _ in range(12):
        outer = np.empty((1, 1), dtype=object)
        outer[0, 0] = value
        value = outer
    with pytest.raises(Mat5Error, match="inside 8 others"):
        read(saved(False, a=value))


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_is_read_or_refused_but_never_anything_else(compressed: bool) -> None:
    whole = saved(
        compressed, n=names("c1s1_1", "c1s1_2"), b=np.arange(10.0).reshape(2, 5), t=["ab", "c"]
    )
    refused = 0
    for seed in range(3000):
        rng = random.Random(seed)
        data = bytearray(whole)
        if seed % 3 == 0:
            del data[rng.randrange(len(data)) :]
        for _ in range(rng.randint(0, 4) if data else 0):
            data[rng.randrange(len(data))] = rng.choice([rng.randrange(256), 0, 1, 127, 255])
        try:
            read(bytes(data))
        except Mat5Error:
            refused += 1
    assert refused > 1000
