"""Procedural textures of floors, walls and furniture.

A texture maps surface coordinates in metres (float32, any shape) to linear albedo with a
last axis of 3. All are continuous in the coordinates, so perspective comes out right.
"""

from dataclasses import dataclass

import numpy as np

from train.synthetic.camera import Floats
from train.synthetic.people import Colour
from train.synthetic.world import stream

NOISE_SIZE = 256


def _noise_tile() -> Floats:
    """Return smooth noise that repeats, (256, 256), mean 0, about -1 to 1."""
    spectrum = np.fft.fft2(stream(0, "noise").normal(size=(NOISE_SIZE, NOISE_SIZE)))
    f = np.fft.fftfreq(NOISE_SIZE) * NOISE_SIZE
    radius = np.hypot(f[:, None], f[None, :])
    tile = np.fft.ifft2(spectrum * np.exp(-((radius / 40.0) ** 2))).real
    return np.asarray(tile / np.abs(tile).max(), dtype=np.float32)


_NOISE = _noise_tile()


def noise(x: Floats, y: Floats, per_metre: float) -> Floats:
    """Look up noise with bilinear interpolation, features about 4/per_metre wide."""
    u, v = x * np.float32(per_metre), y * np.float32(per_metre)
    iu, iv = np.floor(u), np.floor(v)
    fu, fv = u - iu, v - iv
    a, b = iu.astype(np.int64) % NOISE_SIZE, iv.astype(np.int64) % NOISE_SIZE
    a1, b1 = (a + 1) % NOISE_SIZE, (b + 1) % NOISE_SIZE
    top = _NOISE[b, a] * (1 - fu) + _NOISE[b, a1] * fu
    low = _NOISE[b1, a] * (1 - fu) + _NOISE[b1, a1] * fu
    return np.asarray(top * (1 - fv) + low * fv, dtype=np.float32)


def cell_noise(i: Floats, j: Floats) -> Floats:
    """Return one value in 0..1 for each integer cell."""
    a = (i.astype(np.int64) * 73 + 11) % NOISE_SIZE
    b = (j.astype(np.int64) * 151 + i.astype(np.int64) * 37 + 5) % NOISE_SIZE
    return np.asarray((_NOISE[b, a] * 9.7) % 1.0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Texture:
    """A kind of surface with two sRGB colours and the size of its cells in metres."""

    kind: str
    one: Colour
    two: Colour
    cell: float = 0.6

    def colour(self, x: Floats, y: Floats) -> Floats:
        """Return linear albedo (..., 3)."""
        one = np.power(np.asarray(self.one, dtype=np.float32), np.float32(2.2))
        two = np.power(np.asarray(self.two, dtype=np.float32), np.float32(2.2))
        mix, shade = _KINDS[self.kind](x, y, self.cell)
        blended = one + (two - one) * np.clip(mix, 0, 1)[..., None]
        return np.asarray(blended * shade[..., None], dtype=np.float32)


def _plain(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    return np.zeros_like(x), 1.0 + 0.05 * noise(x, y, 6)


def _tiles(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    u, v = x / cell, y / cell
    iu, iv = np.floor(u), np.floor(v)
    edge = np.minimum(np.minimum(u - iu, 1 - u + iu), np.minimum(v - iv, 1 - v + iv)) * cell
    grout = np.clip(1.4 - edge / 0.012, 0, 1)
    shade = 0.94 + 0.12 * cell_noise(iu, iv) + 0.04 * noise(x, y, 12)
    return grout, shade


def _chequer(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    odd = (np.floor(x / cell) + np.floor(y / cell)) % 2
    return odd, 0.97 + 0.05 * noise(x, y, 9)


def _wood(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    row = np.floor(x / 0.16)
    board = np.floor((y + row * 0.73) / 1.4)
    grain = noise(x * 9 + row * 3.1, y * 0.7, 7)
    seam = np.clip(1.5 - np.abs(x / 0.16 - row - 0.5 - 0.48) / 0.02, 0, 1)
    shade = 0.8 + 0.35 * cell_noise(row, board) + 0.1 * grain - 0.35 * seam
    return 0.5 + 0.4 * grain, shade


def _asphalt(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    grit = noise(x, y, 90)
    patch = noise(x, y, 2.5)
    line = np.abs(((x / (cell * 5)) % 1.0) - 0.5) < 0.05 / (cell * 5)
    return np.where(line, 0.85, 0.15 + 0.2 * grit), 1.0 + 0.16 * patch + 0.1 * grit


def _carpet(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    u, v = (x / cell) % 1.0 - 0.5, (y / cell) % 1.0 - 0.5
    motif = np.abs(np.abs(u) + np.abs(v) - 0.35) < 0.07
    return motif.astype(np.float32) * 0.7, 1.0 + 0.14 * noise(x, y, 70) + 0.05 * noise(x, y, 3)


def _bricks(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    row = np.floor(y / 0.11)
    u = (x + (row % 2) * 0.14) / 0.28
    iu = np.floor(u)
    gap = (np.abs(u - iu - 0.5) > 0.47) | (np.abs(y / 0.11 - row - 0.5) > 0.42)
    return gap.astype(np.float32), 0.82 + 0.3 * cell_noise(iu, row) + 0.08 * noise(x, y, 30)


def _panels(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    u = (x / (cell * 2)) % 1.0
    seam = (u < 0.012) | (np.abs(y - 1.0) < 0.02)
    low = (y < 1.0).astype(np.float32)
    return low * 0.7, np.where(seam, 0.65, 1.0) + 0.03 * noise(x, y, 5)


def _shelf(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    row = np.floor(y / 0.36)
    board = (y / 0.36 - row) < 0.1
    item = np.floor(x / 0.13)
    tall = 0.45 + 0.5 * cell_noise(item, row)
    empty = (y / 0.36 - row) > tall
    tone = cell_noise(item + 31, row + 7)
    return np.where(board, 0.5, tone), np.where(empty & ~board, 0.18, 0.35 + 0.9 * tone)


def _glass(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    u, v = (x / (cell * 2)) % 1.0, (y / 1.3) % 1.0
    bar = (u < 0.04) | (v < 0.04)
    shine = 0.5 + 0.5 * np.sin(x * 1.3 + y * 2.1)
    return np.where(bar, 0.0, 0.55 + 0.35 * shine), np.ones_like(x)


def _poster(x: Floats, y: Floats, cell: float) -> tuple[Floats, Floats]:
    wave = np.sin(x * 9 + cell * 20) + np.sin(y * 7 + x * 4 * cell)
    line, letter = np.floor(y / 0.07), np.floor(x / 0.05)
    text = (line % 3 == 0) & (cell_noise(letter, line) > 0.4)
    return (wave > 0.2).astype(np.float32), np.where(text, 0.3, 1.0).astype(np.float32)


_KINDS = {
    "plain": _plain, "tiles": _tiles, "chequer": _chequer, "wood": _wood,
    "asphalt": _asphalt, "carpet": _carpet, "bricks": _bricks, "panels": _panels,
    "shelf": _shelf, "glass": _glass, "poster": _poster,
}  # fmt: skip
