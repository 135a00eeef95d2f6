"""Values of options: what they become, and what is said about wrong ones."""

import pytest

from cli.errors import CliError
from cli.options import parse_box, parse_cameras, prose
from cli.output import clock, iso, plain, xywh


def test_a_box_is_left_top_width_height() -> None:
    assert parse_box("10,20,30.5,40") == (10, 20, 40.5, 60)


def test_a_box_survives_the_way_to_json_and_back() -> None:
    assert xywh(parse_box("10,20,30.5,40")) == [10, 20, 30.5, 40]


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1;2;3;4"])
def test_a_box_of_other_than_four_numbers_is_refused(text: str) -> None:
    with pytest.raises(CliError, match=r"--box: want x,y,w,h in pixels"):
        parse_box(text)


@pytest.mark.parametrize("text", ["1,2,0,4", "1,2,3,-4", "1,2,nan,4"])
def test_an_empty_box_is_refused(text: str) -> None:
    with pytest.raises(CliError, match="width and height must be above 0"):
        parse_box(text)


def test_cameras_keep_every_equals_sign_of_the_url() -> None:
    assert parse_cameras(["a=http://h/x?y=1", "b=c.mp4"]) == {"a": "http://h/x?y=1", "b": "c.mp4"}


@pytest.mark.parametrize("pair", ["rtsp://u:secret@h/1", "=x.mp4", "door="])
def test_a_camera_without_name_or_url_is_refused_without_the_url(pair: str) -> None:
    with pytest.raises(CliError, match="want NAME=URL") as caught:
        parse_cameras([pair])
    assert "secret" not in str(caught.value)


def test_a_camera_given_twice_is_refused() -> None:
    with pytest.raises(CliError, match="door is given twice"):
        parse_cameras(["door=a.mp4", "door=b.mp4"])


def test_moments_are_utc_with_milliseconds() -> None:
    assert iso(1_772_460_000_042) == "2026-03-02T14:00:00.042Z"
    assert iso(-1) == "1969-12-31T23:59:59.999Z"
    assert clock(1_772_460_000_942) == "2026-03-02 14:00:00.9"


def test_prose_joins_lines_but_not_paragraphs() -> None:
    assert prose("One\n    two.\n\n    Three.") == "One two.\n\nThree."


def test_plain_rounds_floats_at_every_depth() -> None:
    assert plain({1: (0.123456, [True, 2])}) == {"1": [0.1235, [True, 2]]}
