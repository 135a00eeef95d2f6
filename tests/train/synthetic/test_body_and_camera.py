"""Geometry: projection by hand, ray casting, bodies inside their boxes, front and back."""

import math
from dataclasses import replace

import numpy as np
import pytest

from train.synthetic.camera import Camera, make_camera
from train.synthetic.people import Identity, random_identity
from train.synthetic.pose import Pose, joints, skeleton
from train.synthetic.raycast import BOX, MISS, ROUND, TUBE, Primitive, bounds_of, clip_bounds, hit
from train.synthetic.render import CameraRenderer, make_world
from train.synthetic.world import WorldSpec

LEVEL = Camera("cam1", 640, 360, 400.0, 1.5, tilt=0.0, yaw=0.0)
WHOLE = (0, 0, 640, 360)


def person(seed: int = 0) -> Identity:
    return random_identity(np.random.default_rng(seed))


@pytest.fixture(scope="module")
def renderer() -> CameraRenderer:
    spec = WorldSpec(cameras=1, people=2, seconds=2, fps=2, width=480, height=270, seed=2)
    return CameraRenderer(make_world(spec), 0)


def place_in_view(renderer: CameraRenderer) -> tuple[float, float]:
    """A free place in the middle of the view with nothing before it."""
    camera = renderer.camera
    for y in np.arange(5.5, 9.0, 0.25):
        x = float(y) * math.tan(camera.yaw)
        if renderer.scene.free(x, float(y), 0.8) and camera.sees(x, float(y), 1.9, 0.03):
            return x, float(y)
    raise AssertionError("no free place in view")


def test_level_camera_projects_to_hand_computed_pixels() -> None:
    # 1 m right of the axis, 1.5 m below the camera, 8 m away: u = 320 + 400/8, v = 180 + 600/8
    np.testing.assert_allclose(LEVEL.project([[1.0, 8.0, 0.0]]), [[370.0, 255.0, 8.0]])
    np.testing.assert_allclose(LEVEL.project([[0.0, 8.0, 1.5]]), [[320.0, 180.0, 8.0]])


def test_tilted_camera_sees_the_floor_where_its_axis_meets_it() -> None:
    camera = Camera("cam1", 640, 360, 400.0, 3.0, tilt=math.radians(30), yaw=0.0)
    u, v, depth = camera.project([[0.0, 3.0 / math.tan(math.radians(30)), 0.0]])[0]
    assert (u, v) == pytest.approx((320.0, 180.0))
    assert depth == pytest.approx(6.0)


def test_calibration_reproduces_project() -> None:
    camera = make_camera(WorldSpec(seed=4), 1)
    point = np.array([0.7, 6.0, 1.1])
    by_matrix = camera.intrinsics @ (camera.rotation @ point + camera.translation)
    u, v, depth = camera.project(point[None])[0]
    np.testing.assert_allclose(by_matrix, [u * depth, v * depth, depth])
    np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Primitive(ROUND, np.array([0.0, 5.0, 1.5]), np.eye(3), 0, 0.5, 0.5), 4.5),
        (Primitive(BOX, np.array([0.0, 5.0, 1.5]), np.eye(3), 0, stretch=(1.0, 0.7, 1.0)), 4.3),
        (Primitive(TUBE, np.array([0.0, 5.0, 1.0]), np.eye(3), 0, 0.3, 0.3, 1.0), 4.7),
        (Primitive(ROUND, np.array([0.0, 5.0, 1.0]), np.eye(3), 0, 0.2, 0.2, 1.0), 4.8),
        (
            Primitive(
                ROUND, np.array([0.0, 5.0, 1.5]), np.eye(3), 0, 0.5, 0.5, 0.0, (1.0, 2.0, 1.0)
            ),
            4.0,
        ),
    ],
)
def test_ray_along_the_axis_hits_at_the_known_depth(shape: Primitive, expected: float) -> None:
    depth = hit(shape, LEVEL, WHOLE)
    assert float(depth[180, 320]) == pytest.approx(expected, abs=2e-3)
    assert depth[0, 0] == MISS


def test_projected_bounds_hold_every_hit() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        stretch = tuple(rng.uniform(0.3, 1.5, 3))
        kind = int(rng.choice([ROUND, TUBE, BOX]))
        origin = np.array([rng.uniform(-2, 2), rng.uniform(4, 8), rng.uniform(0.5, 2.5)])
        shape = Primitive(kind, origin, turn, 0, 0.3, 0.2, 0.6, stretch)
        rows, columns = np.nonzero(hit(shape, LEVEL, WHOLE) < MISS)
        x0, y0, x1, y1 = clip_bounds(bounds_of(shape, LEVEL), WHOLE)
        assert len(rows) > 20
        assert x0 <= columns.min() <= columns.max() < x1
        assert y0 <= rows.min() <= rows.max() < y1


