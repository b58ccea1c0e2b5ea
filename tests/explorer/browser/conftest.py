"""A browser, a season that is served once for all files here, and a visitor who is well treated."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for visitor.py
sys.path.insert(0, str(Path(__file__).parents[1]))  # for small_store.py
from small_store import KINDS, make_store
from visitor import CHROMIUM, FLAGS, Served, Visitor, arrive, serve

from bioacoustics.explorer.opening import OpeningConfig
from bioacoustics.store.database import Store
from bioacoustics.store.schema import SCORES


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for each file: there can only be one at a time, and other files start their own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def season(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 windows of six recordings with scores of a classifier, and the same of another model; only read."""
    folder = tmp_path_factory.mktemp("temporada de campo")  # a space, as real folders have
    store = make_store(folder)
    shutil.copytree(store, folder / "other.lance")
    add_scores(Store.open(store))
    turned = Store.open(folder / "other.lance")
    table = turned.rows("windows", turned.table("windows").schema.names)
    vectors = np.stack(table["vector"].to_pylist()).astype(np.float32)
    vectors[:30] = np.random.default_rng(1).normal(size=vectors[:30].shape)  # it cannot tell these apart
    schema = table.schema
    column = pa.FixedSizeListArray.from_arrays(vectors.astype(np.float16).ravel(), vectors.shape[1])
    table = table.set_column(schema.get_field_index("vector"), schema.field("vector"), column)
    model = pa.array(["another"] * len(table), schema.field("model").type)
    table = table.set_column(schema.get_field_index("model"), schema.field("model"), model)
    turned.upsert("windows", table.cast(schema))
    return folder


def add_scores(store: Store) -> None:
    """What a classifier that knows the three kinds would say: sure of one in three, torn about the others."""
    store.state("predict c", {"command": "predict", "labels": list(KINDS)})
    rows = []
    for number in range(6):
        for i in range(10):
            scores = np.full(len(KINDS), 0.1)
            at = (number + i) % len(KINDS)
            scores[at] = 0.9 if i % 3 == 0 else 0.5
            said = {"predicted": KINDS[at], "probability": float(scores[at]), "scores": scores.tolist()}
            rows.append({"id": f"r{number}-{i}", "model": "c", **said})
    store.upsert("scores", pa.Table.from_pylist(rows, SCORES), ["id", "model"])


@pytest.fixture(scope="session")
def served(season: Path) -> Iterator[Served]:
    """The season on the page, with the other model beside it."""
    config = OpeningConfig(
        store=season / "season.lance", compare=season / "other.lance", language="en", browser=False
    )
    with serve(config, season / "cache") as page:
        yield page


@pytest.fixture(scope="module")
def arrival(browser: Any, served: Served) -> Iterator[Visitor]:
    """Somebody who comes to the season's page; one for each file, who says where to begin."""
    yield from arrive(browser, served)


@pytest.fixture
def visitor(arrival: Visitor) -> Iterator[Visitor]:
    """The visitor of this file; in no step may anything go wrong, and nobody but the page may be asked."""
    yield arrival
    assert arrival.complaints == []
    assert arrival.strangers == []
    assert arrival.page.locator("[data-testid=stException]").count() == 0
    assert "Traceback" not in arrival.served.log.read_text()
