"""Components and patterns in time: what the two panels show of a season that is known."""

import pytest
from small_store import WINDOW_S
from visitor import Visitor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def at_components(arrival: Visitor) -> None:
    arrival.visit(method="pca", k=3, panel="components")
    arrival.see("Share of the variance")


def test_the_variance_and_the_weights_are_drawn(visitor: Visitor) -> None:
    shares = visitor.charts("t[0].y", least=3)[0]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares[:2]) > 60  # three kinds lie in a plane
    visitor.see("Numbers that weigh most in component 1")
    visitor.choose("2", "Component")
    visitor.see("Numbers that weigh most in component 2")


def test_what_components_follow_and_what_vectors_tell(visitor: Visitor) -> None:
    names, strengths = visitor.until(
        lambda: next(
            (
                (names, values)
                for kind, names, values in visitor.charts("[t[0].type, t[0].y, t[0].z]")
                if kind == "heatmap"
            ),
            None,
        )
    )
    assert {"site", "time of day", "loudness"} <= set(names)
    loudness = strengths[names.index("loudness")]
    assert max(loudness[:2]) > 0.5  # rain, frog and bird are not equally loud
    told = {row[0]: float(row[1]) for row in visitor.cells()[1:]}
    assert told["site"] < 0.5  # each kind is heard at both


def test_the_ends_are_heard_and_selected(visitor: Visitor) -> None:
    for strip in (0, 1):
        assert visitor.lengths(strip) == pytest.approx([WINDOW_S] * 5, abs=1e-3)
    visitor.press("Select both ends")
    visitor.wait(".map", "data-selected", "10")


def test_days_and_hours(visitor: Visitor) -> None:
    visitor.choose("Patterns in time", "Panel")
    visitor.see("By the local clock; empty where nothing was recorded.")
    days, rows = visitor.charts("[t[0].y, t[0].z.length]")[0]
    assert days == ["2026-03-01", "2026-03-02", "2026-03-03"]
    assert rows == 3
    visitor.pick("Of what", "p(bird)")
    visitor.see("mean score")


def test_activity_by_hour_and_by_day(visitor: Visitor) -> None:
    visitor.choose("prediction", "Named by")
    visitor.choose("Activity", "View")
    visitor.see("By hour of the day")
    hours, days = visitor.until(
        lambda: visitor.charts("t.map(line => [line.name, line.x.length])", least=2)[:2],
        lambda found: len(found[0]) == 3,
    )
    assert {name for name, _ in hours} == {"frog", "bird", "rain"}
    assert len(days) == 3


def test_the_way_of_one_recording_is_drawn_on_the_map(visitor: Visitor) -> None:
    visitor.choose("One recording", "View")
    visitor.pick("Recording", "north/card_2.wav")
    visitor.press("Draw its way")
    visitor.until(lambda: visitor.on_map("m.data.trail.length") == 10)
    visitor.press("Forget the way")
    visitor.until(lambda: visitor.on_map("m.data.trail.length") == 0)


def test_what_follows_what(visitor: Visitor) -> None:
    visitor.choose("What follows what", "View")
    visitor.see("Each row: what follows in the same recording, as shares.")
    names, shares = visitor.charts("[t[0].x, t[0].z]")[0]
    follows = {"frog": "bird", "bird": "rain", "rain": "frog"}
    for name, row in zip(names, shares, strict=True):
        assert names[row.index(max(row))] == follows[name]
        assert max(row) == 1
