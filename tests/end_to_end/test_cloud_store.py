"""A store on a server that speaks S3: the one of moto, on this machine."""

import io
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.saved import bundle_of_encoder, write_bundle
from bioacoustics.store.database import Store
from bioacoustics.workflows.embed import EmbedConfig, embed

moto_server = pytest.importorskip("moto.server", reason="pip install -e '.[cloud-test]'")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, and the variables with which any program finds it."""
    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    words = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/season", method="PUT")).close()
    yield "s3://season"
    server.stop()


def test_embed_writes_to_it_goes_on_and_equals_a_folder(bucket: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = EATConfig(embed_dim=32, depth=1, num_heads=2, num_position_columns=16)
    write_bundle(bundle_of_encoder(AudioEncoder(LogMelConfig.eat(), EATEncoder(config))), tmp_path / "m.pt")
    card = tmp_path / "tarjeta"
    card.mkdir()

    def embedded(output: str) -> str:
        screen = io.StringIO()
        embed(
            EmbedConfig(
                model_path=tmp_path / "m.pt", data_dir=card, output=output, window_s=1.0, device="cpu"
            ),
            Console(file=screen, width=1000),
        )
        return screen.getvalue()

    for i in range(2):
        noise = np.random.default_rng(i).normal(0, 0.1, 48_000)
        soundfile.write(card / f"S{i}_20240301_053000.wav", noise, 16_000)
        embedded(f"{bucket}/2024.lance")
    embedded(str(tmp_path / "2024.lance"))
    columns = ["recording", "start_s", "start_time", "site", "vector"]
    far, near = (
        Store.open(place)
        .rows("windows", columns)
        .sort_by([("recording", "ascending"), ("start_s", "ascending")])
        for place in (f"{bucket}/2024.lance", str(tmp_path / "2024.lance"))
    )
    assert far.num_rows == 6
    assert far.equals(near)
