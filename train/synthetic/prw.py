"""The world as a data set in PRW's layout, readable like the real one.

Frame names `cXsY_NNNNNN`: X camera (1-based), Y always 1, N the 1-based video frame. An
annotation's rows are id, x, y, w, h; id -2 is a person without identity.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import savemat

from train.synthetic.canvas import Label
from train.synthetic.tracks import VideoLabels
from train.synthetic.world import WorldSpec

NO_IDENTITY = -2
MAT_HEADER = "MATLAB 5.0 MAT-file, written by a synthetic world"
QUERY_VISIBLE = 0.7


@dataclass(frozen=True, slots=True)
class Annotated:
    """One annotated frame."""

    name: str
    camera: int
    time_s: float
    labels: list[Label]


def frame_name(camera: int, number: int) -> str:
    """Name of a frame without ending; camera and number are 0-based here."""
    return f"c{camera + 1}s1_{number + 1:06d}"


def annotated_numbers(spec: WorldSpec, every_s: float) -> range:
    """0-based numbers of the frames that are annotated."""
    return range(0, spec.frames, max(1, round(every_s * spec.fps)))


def collect(spec: WorldSpec, cameras: list[VideoLabels], every_s: float) -> list[Annotated]:
    """Return the annotated frames of all cameras, in order of name."""
    return [
        Annotated(frame_name(index, number), index, number / spec.fps, labels[number])
        for index, labels in enumerate(cameras)
        for number in annotated_numbers(spec, every_s)
    ]


def write_prw(root: Path, spec: WorldSpec, frames: list[Annotated]) -> None:
    """Write annotations, the split files and the queries; pictures are written elsewhere."""
    (root / "annotations").mkdir()
    for frame in frames:
        _save(root / "annotations" / f"{frame.name}.jpg.mat", "box_new", _rows(frame))
    train = [f for f in frames if is_train(spec, f.time_s)]
    test = [f for f in frames if not is_train(spec, f.time_s)]
    _save(root / "frame_train.mat", "img_index_train", _names(train))
    _save(root / "frame_test.mat", "img_index_test", _names(test))
    _save(root / "ID_train.mat", "ID_train", _row(_ids(train)))
    _save(root / "ID_test.mat", "ID_test2", _row(_ids(test)))
    lines = [f"{_query_line(pid, frame, label)}\n" for pid, frame, label in queries(test)]
    (root / "query_info.txt").write_text("".join(lines))


def is_train(spec: WorldSpec, time_s: float) -> bool:
    """Tell whether a frame at this time belongs to the training split."""
    return spec.split == "train" or (spec.split == "both" and time_s < spec.seconds / 2)


def queries(frames: list[Annotated]) -> list[tuple[int, Annotated, Label]]:
    """Return the best view per identity and camera, of those seen by two cameras or more."""
    best: dict[tuple[int, int], tuple[float, Annotated, Label]] = {}
    seen: dict[int, set[int]] = {}
    for frame in frames:
        for label in frame.labels:
            if label.pid is None:
                continue
            seen.setdefault(label.pid, set()).add(frame.camera)
            key, score = (label.pid, frame.camera), label.visible**2 * label.box[3]
            if label.visible >= QUERY_VISIBLE and (key not in best or score > best[key][0]):
                best[key] = score, frame, label
    return [
        (pid, frame, label)
        for (pid, _), (_, frame, label) in sorted(best.items(), key=lambda item: item[0])
        if len(seen[pid]) >= 2
    ]


def _save(path: Path, name: str, value: npt.NDArray[Any]) -> None:
    """Write one variable; the header's free text, else a date, is the same every time."""
    buffer = io.BytesIO()
    savemat(buffer, {name: value})
    path.write_bytes(MAT_HEADER.ljust(116).encode() + buffer.getvalue()[116:])


def _ids(frames: list[Annotated]) -> list[int]:
    """Identities seen in these frames."""
    return sorted({k.pid for frame in frames for k in frame.labels if k.pid is not None})


def _rows(frame: Annotated) -> npt.NDArray[np.float64]:
    rows = [[NO_IDENTITY if k.pid is None else k.pid, *k.box] for k in frame.labels]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _names(frames: list[Annotated]) -> npt.NDArray[np.object_]:
    cells = np.empty((len(frames), 1), dtype=object)
    for i, frame in enumerate(frames):
        cells[i, 0] = frame.name
    return cells


def _row(ids: list[int]) -> npt.NDArray[np.float64]:
    return np.array(ids, dtype=np.float64).reshape(1, -1)


def _query_line(pid: int, frame: Annotated, label: Label) -> str:
    return f"{pid} " + " ".join(f"{value:g}" for value in label.box) + f" {frame.name}"
