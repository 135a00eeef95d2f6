"""Write a tiny data set to train on, in PRW's layout: coloured stripes are the people."""

from pathlib import Path
from types import ModuleType

import numpy as np

from engines.pictures import write_picture

SIZE_HW = (96, 160)
PERSON_HW = (56, 24)


def write_people(
    prwfolder: ModuleType,
    root: Path,
    *,
    pictures: int = 10,
    people: int = 5,
    seed: int = 0,
    labelled: bool = True,
) -> Path:
    """Write pictures of two cameras, one to three people on each, and return the folder.

    Of ten pictures five people are on four or more each. Without ``labelled`` nobody has an
    identity.
    """
    folder = prwfolder.PrwFolder(root, size_hw=SIZE_HW)
    rng = np.random.default_rng(seed)
    looks = rng.integers(50, 200, size=(people, 7, 3, 3))
    names = [f"c{1 + number % 2}s1_{number:06d}" for number in range(pictures)]
    for number, name in enumerate(names):
        picture = rng.integers(100, 140, size=(*SIZE_HW, 3), dtype=np.uint8)
        rows = []
        for place in range(3 - number % 3):
            person = (number + place) % people
            x, y = 8 + 50 * place + int(rng.integers(20)), 10 + int(rng.integers(24))
            look = np.kron(looks[person], np.ones((8, 8, 1), np.int64))
            look += rng.integers(-20, 21, size=look.shape)  # nothing flat: no ties in max pooling
            picture[y : y + PERSON_HW[0], x : x + PERSON_HW[1]] = look
            identity = float(person + 1) if labelled else -2.0
            rows.append((identity, float(x), float(y), float(PERSON_HW[1]), float(PERSON_HW[0])))
        folder.frame(name, rows)
        write_picture(root / "frames" / f"{name}.jpg", picture)
    folder.split("train", names, list(range(1, people + 1)) if labelled else [])
    return root
