"""Worlds and the frames that their cameras take, with labels of everybody in view."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train.synthetic.background import make_background
from train.synthetic.canvas import Canvas, Label
from train.synthetic.imaging import Image, Imager, Response, make_response
from train.synthetic.people import Identity, make_people
from train.synthetic.plan import Plan, make_plan
from train.synthetic.pose import Pose
from train.synthetic.scene import Scene, make_scene
from train.synthetic.world import WorldSpec, stream


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a seed decides: people, places, plan and camera responses."""

    spec: WorldSpec
    people: list[Identity]
    scenes: list[Scene]
    responses: list[Response]
    plan: Plan


def make_world(spec: WorldSpec) -> World:
    """Generate the world (takes well under a second and draws nothing)."""
    people = make_people(spec)
    scenes = [make_scene(spec, i) for i in range(spec.cameras)]
    responses = [make_response(spec, i) for i in range(spec.cameras)]
    return World(spec, people, scenes, responses, make_plan(spec, people, scenes))


class CameraRenderer:
    """Draws the frames of one camera."""

    def __init__(self, world: World, index: int) -> None:
        """Prepare the empty scene; this takes a second or two."""
        self.world = world
        self.index = index
        self.scene = world.scenes[index]
        self.camera = self.scene.camera
        spec = world.spec
        self._background = make_background(self.scene)
        self._imager = Imager(world.responses[index], spec.width, spec.height, spec.seed, index)
        self._empty = self._imager.expose(self._background.colour)
        self._visits = [v for v in world.plan.visits if v.camera == index]
        self._people = {p.number: p for p in world.people}

    def frame(self, number: int) -> tuple[Image, list[Label]]:
        """Draw frame `number` (0-based): RGB image (H, W, 3) and its labels."""
        time_s = number / self.world.spec.fps
        present = [(v, pose) for v in self._visits if (pose := v.pose(time_s)) is not None]
        rng = stream(self.world.spec.seed, "frame", self.index, number)
        image, labels = self.draw([(self._people[v.person], p) for v, p in present])
        return self._imager.add_noise(image, rng), labels

    def draw(
        self, present: list[tuple[Identity, Pose]]
    ) -> tuple[npt.NDArray[np.int16], list[Label]]:
        """Draw these people without sensor noise; nearest first in the labels."""
        canvas = Canvas(self._background, self.scene)
        for person, pose in sorted(present, key=lambda item: (item[1].y, item[0].number)):
            canvas.add(person, pose)
        image = self._empty.copy()
        for x0, y0, x1, y1 in canvas.touched(margin=4):
            part = self._imager.expose(canvas.colour[y0:y1, x0:x1], x0, y0)
            image[y0:y1, x0:x1] = part
        return image, canvas.labels(self.world.spec.scale)
