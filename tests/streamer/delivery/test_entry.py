"""Entries: what goes in comes out, and nothing that was changed on the way passes."""

from dataclasses import replace

import numpy as np
import pytest

from gallery.values import CameraState, CoverageSpan, Link
from streamer.delivery.entry import (
    FIELDS,
    CoverageMessage,
    LinksMessage,
    SightingMessage,
    digest,
    pack_links,
    pack_sighting,
    pack_span,
    read_fields,
    unpack,
)
from streamer.errors import EntryError


def test_a_sighting_travels_with_its_crop(one) -> None:
    sent = one(7)
    message = unpack(read_fields(pack_sighting(sent, b"\xff\xd8jpeg").fields()))
    assert isinstance(message, SightingMessage)
    assert message.jpeg == b"\xff\xd8jpeg"
    for name in ("id", "camera", "captured_at_ms", "tracklet", "box", "score", "quality", "model"):
        assert getattr(message.sighting, name) == getattr(sent, name), name
    assert message.sighting.frame_wh == (640, 480)
    assert message.sighting.embedding.dtype == np.float32
    assert np.array_equal(message.sighting.embedding, sent.embedding)


def test_the_bytes_are_those_that_the_module_describes(one) -> None:
    fields = pack_sighting(one(1), b"").fields()
    assert tuple(fields) == FIELDS
    assert fields[b"v"] == b"\x01"
    assert fields[b"e"] == one(1).embedding.astype("<f4").tobytes()
    assert b'"at_ms":1772460000200,' in fields[b"b"]


def test_coverage_and_links_travel() -> None:
    span = CoverageSpan(
        "c", CameraState.STALLED, 1, 2, 3, 4, (("late", 5), ("queue", 6)), "no frames", "m"
    )
    message = unpack(read_fields(pack_span(span, "m").fields()))
    assert message == CoverageMessage(span, "m")
    links = (Link("a", "b", 0.5, 60.0), Link("b", "a", 1.0, 2.0))
    assert unpack(read_fields(pack_links(links, "m").fields())) == LinksMessage(links, "m")


def test_every_changed_byte_is_found(one) -> None:
    fields = pack_sighting(one(3), b"crop").fields()
    for name in FIELDS:
        for place in range(0, len(fields[name]), 97):
            value = bytearray(fields[name])
            value[place] ^= 1
            with pytest.raises(EntryError, match=r"damaged|version"):
                read_fields({**fields, name: bytes(value)})


def test_a_border_between_fields_cannot_move() -> None:
    assert digest((b"ab", b"c")) != digest((b"a", b"bc"))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "no entry of ours"),
        ({b"temperature": b"21"}, "no entry of ours.*temperature"),
        ({b"v": b"\x02"}, "version b'.x02'"),
        ({b"v": b"\x01", b"k": b"sighting"}, "with the fields"),
    ],
)
def test_what_is_not_ours_is_told(fields, reason: str) -> None:
    with pytest.raises(EntryError, match=reason):
        read_fields(fields)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"embedding": b"\0" * 1020}, "has 1020 bytes, want 1024"),
        ({"body": b"{}"}, "id: Field required"),
        ({"body": b"\xff"}, "sighting: values"),
        ({"kind": "coverage"}, "coverage: "),
    ],
)
def test_values_that_cannot_be_are_told(one, change, reason: str) -> None:
    with pytest.raises(EntryError, match=reason):
        unpack(replace(pack_sighting(one(3), b""), **change))


def test_a_score_that_is_no_number_does_not_pass(one) -> None:
    with pytest.raises(EntryError, match="score"):
        unpack(pack_sighting(replace(one(3), score=float("nan")), b""))
