"""The MATLAB reader agrees with what scipy writes, and never fails but by its own error."""

import io
import random
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from train.data.mat5 import Mat5Error, decode, records, variables


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
        (saved(False, a=np.array([[1j]])), "variable 'a': complex numbers are not read"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, fault: str) -> None:
    with pytest.raises(Mat5Error, match=fault):
        read(data)


def compressed_element(data: bytes, packed: bytes) -> bytes:
    """Return a file with the header of another and one compressed variable."""
    tag = (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little")
    return data[:128] + tag + packed


def test_compressed_rubbish_is_refused() -> None:
    whole = saved(True, a=np.eye(3))
    inner = zlib.decompress(whole[136:])
    for damaged, fault in [
        (zlib.compress(inner)[:-6], "compressed data is cut short"),
        (zlib.compress(inner)[:-2], "compressed data is cut short: no checksum at its end"),
        (zlib.compress(inner[:-8]), "compressed data is cut short: 72 bytes wanted, 64 left"),
        (zlib.compress(inner + b"more"), "compressed data goes on behind the variable"),
        (zlib.compress(inner)[:-1] + b"!", r"damaged compressed data \(.*check"),
        (b"?" * 40, "variable at byte 128: damaged compressed data"),
        (zlib.compress(b"x" * 40), "element of type 2021161080 where a variable should be"),
    ]:
        with pytest.raises(Mat5Error, match=fault):
            read(compressed_element(whole, damaged))


def test_a_length_that_lies_takes_no_memory() -> None:
    inner = bytearray(zlib.decompress(saved(True, a=np.zeros((1, 5000), np.uint8))[136:]))
    inner[4:8] = (0xFFFFFFF0).to_bytes(4, "little")
    inner[52:56] = (0x7FFFFFF0).to_bytes(4, "little")
    data = compressed_element(saved(True, a=np.eye(3)), zlib.compress(bytes(inner)))
    with pytest.raises(Mat5Error, match="element of 2147483632 bytes, more than 1073741824"):
        read(data)


def fields(**values: Any) -> Any:
    """Return a structure array (1, N) of lists of values of the same length N."""
    count = len(next(iter(values.values())))
    array = np.empty((1, count), dtype=[(name, object) for name in values])
    for number in range(count):
        array[0, number] = tuple(column[number] for column in values.values())
    return array


@pytest.mark.parametrize("compressed", [False, True])
def test_structures_nested_and_empty(compressed: bool) -> None:
    boxes = fields(idlocate=[np.array([[1, 2, 3, 400]], np.uint16), np.zeros((0, 0))])
    empty = np.zeros((0, 0))
    row = fields(imname=["s1.jpg", "s10.jpg"], nAppear=[2, np.int32(-7)], box=[boxes, empty])
    found = read(saved(compressed, Img=row, after=np.eye(2)))
    assert found["after"].tolist() == [[1, 0], [0, 1]]
    first, second = found["Img"][0]
    assert list(first) == ["imname", "nAppear", "box"]
    assert (first["imname"][0], second["imname"][0]) == ("s1.jpg", "s10.jpg")
    assert (first["nAppear"].item(), second["nAppear"].item()) == (2, -7)
    assert second["nAppear"].dtype == np.int32
    inner = first["box"][0, 0]["idlocate"]
    assert inner.tolist() == [[1, 2, 3, 400]]
    assert inner.dtype == np.uint16
    assert first["box"][0, 1]["idlocate"].shape == second["box"].shape == (0, 0)


def test_structures_agree_with_scipy() -> None:
    rng = np.random.default_rng(5)
    sizes = rng.integers(0, 4, 40)
    boxes = [rng.integers(0, 2000, (n, 4)).astype(np.uint16) for n in sizes]
    data = saved(True, a=fields(name=[f"s{n}.jpg" for n in range(40)], boxes=boxes))
    expected = loadmat(io.BytesIO(data))["a"][0]
    for ours, theirs in zip(read(data)["a"][0], expected, strict=True):
        assert ours["name"][0] == theirs["name"][0]
        np.testing.assert_array_equal(ours["boxes"], theirs["boxes"])
        assert ours["boxes"].dtype == theirs["boxes"].dtype


def gone_through(data: bytes) -> list[Any]:
    (variable,) = variables(data)
    return [row["n"].item() for row in records(variable)]


def test_structures_one_at_a_time_in_order_of_columns() -> None:
    array = np.array([[(1,), (3,)], [(2,), (4,)]], dtype=[("n", "f8")])
    assert gone_through(saved(True, a=array)) == [1, 2, 3, 4]
    column = np.empty((2, 1), dtype=object)
    column[:, 0] = [fields(n=[8]), fields(n=[9])]
    assert gone_through(saved(True, a=column)) == [8, 9]


def test_what_is_not_structures_is_not_gone_through() -> None:
    with pytest.raises(Mat5Error, match="want structures"):
        gone_through(saved(True, a=np.eye(2)))
    cells = np.empty((2, 1), dtype=object)
    cells[:, 0] = [fields(n=[8]), "text"]
    data = saved(True, a=cells)
    with pytest.raises(Mat5Error, match=r"\{2\}: want one structure"):
        gone_through(data)


def test_large_lists_are_gone_through_in_little_memory() -> None:
    numbers = np.random.default_rng(1).integers(0, 9, (1, 2000)).astype(float)
    data = saved(True, a=fields(n=[numbers + k for k in range(500)]))
    tracemalloc.start()
    (variable,) = variables(data)
    assert sum(row["n"].shape == (1, 2000) for row in records(variable)) == 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500 * numbers.nbytes / 5


def test_a_fault_inside_structures_is_placed() -> None:
    data = bytearray(saved(False, a=fields(one=[1, 2], two=[np.eye(2), np.eye(3)])))
    place = data.rindex((72).to_bytes(4, "little"))
    data[place - 4 : place] = (99).to_bytes(4, "little")
    with pytest.raises(Mat5Error, match=r"\(2\)\.two: element of type 99 where numbers should be"):
        read(bytes(data))


def element(kind: int, payload: bytes) -> bytes:
    tag = kind.to_bytes(4, "little") + len(payload).to_bytes(4, "little")
    return tag + payload + bytes(-len(payload) % 8)


@pytest.mark.parametrize("names", [b"", b"n"])
def test_structures_that_are_not_there_are_not_counted_to_the_end_of_time(names: bytes) -> None:
    flags, shape = np.array([2, 0], "<u4").tobytes(), np.array([2**31 - 1, 1], "<i4").tobytes()
    fields_of = element(5, (1).to_bytes(4, "little")) + element(1, names)
    matrix = element(6, flags) + element(5, shape) + element(1, b"a") + fields_of
    with pytest.raises(Mat5Error, match="2147483647 fields of structures in 0 bytes"):
        read(saved(False, a=np.eye(1))[:128] + element(14, matrix))


def test_cells_nested_too_deep_are_refused() -> None:
    value: Any = np.eye(2)
    for _ in range(12):
        outer = np.empty((1, 1), dtype=object)
        outer[0, 0] = value
        value = outer
    with pytest.raises(Mat5Error, match="inside 8 others"):
        read(saved(False, a=value))


def damaged(whole: bytes, seed: int) -> bytes:
    """Return a file cut short, with bytes changed, or both."""
    rng = random.Random(seed)
    data = bytearray(whole)
    if seed % 3 == 0:
        del data[rng.randrange(len(data)) :]
    for _ in range(rng.randint(0, 4) if data else 0):
        data[rng.randrange(len(data))] = rng.choice([rng.randrange(256), 0, 1, 127, 255])
    return bytes(data)


def refusals(whole: bytes, seeds: int) -> int:
    """Return how many damaged copies are refused; the others must be read."""
    refused = 0
    for seed in range(seeds):
        try:
            read(damaged(whole, seed))
        except Mat5Error:
            refused += 1
    return refused


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_is_read_or_refused_but_never_anything_else(compressed: bool) -> None:
    whole = saved(
        compressed, n=names("c1s1_1", "c1s1_2"), b=np.arange(10.0).reshape(2, 5), t=["ab", "c"]
    )
    assert refusals(whole, 1500) > 500


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_to_structures(compressed: bool) -> None:
    box = fields(idlocate=[np.array([[1, 2, 3, 4]], np.uint16), np.zeros((0, 0))], ishard=[0, 1])
    whole = saved(compressed, Img=fields(imname=["s1.jpg", "s2.jpg"], box=[box, box]))
    assert refusals(whole, 1500) > 500


def test_damage_inside_compression_reaches_the_structures() -> None:
    whole = saved(True, Img=fields(imname=["s1.jpg", "s2.jpg"], n=[np.eye(2), np.zeros((0, 0))]))
    inner = zlib.decompress(whole[136:])
    refused = 0
    for seed in range(1000):
        try:
            read(compressed_element(whole, zlib.compress(damaged(inner, seed))))
        except Mat5Error:
            refused += 1
    assert refused > 300
