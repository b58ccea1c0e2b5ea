"""Compare: two models side by side, and a lasso on the one that selects on the other."""

import pytest
from visitor import Visitor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def at_compare(arrival: Visitor) -> None:
    arrival.visit(method="pca", k=3, panel="compare")
    arrival.see("A lasso on either selects on both.")


def test_neighbours_and_skills_of_both(visitor: Visitor) -> None:
    shown = visitor.page.get_by_test_id("stMetricValue").inner_text()
    assert 20 < float(shown.strip(" %")) < 90  # half of the windows have other neighbours
    assert visitor.cells()[0] == ["what", "This model", "The other model"]


def test_a_lasso_on_the_other_map_selects_on_this_one(visitor: Visitor) -> None:
    maps = visitor.page.locator(".st-key-panel_body .js-plotly-plot")
    assert visitor.charts("t[0].x.length", least=2) == [60, 60]
    other = maps.nth(1).locator(".nsewdrag").first
    other.scroll_into_view_if_needed()
    box = other.bounding_box()
    mouse = visitor.page.mouse
    corners = [(0.02, 0.02), (0.5, 0.02), (0.5, 0.98), (0.02, 0.98), (0.02, 0.05)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    mouse.move(*places[0])
    mouse.down()
    for place in places[1:]:
        mouse.move(*place, steps=6)
    mouse.up()
    count = int(visitor.wait(".map", "data-selected", lambda text: 0 < int(text) < 60))
    visitor.until(lambda: visitor.charts("(t[0].selectedpoints ?? []).length") == [count, count])


def test_points_are_named_by_what_is_chosen(visitor: Visitor) -> None:
    visitor.choose("prediction", "Named by")
    visitor.until(lambda: visitor.charts("[...new Set(t[0].text)].sort().join()") == ["bird,frog,rain"] * 2)
