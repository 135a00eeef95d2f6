"""Write tiny data sets in PRW's published layout, and engines whose answers are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.io import savemat

from engines.engine import EngineInfo
from engines.pictures import write_picture
from engines.values import EMBEDDING_DIM, Detections

GREY_STEP = 8
Row = tuple[float, float, float, float, float]


def cells(names: Sequence[str]) -> NDArray[Any]:
    """Return names as MATLAB's column of cells."""
    column = np.empty((len(names), 1), dtype=object)
    for number, name in enumerate(names):
        column[number, 0] = name
    return column


class PrwFolder:
    """A data set that is being written; frame n of `frame` is all grey of n * GREY_STEP."""

    def __init__(self, root: Path, *, size_hw: tuple[int, int] = (480, 640)) -> None:
        self.root = root
        self.size_hw = size_hw
        self.names: list[str] = []
        (root / "frames").mkdir(parents=True)
        (root / "annotations").mkdir()
        self.split("train", [], [])
        self.split("test", [], [])
        self.queries([])

    def annotation(self, name: str) -> Path:
        """Return the path of a frame's annotation."""
        return self.root / "annotations" / f"{name}.jpg.mat"

    def frame(self, name: str, rows: Sequence[Row], *, key: str = "box_new") -> None:
        """Add a picture with rows of id, x, y, w, h."""
        grey = np.full((*self.size_hw, 3), len(self.names) * GREY_STEP, np.uint8)
        self.names.append(name)
        write_picture(self.root / "frames" / f"{name}.jpg", grey)
        savemat(self.annotation(name), {key: np.array(rows, np.float64).reshape(-1, 5)})

    def split(self, split: str, names: Sequence[str], ids: Sequence[int]) -> None:
        """Write which frames and identities a split has."""
        savemat(self.root / f"frame_{split}.mat", {f"img_index_{split}": cells(names)})
        key = {"train": "ID_train", "test": "ID_test2"}[split]
        savemat(self.root / f"ID_{split}.mat", {key: np.array([ids], np.float64)})

    def queries(self, lines: Sequence[str], *, newline: str = "\n") -> None:
        """Write lines of pid, x, y, w, h, frame."""
        text = "".join(line + newline for line in lines)
        (self.root / "query_info.txt").write_bytes(text.encode())


def detections(
    boxes: Sequence[Sequence[float]],
    similarities: Sequence[float],
    scores: Sequence[float] | None = None,
) -> Detections:
    """Return detections whose cosine with `query_feature` is as given."""
    embeddings = np.zeros((len(boxes), EMBEDDING_DIM), np.float32)
    embeddings[:, 0] = similarities
    embeddings[:, 1] = np.sqrt(np.maximum(0, 1 - np.square(similarities)))
    values = np.full(len(boxes), 0.9) if scores is None else np.array(scores)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), values.astype(np.float32), embeddings
    )


def query_feature() -> NDArray[np.float32]:
    """Return the embedding (256,) that `detections` are measured against."""
    feature = np.zeros(EMBEDDING_DIM, np.float32)
    feature[0] = 1
    return feature


@dataclass
class StoredEngine:
    """An engine that knows the answer for each grey of `PrwFolder`."""

    answers: Mapping[int, Detections]
    path: Path
    batches: list[int]
    embedded: list[tuple[int, tuple[float, ...]]]

    @property
    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(
            model="stored-1", name="stored", backend="memory", input_hw=(480, 640),
            max_persons=64, dim=EMBEDDING_DIM, score_threshold=0.5, query_boxes=8, path=self.path,
        )  # fmt: skip

    def detect(
        self, frames: Sequence[NDArray[np.uint8]], *, min_score: float | None = None
    ) -> list[Detections]:
        """Return the stored answers of at least ``min_score``."""
        self.batches.append(len(frames))
        return [_at_least(self.answers[_number(frame)], min_score or 0.0) for frame in frames]

    def embed(
        self, frames: Sequence[NDArray[np.uint8]], boxes: Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Return `query_feature` for each box, and note which boxes were asked for.

        Numbers 2 to 5 of a feature are the box itself; no stored detection has any there.
        """
        for frame, rows in zip(frames, boxes, strict=True):
            self.embedded += [(_number(frame), tuple(map(float, row))) for row in rows]
        features = [np.tile(query_feature(), (len(rows), 1)) for rows in boxes]
        for feature, rows in zip(features, boxes, strict=True):
            feature[:, 2:6] = rows
        return features

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _number(frame: NDArray[np.uint8]) -> int:
    return round(float(frame.mean()) / GREY_STEP)


def _at_least(answer: Detections, score: float) -> Detections:
    keep = answer.scores >= score
    return Detections(answer.boxes[keep], answer.scores[keep], answer.embeddings[keep])
