from gallery.topology import Topology, Walk
from gallery.values import Link

CHAIN = Topology([Link("a", "b", 5, 20), Link("b", "c", 7, 30)])


def test_link_holds_both_ways() -> None:
    assert CHAIN.walk("a", "b") == Walk(5, 20)
    assert CHAIN.walk("b", "a") == Walk(5, 20)


def test_way_back_may_be_declared() -> None:
    stairs = Topology([Link("down", "up", 9, 60), Link("up", "down", 6, 40)])
    assert stairs.walk("down", "up") == Walk(9, 60)
    assert stairs.walk("up", "down") == Walk(6, 40)
    assert Topology([Link("up", "down", 6, 40), Link("down", "up", 9, 60)]).walk(
        "up", "down"
    ) == Walk(6, 40)


def test_way_past_other_cameras_has_no_longest_time() -> None:
    assert CHAIN.walk("a", "c") == Walk(12, None, ("b",))
    assert CHAIN.walk("c", "a") == Walk(12, None, ("b",))


def test_quicker_way_round_lowers_the_least_time_of_a_link() -> None:
    site = Topology([Link("a", "b", 1, 9), Link("b", "c", 2, 9), Link("a", "c", 10, 50)])
    assert site.walk("a", "c") == Walk(3, 50, ("b",))


def test_cameras_that_nothing_joins_are_not_limited() -> None:
    site = Topology([Link("a", "b", 1, 9), Link("x", "y", 1, 9)])
    assert site.walk("a", "x") is None
    assert site.walk("a", "unheard") is None
    assert Topology([]).walk("a", "b") is None


def test_same_camera_is_limited_only_by_a_link_to_itself() -> None:
    assert CHAIN.walk("a", "a") is None
    assert Topology([Link("a", "a", 30, 90)]).walk("a", "a") == Walk(30, 90)


def test_views_that_overlap() -> None:
    site = Topology([Link("a", "b", -4, 9), Link("b", "c", 3, 9)])
    assert site.walk("a", "b") == Walk(-4, 9)
    assert site.walk("a", "c") == Walk(3, None, ("b",))
