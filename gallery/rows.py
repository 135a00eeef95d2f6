"""How a sighting lies in the store: one row, its fields, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from engines.values import EMBEDDING_DIM
from gallery.values import Sighting

VECTOR = "embedding"
FIELDS = (
    "id",
    "camera",
    "ts",
    "tracklet",
    "x1",
    "y1",
    "x2",
    "y2",
    "score",
    "quality",
    "crop",
    "model",
    "frame_w",
    "frame_h",
    VECTOR,
)
"""Asked for by name in every query: what a store returns unasked differs between stores."""
ROW_BYTES = 4 * EMBEDDING_DIM + 512
"""What a row takes at most in the log of the store, text and overhead included."""


def schema(pymilvus: Any) -> Any:
    """Return the collection's schema; the id is the key, nothing dynamic."""
    kind = pymilvus.DataType
    made = pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field("id", kind.VARCHAR, is_primary=True, max_length=64)
    made.add_field("camera", kind.VARCHAR, max_length=64)
    made.add_field("ts", kind.INT64)
    made.add_field("tracklet", kind.VARCHAR, max_length=192)
    for name in ("x1", "y1", "x2", "y2", "score", "quality"):
        made.add_field(name, kind.DOUBLE)
    made.add_field("crop", kind.VARCHAR, max_length=256)
    made.add_field("model", kind.VARCHAR, max_length=256)
    for name in ("frame_w", "frame_h"):
        made.add_field(name, kind.INT32)
    made.add_field(VECTOR, kind.FLOAT_VECTOR, dim=EMBEDDING_DIM)
    return made


def to_row(sighting: Sighting) -> dict[str, object]:
    """Return the row of a sighting that was checked."""
    x1, y1, x2, y2 = (float(value) for value in sighting.box)
    return {
        "id": sighting.id,
        "camera": sighting.camera,
        "ts": int(sighting.captured_at_ms),
        "tracklet": sighting.tracklet,
        "x1": x1,
        "y1": y1,
        "x2": x2,
        "y2": y2,
        "score": float(sighting.score),
        "quality": float(sighting.quality),
        "crop": sighting.crop,
        "model": sighting.model,
        "frame_w": int(sighting.frame_wh[0]),
        "frame_h": int(sighting.frame_wh[1]),
        VECTOR: np.asarray(sighting.embedding, np.float32),
    }


def to_sighting(row: Mapping[str, Any]) -> Sighting:
    """Return the sighting of a row."""
    return Sighting(
        id=row["id"],
        camera=row["camera"],
        captured_at_ms=int(row["ts"]),
        tracklet=row["tracklet"],
        box=(row["x1"], row["y1"], row["x2"], row["y2"]),
        score=row["score"],
        quality=row["quality"],
        embedding=np.asarray(row[VECTOR], np.float32),
        crop=row["crop"],
        model=row["model"],
        frame_wh=(int(row["frame_w"]), int(row["frame_h"])),
    )
