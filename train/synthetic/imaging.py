"""What a camera makes of the light: exposure, colours, tone, vignette, blur and noise.

Scenes are linear light (H, W, 3), about 0 to 1. Images are sRGB-like values from 0 to 255.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from train.synthetic.camera import Floats
from train.synthetic.world import WorldSpec, stream

Image = npt.NDArray[np.uint8]
_TABLE_SIZE = 4096
_NOISE_BANK = 4
_STRENGTH = {"easy": 0.35, "medium": 1.0, "hard": 1.7}


@dataclass(frozen=True, slots=True)
class Response:
    """One camera's way to see: all that `world.json` tells about it."""

    exposure: float
    gains: tuple[float, float, float]
    matrix: tuple[tuple[float, ...], ...]
    gamma: float
    contrast: float
    vignette: float
    blur_px: float
    noise: float
    crf: int


def make_response(spec: WorldSpec, index: int) -> Response:
    """Draw the response of camera `index`; `difficulty` sets how much cameras differ."""
    rng = stream(spec.seed, "response", index)
    k = _STRENGTH[spec.difficulty]
    dark = spec.difficulty == "hard" and index % 3 == int(stream(spec.seed, "dark").integers(3))
    warm = float(np.clip(rng.normal(0, 0.075 * k), -0.2, 0.2))
    green = float(rng.normal(0, 0.02 * k))
    matrix = np.eye(3) + np.clip(rng.normal(0, 0.025 * k, (3, 3)), -0.07, 0.07)
    matrix /= matrix.sum(axis=1, keepdims=True)
    exposure = float(np.exp(np.clip(rng.normal(0, 0.14 * k), -0.4, 0.35)))
    rows = tuple(tuple(float(v) for v in row) for row in matrix)
    return Response(
        exposure=exposure * (0.33 if dark else 1.0),
        gains=(1 + warm, 1 + green, 1 - warm),
        matrix=rows,
        gamma=float(2.2 + np.clip(rng.normal(0, 0.13 * k), -0.4, 0.4)),
        contrast=float(np.clip(rng.normal(1.0, 0.08 * k), 0.75, 1.3)),
        vignette=float(rng.uniform(0.05, 0.2 + 0.1 * k)),
        blur_px=float(rng.uniform(0.5, 0.6 + 0.25 * k)) * max(spec.scale, 0.5),
        noise=float(rng.uniform(1.0, 1.5 + 2.0 * k)) + (4.0 if dark else 0.0),
        crf=int(rng.integers(20, 25 + round(3 * min(k, 1)))),
    )


class Imager:
    """Applies a response to whole frames or to parts of them."""

    def __init__(self, response: Response, width: int, height: int, seed: int, index: int) -> None:
        """Prepare tables for frames of this size; noise depends on seed and camera index."""
        self.response = response
        self._vignette = _vignette(width, height, response.vignette)
        mixed = np.array(response.matrix) * np.array(response.gains)[None, :]
        self._matrix = (mixed.T * response.exposure).astype(np.float32)
        self._table = _tone_table(response)
        self._noise = _noise_bank(response.noise, width, height, seed, index)
        self._size = (height, width)

    def expose(self, linear: Floats, left: int = 0, top: int = 0) -> npt.NDArray[np.int16]:
        """Blur and map a part of the scene whose corner is at `left`, `top`, without noise."""
        height, width = linear.shape[:2]
        blurred = ndimage.gaussian_filter(
            linear, (self.response.blur_px, self.response.blur_px, 0), mode="nearest", truncate=2.5
        )
        light = blurred @ self._matrix
        light *= self._vignette[top : top + height, left : left + width, None]
        np.clip(light, 0.0, 1.0, out=light)
        np.sqrt(light, out=light)
        light *= _TABLE_SIZE - 1
        return np.asarray(self._table[light.astype(np.int16)], dtype=np.int16)

    def add_noise(self, image: npt.NDArray[np.int16], rng: np.random.Generator) -> Image:
        """Add one of the noise tiles, shifted at random, and return 8-bit values."""
        height, width = self._size
        bank = self._noise[int(rng.integers(_NOISE_BANK))]
        dy, dx = int(rng.integers(64)), int(rng.integers(64))
        noisy = image + bank[dy : dy + height, dx : dx + width]
        np.clip(noisy, 0, 255, out=noisy)
        return np.asarray(noisy.astype(np.uint8))


def _vignette(width: int, height: int, amount: float) -> Floats:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    r2 = ((x - width / 2) ** 2 + (y - height / 2) ** 2) / (width**2 + height**2) * 4
    return np.asarray(1.0 - amount * r2, dtype=np.float32)


def _tone_table(response: Response) -> npt.NDArray[np.int16]:
    """Values for the square root of the light, in 4096 steps."""
    light = np.linspace(0, 1, _TABLE_SIZE) ** 2
    value = np.power(light, 1.0 / response.gamma)
    value = np.clip((value - 0.45) * response.contrast + 0.45, 0, 1)
    return np.asarray(np.round(value * 255), dtype=np.int16)


def _noise_bank(
    sigma: float, width: int, height: int, seed: int, index: int
) -> npt.NDArray[np.int16]:
    """Noise of 4 tiles larger than the frame, softly correlated, (4, H + 64, W + 64, 3)."""
    rng = stream(seed, "noise-bank", index)
    shape = (_NOISE_BANK, height + 64, width + 64)
    grey = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (0, 0.6, 0.6))
    grey *= sigma / max(float(grey.std()), 1e-6)
    colour = rng.standard_normal((*shape, 3), dtype=np.float32) * (0.5 * sigma)
    return np.asarray(np.round(grey[..., None] + colour), dtype=np.int16)
