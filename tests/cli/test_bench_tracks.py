"""``sightline bench tracks``: HOTA and IDF1 of the tracker, through the real command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.pictures import write_picture

Run = Callable[..., Any]
RED, BLUE = (250, 0, 0), (0, 0, 250)
FRAMES = 12


def sequence(folder: Path, shown: Callable[[int], dict[int, tuple[int, int, int]]]) -> Path:
    """Write pictures of 48 x 32 in which cells of 4 x 4 are people, at 5 a second."""
    pictures = folder / "img1"
    pictures.mkdir(parents=True)
    for number in range(1, FRAMES + 1):
        pixels: NDArray[np.uint8] = np.zeros((32, 48, 3), np.uint8)
        for cell, colour in shown(number).items():
            row, column = divmod(cell, 12)
            pixels[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = colour
        write_picture(pictures / f"{number:06d}.png", pixels)
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=5\nseqLength={FRAMES}\n"
        "imWidth=48\nimHeight=32\nimExt=.png\n"
    )
    return folder


def truth(folder: Path, rows: list[tuple[int, int, int, int]]) -> None:
    """Write ``(frame, id, cell, counts)`` as a ground truth of nine columns."""
    (folder / "gt").mkdir()
    lines = [
        f"{frame},{track},{cell % 12 * 4},{cell // 12 * 4},4,4,{counts},1,1.0"
        for frame, track, cell, counts in rows
    ]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")


def always(*cells: int) -> list[tuple[int, int, int, int]]:
    return [(frame, cell, cell, 1) for cell in cells for frame in range(1, FRAMES + 1)]


def test_people_who_stand_still_are_tracked_without_fault(
    sightline: Run, bundle: Path, tmp_path: Path
) -> None:
    for name, cells in (("a", (5, 60)), ("b", (5,))):
        folder = sequence(tmp_path / "set" / name, lambda _, cells=cells: dict.fromkeys(cells, RED))
        truth(folder, always(*cells))
    done = sightline("bench", "tracks", tmp_path / "set", "--engine", bundle, "--json")
    assert done.code == 0, done.err
    cameras = done.document["cameras"]
    assert list(cameras) == ["a", "b", "all"]
    assert cameras["a"]["people"] == cameras["a"]["tracklets"] == 2
    # The same number at two cameras is two tracks: nobody is asked to join them here.
    assert cameras["all"]["people"] == 3
    assert [cameras[name]["idf1"] for name in cameras] == [1, 1, 1]
    assert [cameras[name]["hota"] for name in cameras] == [1, 1, 1]


def test_a_track_that_breaks_costs_association_alone(
    sightline: Run, bundle: Path, tmp_path: Path
) -> None:
    folder = sequence(tmp_path / "one", lambda n: {0: RED} if n <= 6 else {95: BLUE})
    cells = [0 if frame <= 6 else 95 for frame in range(1, FRAMES + 1)]
    truth(folder, [(frame, 1, cell, 1) for frame, cell in enumerate(cells, 1)])
    document = sightline("bench", "tracks", folder, "--engine", bundle, "--json").document
    scores = document["cameras"]["one"]
    # One true track, found as two halves: IDF1 keeps one half, AssA is 1/2 everywhere.
    assert scores["tracklets"] == 2
    assert scores["idf1"] == pytest.approx(0.5)
    assert scores["assa"] == pytest.approx(0.5)
    assert scores["deta"] == 1


def test_who_does_not_count_costs_nothing(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    folder = sequence(tmp_path / "one", lambda _: {40: RED, 3: BLUE, 80: RED})
    rows = always(40) + [(frame, 9, 3, 0) for frame in range(1, FRAMES + 1)]
    truth(folder, rows)
    document = sightline("bench", "tracks", folder, "--engine", bundle, "--json").document
    scores = document["cameras"]["one"]
    assert (scores["people"], scores["tracklets"]) == (1, 2)  # cell 80 is a false track
    assert scores["detpr"] == pytest.approx(0.5)
    assert scores["detre"] == 1


def test_only_frames_that_are_searched_count(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    folder = sequence(tmp_path / "one", lambda _: {40: RED})
    truth(folder, always(40))
    done = sightline("bench", "tracks", folder, "--engine", bundle, "--fps", "2.5", "--json")
    scores = done.document["cameras"]["one"]
    assert scores["frames"] == FRAMES // 2
    assert scores["idf1"] == 1


def test_the_table_names_every_camera(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    folder = sequence(tmp_path / "hall", lambda _: {40: RED})
    truth(folder, always(40))
    done = sightline("bench", "tracks", folder, "--engine", bundle)
    assert "HOTA" in done.out
    assert "hall" in done.out
    assert "100.0" in done.out


def test_faults_are_named(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = sightline("bench", "tracks", tmp_path / "empty", "--engine", bundle)
    assert done.code == 2
    assert "want ground_truth/mot/CAMERA/gt/gt.txt" in done.err

    folder = sequence(tmp_path / "one", lambda _: {40: RED})
    truth(folder, always(40))
    info = folder / "seqinfo.ini"
    info.write_text(info.read_text().replace("frameRate=5", "frameRate=fast"))
    done = sightline("bench", "tracks", folder, "--engine", bundle)
    assert done.code == 2
    assert "framerate is 'fast', want a float" in done.err

    (folder / "gt" / "gt.txt").write_text("1,1,0,0,4\n")
    done = sightline("bench", "tracks", folder, "--engine", bundle)
    assert done.code == 2
    assert "gt.txt: line 1: want 9 columns, got 5" in done.err


def test_a_picture_that_is_missing_is_named(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    folder = sequence(tmp_path / "one", lambda _: {40: RED})
    truth(folder, always(40))
    (folder / "img1" / "000004.png").unlink()
    done = sightline("bench", "tracks", folder, "--engine", bundle)
    assert done.code == 4
    assert "000004.png" in done.err
