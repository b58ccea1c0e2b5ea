"""Clusters: each control of the panel moved."""

import pytest
from small_store import WINDOW_S
from visitor import Visitor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def at_clusters(arrival: Visitor) -> None:
    arrival.visit(method="pca", k=3, panel="clusters")
    arrival.see("Typical")


def sizes(visitor: Visitor) -> list[int]:
    return sorted(int(row[1]) for row in visitor.cells()[1:] if row[1])


def test_three_kinds_are_three_clusters(visitor: Visitor) -> None:
    assert sizes(visitor) == [20, 20, 20]
    visitor.see("Agreement with the labels: ARI 1.00, AMI 1.00 (2 labelled windows")


def test_typical_and_odd_members_are_heard(visitor: Visitor) -> None:
    for strip in (0, 1):
        lengths = visitor.lengths(strip)
        assert len(lengths) == 6
        assert lengths == pytest.approx([WINDOW_S] * 6, abs=1e-3)
    band = visitor.charts("[layout.xaxis.title.text, t[0].x.at(-1)]")
    assert band[-1] == ["kHz", 8]  # half of the rate


def test_a_cluster_is_chosen_selected_and_named(visitor: Visitor) -> None:
    visitor.pick("Cluster", "group 2")
    visitor.press("Select this cluster")
    visitor.wait(".map", "data-selected", "20")
    visitor.settle()
    visitor.page.get_by_label("Name of the cluster").fill("tree frogs")
    visitor.page.keyboard.press("Enter")
    visitor.page.locator(".legend").get_by_text("tree frogs").wait_for()
    visitor.until(lambda: "tree frogs" in {row[0] for row in visitor.cells()[1:]})


def test_guidance_finds_the_three(visitor: Visitor) -> None:
    visitor.press("Compute guidance")
    visitor.see("The silhouette is best at 3; the elbow lies at 3.")
    best = visitor.charts("t[0].x[t[0].y.indexOf(Math.max(...t[0].y))]")[0]
    assert best == 3


def test_more_clusters_are_smaller_ones(visitor: Visitor) -> None:
    visitor.slide("Number of clusters", "ArrowRight", 2)
    visitor.until(lambda: len(sizes(visitor)) == 5 and sum(sizes(visitor)) == 60)


def test_hdbscan_leaves_windows_out_and_minds_the_smallest_size(visitor: Visitor) -> None:
    visitor.choose("HDBSCAN")
    visitor.see("Smallest cluster")
    visitor.until(lambda: sizes(visitor) and min(sizes(visitor)) >= 15)
    visitor.slide("Smallest cluster", "ArrowRight", 10)  # 25 of 20 that sound alike
    visitor.until(lambda: all(size >= 25 for size in sizes(visitor)))
