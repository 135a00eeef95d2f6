"""Pictures: what is written is read again, upright; what is no picture is refused."""

import resource
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from engines.errors import PictureError
from engines.pictures import encode_jpeg, read_picture, write_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def quarters() -> NDArray[np.uint8]:
    """Give 60 x 40 pixels: red, green over blue, white."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30], picture[:20, 30:] = RED, GREEN
    picture[20:, :30], picture[20:, 30:] = BLUE, WHITE
    return picture


def corners(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours near the four corners, left to right, top to bottom."""
    return picture[[3, 3, -4, -4], [3, -4, 3, -4]]


def with_exif(jpeg: bytes, orientation: int, order: str = ">") -> bytes:
    """Put an EXIF block into a JPEG: an unrelated tag, then the orientation."""
    mark = b"MM" if order == ">" else b"II"
    tiff = mark + struct.pack(f"{order}HIH", 42, 8, 2)
    tiff += struct.pack(f"{order}HHIHH", 0x0106, 3, 1, 2, 0)
    tiff += struct.pack(f"{order}HHIHHI", 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def encode(codec: str, pix_fmt: str, picture: NDArray[np.uint8]) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = pix_fmt, Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in encoder.encode(frame) + encoder.encode(None))


@pytest.mark.parametrize("hw", [(40, 60), (41, 61), (1, 1), (2, 3), (1080, 1920)])
def test_a_written_picture_is_read_again(tmp_path: Path, hw: tuple[int, int]) -> None:
    rows, columns = np.mgrid[0 : hw[0], 0 : hw[1]]
    channels = [rows / hw[0], columns / hw[1], (rows + columns) / sum(hw)]
    picture = (np.stack(channels, axis=-1) * 255).astype(np.uint8)
    write_picture(tmp_path / "a.jpg", picture)
    back = read_picture(tmp_path / "a.jpg")
    assert back.shape == picture.shape
    assert back.dtype == np.uint8
    assert_allclose(back, picture, atol=16)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_colours_are_exact_up_to_the_edge_between_them(
    tmp_path: Path, quarters: NDArray[np.uint8]
) -> None:
    write_picture(tmp_path / "a.jpg", quarters, quality=100)
    assert_allclose(read_picture(tmp_path / "a.jpg"), quarters, atol=24)
    assert_allclose(corners(read_picture(tmp_path / "a.jpg")), [RED, GREEN, BLUE, WHITE], atol=2)


def test_higher_quality_takes_more_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    sizes = [len(encode_jpeg(noise, quality)) for quality in (1, 40, 80, 100)]
    assert sizes == sorted(set(sizes))


def test_a_view_is_encoded_like_its_copy(quarters: NDArray[np.uint8]) -> None:
    view = quarters[5:35, 10:50]
    assert encode_jpeg(view) == encode_jpeg(view.copy())


@pytest.mark.parametrize(
    ("codec", "pix_fmt"),
    [("png", "rgb24"), ("png", "rgba"), ("bmp", "bgr24"), ("tiff", "rgb24"), ("ppm", "rgb24"),
     ("libwebp", "yuv420p")],
)  # fmt: skip
def test_other_formats_are_read_whatever_their_name(
    tmp_path: Path, quarters: NDArray[np.uint8], codec: str, pix_fmt: str
) -> None:
    path = tmp_path / "100%d.upload"
    path.write_bytes(encode(codec, pix_fmt, quarters))
    assert_allclose(corners(read_picture(path)), [RED, GREEN, BLUE, WHITE], atol=3)


# Where the corners of the stored picture (0 1 / 2 3) stand once it is upright.
UPRIGHT = {
    1: (0, 1, 2, 3),
    2: (1, 0, 3, 2),
    3: (3, 2, 1, 0),
    4: (2, 3, 0, 1),
    5: (0, 2, 1, 3),
    6: (2, 0, 3, 1),
    7: (3, 1, 2, 0),
    8: (1, 3, 0, 2),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [*UPRIGHT, 0, 9])
