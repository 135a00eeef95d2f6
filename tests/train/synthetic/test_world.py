"""Worlds before they are written: settings, seeds, identities, plans."""

from dataclasses import asdict
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from train.synthetic.people import make_people
from train.synthetic.plan import make_plan
from train.synthetic.render import CameraRenderer, make_world
from train.synthetic.scene import make_scene
from train.synthetic.world import WorldSpec

SMALL: dict[str, Any] = {"cameras": 2, "people": 6, "width": 320, "height": 180, "fps": 5.0}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cameras", 0), ("people", 0), ("seconds", 0.0), ("seconds", float("nan")), ("fps", 0.0),
        ("seed", -1), ("difficulty", "brutal"), ("width", 321), ("height", 20), ("split", "val"),
        ("anonymous_share", 1.0), ("start", datetime(2026, 1, 1)),
    ],
)  # fmt: skip
def test_unusable_setting_is_named_with_its_value(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{field} must be .*, not "):
        WorldSpec(**{field: value})


def test_same_seed_gives_the_same_frames_and_another_seed_others() -> None:
    def frames(seed: int) -> tuple[bytes, str]:
        renderer = CameraRenderer(make_world(WorldSpec(seed=seed, **SMALL)), 1)
        drawn = [renderer.frame(number) for number in (3, 40)]
        return b"".join(image.tobytes() for image, _ in drawn), repr([k for _, k in drawn])

    assert frames(8) == frames(8)
    assert frames(8)[0] != frames(9)[0]


def test_frame_does_not_depend_on_the_frames_drawn_before() -> None:
    renderer = CameraRenderer(make_world(WorldSpec(seed=8, **SMALL)), 0)
    first, _ = renderer.frame(12)
    renderer.frame(30)
    again, _ = renderer.frame(12)
    np.testing.assert_array_equal(first, again)


def test_frame_rate_changes_when_frames_are_taken_not_where_people_are() -> None:
    slow = make_world(WorldSpec(**{**SMALL, "fps": 1.0}))
    fast = make_world(WorldSpec(**{**SMALL, "fps": 10.0}))
    for one, other in zip(slow.plan.visits, fast.plan.visits, strict=True):
        assert one.pose(7.0) == other.pose(7.0)
    _, at_one = CameraRenderer(slow, 0).frame(20)
    _, at_ten = CameraRenderer(fast, 0).frame(200)
    assert at_one == at_ten


def test_identities_differ_within_and_between_worlds() -> None:
    people = make_people(WorldSpec(people=100, seed=1)) + make_people(WorldSpec(people=100, seed=2))
    looks = {(p.garment, p.pattern, p.upper, p.lower, p.bag, p.hair_style) for p in people}
    assert len(looks) == 200
    coarse = {
        (p.garment, p.pattern, p.lower_style, p.bag, *np.round(np.multiply(p.upper, 3)))
        for p in people
    }
    assert len(coarse) > 170


def test_hard_worlds_have_look_alikes() -> None:
    def shared(difficulty: str) -> int:
        people = make_people(WorldSpec(people=40, seed=3, difficulty=difficulty))
        return 40 - len({(p.upper, p.garment) for p in people})

    assert shared("medium") == 0
    assert shared("hard") > 8


def test_share_without_identity() -> None:
    people = make_people(WorldSpec(people=20, anonymous_share=0.25))
    assert [p.pid for p in people] == [*range(1, 16), None, None, None, None, None]


def test_nobody_walks_through_furniture_or_into_two_cameras_at_once() -> None:
    spec = WorldSpec(seed=6, people=30)
    scenes = [make_scene(spec, i) for i in range(spec.cameras)]
    plan = make_plan(spec, make_people(spec), scenes)
    inside = total = 0
    for visit in plan.visits:
        for x, y in visit.track[:, :2]:
            total += 1
            inside += not scenes[visit.camera].free(float(x), float(y), margin=0.0)
    assert inside / total < 0.01
    for one, two in pairwise(plan.visits):
        if one.person == two.person:
            assert one.end_s < two.start_s
            assert one.camera != two.camera


def test_feet_do_not_slide() -> None:
    spec = WorldSpec(seed=6, people=4)
    world = make_world(spec)
    for visit in world.plan.visits:
        steps = np.hypot(*np.diff(visit.track[:, :2], axis=0).T)
        turns = np.diff(visit.track[:, 3]) / (2 * np.pi)
        stature = world.people[visit.person].stature
        assert steps.sum() == pytest.approx(turns.sum() * 0.82 * stature, rel=0.06)


def test_cameras_respond_more_differently_in_hard_worlds() -> None:
    def spread(difficulty: str) -> float:
        exposures = [
            response.exposure
            for seed in range(12)
            for response in make_world(
                WorldSpec(seed=seed, difficulty=difficulty, people=1, seconds=1.0)
            ).responses
        ]
        return float(np.std(np.log(exposures)))

    assert spread("easy") < spread("medium") < spread("hard")


def test_settings_are_plain_values() -> None:
    assert asdict(WorldSpec())["difficulty"] == "medium"
    assert WorldSpec(seconds=2.0, fps=7.5).frames == 15
