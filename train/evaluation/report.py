"""What an evaluation found, as values and as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from train.evaluation.detection import DetectionScores
from train.evaluation.search import SearchScores

_QUERY_FEATURES = {
    "box": "query graph, annotated box on its whole frame",
    "frame": "query graph, the whole frame",
}
_BOXES = {
    "detections": "detections",
    "truth": "annotated boxes, score 1",
    "frame": "one box around each whole frame, score 1",
}


@dataclass(frozen=True, slots=True, eq=False)
class RescoredSearch:
    """Search scores after re-scoring, and ``how`` it was done."""

    how: str
    search: SearchScores


@dataclass(frozen=True, slots=True, eq=False)
class EvalReport:
    """What an engine scored on a data set, and by which rules; ``seconds`` is wall time.

    ``search`` is without any re-scoring; ``rescored`` has the others by name. ``boxes`` and
    ``query`` tell what was embedded (`train.evaluation.embed`). Detection scores are those of
    the boxes that were searched.
    """

    data: Path
    model: str
    detection: DetectionScores
    search: SearchScores
    frames: int
    seconds: float
    boxes: str = "detections"
    query: str = "box"
    rescored: Mapping[str, RescoredSearch] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values; scores are fractions of 1."""
        return {
            "detection": {"ap": self.detection.ap, "recall": self.detection.recall},
            "search": {
                **_scores(self.search),
                "gallery": self.search.protocol.gallery.name,
                "queries": len(self.search.queries),
            },
            "rescored": {
                name: {**_scores(other.search), "re_scoring": other.how}
                for name, other in self.rescored.items()
            },
            "protocol": self._protocol(),
            "data": str(self.data),
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
        }

    def _protocol(self) -> dict[str, Any]:
        protocol = self.search.protocol
        return {
            "det_thresh": protocol.score_threshold,
            "iou_rule": str(protocol.iou),
            "query_feature": _QUERY_FEATURES[self.query],
            "gallery": protocol.gallery.name,
            "boxes": _BOXES[self.boxes],
            "re_scoring": "none",
            "model": self.model,
            "unanswerable_queries": self.search.unanswerable,
        }


def _scores(search: SearchScores) -> dict[str, float]:
    return {"map": search.mean_ap, **{f"top{k}": share for k, share in search.top.items()}}