def test_a_jpeg_is_turned_upright(
    tmp_path: Path, quarters: NDArray[np.uint8], orientation: int, order: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(with_exif(encode_jpeg(quarters), orientation, order))
    picture = read_picture(path)
    colours = np.array([RED, GREEN, BLUE, WHITE])
    where = UPRIGHT.get(orientation, UPRIGHT[1])
    assert picture.shape == ((60, 40, 3) if 5 <= orientation <= 8 else (40, 60, 3))
    assert picture.flags.c_contiguous
    assert_allclose(corners(picture), colours[list(where)], atol=2)


def test_exif_that_makes_no_sense_is_passed_over(
    tmp_path: Path, quarters: NDArray[np.uint8]
) -> None:
    path = tmp_path / "a.jpg"
    good = with_exif(encode_jpeg(quarters), 6)
    for position in range(12, 40):
        path.write_bytes(good[:position] + b"\xff" + good[position + 1 :])
        assert read_picture(path).shape in {(40, 60, 3), (60, 40, 3)}


def test_a_jpeg_cut_short_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode_jpeg(noise)
    path = tmp_path / "cut.jpg"
    for share in (0.02, 0.3, 0.6, 0.9):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(PictureError, match=r"cut\.jpg: not a picture, damaged"):
            read_picture(path)


def test_text_named_jpg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("not a picture at all\n" * 50)
    with pytest.raises(PictureError, match=r"cannot read picture .*notes\.jpg: not a picture"):
        read_picture(path)


@pytest.mark.parametrize(
    "text", ["", "#EXTM3U\n#EXTINF:1,\nsecret.jpg\n", "ffconcat version 1.0\nfile secret.jpg\n"]
)
def test_a_playlist_is_not_followed(tmp_path: Path, quarters: NDArray[np.uint8], text: str) -> None:
    write_picture(tmp_path / "secret.jpg", quarters)
    path = tmp_path / "list.jpg"
    path.write_text(text)
    with pytest.raises(PictureError, match="not a picture"):
        read_picture(path)


def test_a_video_is_not_a_picture(tmp_path: Path, quarters: NDArray[np.uint8]) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width = quarters.shape[:2]
        frame = av.VideoFrame.from_ndarray(quarters, format="rgb24")
        container.mux(stream.encode(frame) + stream.encode(None))
    with pytest.raises(PictureError, match="not a picture"):
        read_picture(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"gone\.jpg: no such file"):
        read_picture(tmp_path / "gone.jpg")
    with pytest.raises(PictureError, match="no such file"):
        read_picture(tmp_path)


def black_png(width: int, height: int) -> bytes:
    """Return a whole PNG of black pixels, a few hundred kB for any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height), 1)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(black_png(300, 200))
    assert read_picture(path).shape == (200, 300, 3)
    path.write_bytes(black_png(20000, 5001))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match="of more than 100 megapixels"):
        read_picture(path)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 50_000


def test_a_picture_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, quarters: NDArray[np.uint8]
) -> None:
    target = tmp_path / "folder.jpg"
    target.mkdir()
    with pytest.raises(PictureError, match=r"cannot write picture .*folder\.jpg"):
        write_picture(target, quarters)
    with pytest.raises(PictureError, match=r"cannot write picture .*: No such file"):
        write_picture(tmp_path / "no" / "a.jpg", quarters)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.jpg"]


def test_another_encoders_jpeg_is_read(tmp_path: Path, quarters: NDArray[np.uint8]) -> None:
    """A JPEG as cameras and phones write it: half colour resolution, JFIF header."""
    path = tmp_path / "camera.jpg"
    path.write_bytes(encode("mjpeg", "yuvj420p", quarters))
    assert_allclose(corners(read_picture(path)), [RED, GREEN, BLUE, WHITE], atol=3)
    assert_array_equal(read_picture(path), read_picture(path))