def test_lowest_foot_stands_on_the_floor_all_through_the_walk() -> None:
    for phase in np.linspace(0, 2 * math.pi, 12):
        walker, pose = person(), Pose(0, 0, 0, float(phase), 1.0)
        heights = joints(walker, pose)[:, 2]
        assert heights.min() > 0.0
        assert heights.min() < 0.04 * walker.stature
        assert heights.max() == pytest.approx(0.93 * walker.stature, abs=0.06)


def test_arms_swing_against_the_legs_and_knees_never_bend_forward() -> None:
    walker = person(4)
    for phase in np.linspace(0, 2 * math.pi, 16):
        k = skeleton(walker, Pose(0, 0, 0, float(phase), 1.0))
        for hip, knee, ankle in zip(k.hips, k.knees, k.ankles, strict=True):
            thigh, shin = knee - hip, ankle - knee
            assert np.cross(thigh, shin)[0] <= 1e-9
    stride = skeleton(walker, Pose(0, 0, 0, math.pi / 2, 1.0))
    assert (stride.ankles[0][1] > stride.ankles[1][1]) != (
        stride.wrists[0][1] > stride.wrists[1][1]
    )


@pytest.mark.parametrize("heading", [0.0, math.pi / 2, math.pi, -math.pi / 2])
def test_box_holds_the_projected_joints(renderer: CameraRenderer, heading: float) -> None:
    x, y = place_in_view(renderer)
    walker, pose = person(1), Pose(x, y, heading, 0.8, 1.0)
    _, labels = renderer.draw([(walker, pose)])
    left, top, wide, tall = labels[0].box
    u, v, _ = renderer.camera.project(joints(walker, pose)).T
    assert left - 1 <= u.min() <= u.max() <= left + wide + 1
    assert top - 1 <= v.min() <= v.max() <= top + tall + 1
    head_to_feet = v.max() - v.min()
    assert tall < 1.35 * head_to_feet + 4


def test_front_and_back_differ(renderer: CameraRenderer) -> None:
    x, y = place_in_view(renderer)
    towards, away = -math.pi / 2, math.pi / 2
    red, blue = (0.8, 0.1, 0.1), (0.1, 0.2, 0.8)
    dressed = replace(person(2), garment="open", pattern="plain", upper=red, inner=blue)
    front, labels = renderer.draw([(dressed, Pose(x, y, towards, 0.0, 0.0))])
    back, _ = renderer.draw([(dressed, Pose(x, y, away, 0.0, 0.0))])
    left, top, wide, tall = (int(value) for value in labels[0].box)
    inside = np.s_[top : top + tall, left : left + wide]
    gap = np.abs(front[inside].astype(int) - back[inside].astype(int)).sum(axis=2)
    assert (gap > 60).mean() > 0.05


def test_who_stands_before_hides_who_stands_behind(renderer: CameraRenderer) -> None:
    x, y = place_in_view(renderer)
    slope = x / y
    far = (person(5), Pose(slope * (y + 0.9), y + 0.9, 0.0, 0.0, 0.0))
    near = (person(6), Pose(x, y, 0.0, 0.0, 0.0))
    alone = renderer.draw([far])[1]
    assert alone[0].visible > 0.95
    for order in ([far, near], [near, far]):
        both = {label.box: label.visible for label in renderer.draw(order)[1]}
        assert both.get(alone[0].box, 0.0) < 0.75
        assert max(both.values()) > 0.95


def test_furniture_hides_people_behind_it() -> None:
    for seed in range(8):
        spec = WorldSpec(cameras=1, people=2, width=320, height=180, seed=seed)
        renderer = CameraRenderer(make_world(spec), 0)
        for item in renderer.scene.items:
            if item.kind not in ("box", "counter", "shelf"):
                continue
            x0, _, x1, y1 = item.rect
            y = y1 + 0.6
            x = (x0 + x1) / 2 * y / max(y1 - 0.3, 1.0)
            if not renderer.camera.sees(x, y, 1.9, 0.05) or y > renderer.scene.back_y:
                continue
            canvas_labels = renderer.draw([(person(7), Pose(x, y, 0.0, 0.0, 0.0))])[1]
            assert not canvas_labels or canvas_labels[0].visible < 0.97
            return
    raise AssertionError("no furniture in view in eight worlds")
