"""Calibrated pinhole cameras.

World axes of a camera's area: x right, y away from the camera, z up, metres; the camera
stands above the origin. Camera axes: x right, y down, z forward. Pixel (u, v) is measured
at pixel centres: pixel column 0 has u = 0.5. Depth is the camera z, not the ray length.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from train.synthetic.world import WorldSpec, stream

Floats = npt.NDArray[np.float32]
AREA_SPACING_M = 60.0


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera: focal length in pixels, mounting height, angles in radians."""

    name: str
    width: int
    height: int
    focal_px: float
    mount_m: float
    tilt: float
    yaw: float
    offset_m: tuple[float, float] = (0.0, 0.0)

    @property
    def intrinsics(self) -> npt.NDArray[np.float64]:
        """K, (3, 3)."""
        f = self.focal_px
        return np.array([[f, 0, self.width / 2], [0, f, self.height / 2], [0, 0, 1.0]])

    @property
    def rotation(self) -> npt.NDArray[np.float64]:
        """R, (3, 3): rows are the camera axes in world coordinates."""
        return _rotation(self.tilt, self.yaw)

    @property
    def centre(self) -> npt.NDArray[np.float64]:
        """Position in its own area, (3,)."""
        return np.array([0.0, 0.0, self.mount_m])

    @property
    def translation(self) -> npt.NDArray[np.float64]:
        """Return t of x_camera = R x_world + t, (3,)."""
        return -self.rotation @ self.centre

    def project(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Project world points (N, 3) to (N, 3) of u, v, depth."""
        local = (np.asarray(points, dtype=np.float64) - self.centre) @ self.rotation.T
        depth = np.maximum(local[:, 2], 1e-6)
        u = self.focal_px * local[:, 0] / depth + self.width / 2
        v = self.focal_px * local[:, 1] / depth + self.height / 2
        return np.stack([u, v, local[:, 2]], axis=1)

    def sees(self, x: float, y: float, height_m: float, margin: float = 0.0) -> bool:
        """Tell whether feet and head of a person standing at x, y lie inside the frame.

        `margin` is a share of the frame: above 0 keeps away from the border.
        """
        u, v, depth = self.project([[x, y, 0.0], [x, y, height_m]]).T
        mx, my = margin * self.width, margin * self.height
        inside = (u >= mx) & (u <= self.width - mx) & (v >= my) & (v <= self.height - my)
        return bool(np.all(inside & (depth > 0.3)))

    def half_width(self, y: float) -> float:
        """Half of the width seen at distance y, metres (yaw left out)."""
        return y * self.width / 2 / self.focal_px

    def rays(self, du: float = 0.5, dv: float = 0.5) -> Floats:
        """Ray directions (H, W, 3) in the world for which the parameter is the depth."""
        u = (np.arange(self.width, dtype=np.float32) + du - self.width / 2) / self.focal_px
        v = (np.arange(self.height, dtype=np.float32) + dv - self.height / 2) / self.focal_px
        r = self.rotation.astype(np.float32)
        rays = u[None, :, None] * r[0] + v[:, None, None] * r[1] + r[2]
        return np.asarray(rays, dtype=np.float32)


@lru_cache(maxsize=256)
def _rotation(tilt: float, yaw: float) -> npt.NDArray[np.float64]:
    sy, cy, st, ct = math.sin(yaw), math.cos(yaw), math.sin(tilt), math.cos(tilt)
    forward = np.array([sy * ct, cy * ct, -st])
    right = np.array([cy, -sy, 0.0])
    rotation = np.stack([right, np.cross(forward, right), forward])
    rotation.setflags(write=False)
    return rotation


def make_camera(spec: WorldSpec, index: int) -> Camera:
    """Mount camera `index` of the world: a different height, view angle and tilt each."""
    rng = stream(spec.seed, "camera", index)
    half_width = math.tan(math.radians(rng.uniform(56, 80)) / 2)
    focal = spec.height * (960 / 540) / 2 / half_width
    half_view = math.atan(spec.height / 2 / focal)
    mount = rng.uniform(2.5, 3.9)
    near_m = rng.uniform(3.0, 4.2)
    tilt = math.atan2(mount, near_m) - half_view
    tilt = min(max(tilt, math.radians(13)), math.radians(27))
    yaw = math.radians(rng.uniform(-14, 14))
    offset = ((index % 5) * AREA_SPACING_M, (index // 5) * AREA_SPACING_M)
    return Camera(spec.camera_name(index), spec.width, spec.height, focal, mount, tilt, yaw, offset)
