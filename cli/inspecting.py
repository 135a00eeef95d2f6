"""What an engine bundle is, and what a gallery holds."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cli.options import engine_path, gallery_path
from cli.output import facts, iso, links_table, plain, show, show_json, size_text
from engines.bundle import Bundle, open_bundle
from gallery.coverage import Coverage
from gallery.gallery import Gallery, GalleryInfo

MOST_ATTRIBUTIONS = 5
ALL = "--json shows all"


def run_engine_info(given: Path | None, *, as_json: bool) -> None:
    """Verify a bundle and print its manifest."""
    bundle = open_bundle(engine_path(given))
    if as_json:
        document = bundle.manifest.model_dump(mode="json", by_alias=True)
        show_json({"path": str(bundle.path.absolute()), "verified": True, **document})
        return
    show(facts(_engine_rows(bundle)))


def _engine_rows(bundle: Bundle) -> list[tuple[str, object]]:
    manifest = bundle.manifest
    height, width = manifest.input_hw
    size = manifest.files.search.bytes + manifest.files.query.bytes
    rows: list[tuple[str, object]] = [
        ("bundle", f"{manifest.name} (every file is what the manifest says)"),
        ("path", bundle.path.absolute()),
        ("model", manifest.model),
        ("made", f"{manifest.created:%Y-%m-%d %H:%M} from {manifest.dataset}"),
        ("input", f"{width} x {height}, at most {manifest.max_persons} persons a frame"),
        ("query", f"up to {manifest.query_boxes} boxes a frame at once"),
        ("embedding", f"{manifest.dim} numbers a person"),
        ("persons from", f"score {manifest.score_threshold:g}"),
        ("size", size_text(size)),
    ]
    rows += [("scored", line) for line in _leaves(manifest.metrics)]
    rows += [("training", line) for line in _top(manifest.training)]
    rows.append(("made with", ", ".join(f"{k} {v}" for k, v in manifest.versions.items())))
    return rows + _attributions(manifest.attributions)


def _leaves(values: object, path: str = "") -> list[str]:
    """Return one line a leaf of nested values, ``a.b: 1``."""
    if isinstance(values, dict):
        deep = [(f"{path}.{key}".lstrip("."), item) for key, item in values.items()]
        return [line for key, item in deep for line in _leaves(item, key)]
    return [f"{path}: {plain(values)}"]


def _top(values: dict[str, Any]) -> list[str]:
    """Return one line a value; what is nested is only counted."""
    return [
        f"{key}: {len(_leaves(item))} values ({ALL})" if isinstance(item, dict)
        else f"{key}: {plain(item)}"
        for key, item in values.items()
    ]  # fmt: skip


def _attributions(texts: Sequence[str]) -> list[tuple[str, object]]:
    if len(texts) <= MOST_ATTRIBUTIONS:
        return [("made from", text) for text in texts]
    return [("made from", f"{len(texts)} works of others, with their licences ({ALL})")]


def run_gallery_info(given: Path | None, *, as_json: bool) -> None:
    """Print what a gallery holds."""
    with Gallery.open(gallery_path(given)) as gallery:
        info, coverage = gallery.info(), gallery.coverage()
    if as_json:
        show_json(_gallery_document(info, coverage))
        return
    show(facts(_gallery_rows(info)))
    if info.links:
        show(links_table(info.links))
    show(coverage.summary(), *coverage.lines())


def _gallery_rows(info: GalleryInfo) -> list[tuple[str, object]]:
    return [
        ("gallery", info.path.absolute()),
        ("model", info.model),
        ("made", f"{info.created:%Y-%m-%d %H:%M} UTC"),
        ("sightings", info.sightings),
        *((f"  {day[:4]}-{day[4:6]}-{day[6:]}", count) for day, count in info.days),
        ("cameras", ", ".join(info.cameras) or "none"),
        ("vectors", size_text(info.store_bytes)),
        ("crops", size_text(info.crop_bytes)),
    ]


def _gallery_document(info: GalleryInfo, coverage: Coverage) -> dict[str, object]:
    since, until = info.recorded_since_ms, info.recorded_until_ms
    return {
        "path": str(info.path.absolute()),
        "model": info.model,
        "created": info.created.isoformat(),
        "sightings": info.sightings,
        "days": {f"{day[:4]}-{day[4:6]}-{day[6:]}": count for day, count in info.days},
        "cameras": list(info.cameras),
        "links": [asdict(link) for link in info.links],
        "recorded_since": None if since is None else iso(since),
        "recorded_until": None if until is None else iso(until),
        "store_bytes": info.store_bytes,
        "crop_bytes": info.crop_bytes,
        "coverage": coverage.to_dict(),
    }
