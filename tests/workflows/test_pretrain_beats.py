"""BEATs' iterations: what they leave behind, go on from after a kill, refuse, and do not depend on."""

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from bioacoustics import load_encoder, load_tokenizer
from bioacoustics.data.synthesis import SyntheticDataset
from bioacoustics.models.saved import bundle_of_encoder, read_bundle, write_bundle
from bioacoustics.models.saved_tokenizers import bundle_of_masked_tokens
from bioacoustics.models.tokenizer import DistilledTokenizer, RandomTokenizer
from bioacoustics.training.health import CollapseError
from bioacoustics.training.metrics import read_metrics
from bioacoustics.workflows.pretrain import PretrainConfig, pretrain

sys.path.insert(0, str(Path(__file__).parents[1] / "objectives"))
from small_beats import audio_encoder, masked_tokens

STAGES = ("iteration_1/encoder", "iteration_2/tokenizer", "iteration_2/encoder")


def run(folder: Path, data_dir: Path, console: Console | None = None, **changes: Any) -> None:
    settings = {
        "save_dir": folder,
        "data_dir": data_dir,
        "model": "beats",
        "target_length": 64,
        "batch_size": 4,
        "num_updates": 3,
        "tokenizer_updates": 2,
        "num_codes": 16,
        "log_every": 1,
        "validate_every": 3,
        "validation_share": 0.3,
        "min_code_perplexity": 0.0,
        "device": "cpu",
    }
    pretrain(PretrainConfig.model_validate({**settings, **changes}), console or Console(file=io.StringIO()))


@pytest.fixture(scope="module")
def small_beats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pre-training of a very small BEATs with the random projection that it learnt from."""
    objective = masked_tokens()
    path = tmp_path_factory.mktemp("models") / "small.pt"
    write_bundle(bundle_of_masked_tokens(objective.encoder, objective.predictor, objective.tokenizer), path)
    return path


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, sounds: SyntheticDataset, small_beats: Path
) -> tuple[Path, str]:
    """A run of two iterations, and what it said."""
    folder, said = tmp_path_factory.mktemp("finished"), io.StringIO()
    two = {"iterations": 2, "model_path": small_beats, "tokenizer_path": small_beats}
    run(folder, sounds.unlabeled_dir, Console(file=said, width=400), **two)
    return folder, said.getvalue()


def test_every_stage_is_a_run_and_the_last_model_lies_on_top(finished: tuple[Path, str]) -> None:
    folder, said = finished
    for stage in STAGES:
        assert {"checkpoint_best.pt", "run_state.pt", "config.json", "metrics.jsonl"} <= {
            path.name for path in (folder / stage).iterdir()
        }
        rows = read_metrics(folder / stage)
        assert all({"code_usage", "code_perplexity"} <= row.keys() for row in rows if "loss" in row)
    for name in ("checkpoint_best.pt", "checkpoint_last.pt"):
        assert (folder / name).read_bytes() == (folder / STAGES[2] / name).read_bytes()
    assert "Iteration 2 of 2: the tokenizer" in said
    assert "iteration_2, encoder: " in said
    assert "of masked patches" in said
    assert "the teacher is estimated with cosine" in said
    assert isinstance(load_tokenizer(folder / STAGES[0] / "checkpoint_best.pt"), RandomTokenizer)
    assert isinstance(load_tokenizer(folder / STAGES[1] / "checkpoint_best.pt"), DistilledTokenizer)
    assert load_encoder(folder / "checkpoint_best.pt").embedding_dim == 32


def test_tokenizer_begins_as_its_teacher_and_the_next_encoder_where_the_last_ended(
    tmp_path: Path, sounds: SyntheticDataset, small_beats: Path
) -> None:
    still: dict[str, Any] = {"learning_rate": 1e-12, "tokenizer_learning_rate": 1e-12, "num_updates": 1}
    run(tmp_path / "run", sounds.unlabeled_dir, model_path=small_beats, tokenizer_updates=1, **still)
    before = {k: v for k, v in read_bundle(small_beats).weights.items() if k.startswith("encoder.")}
    for stage in ("tokenizer", "encoder"):
        after = read_bundle(tmp_path / "run" / "iteration_1" / stage / "checkpoint_last.pt").weights
        for name, value in before.items():
            torch.testing.assert_close(after[name], value, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("gone", [1, 2])
def test_a_kill_between_stages_changes_nothing(
    tmp_path: Path, finished: tuple[Path, str], sounds: SyntheticDataset, small_beats: Path, gone: int
) -> None:
    """What is there after a kill is the folder without the stages that had not begun."""
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    for stage in STAGES[gone:]:
        shutil.rmtree(folder / stage)
    for name in ("checkpoint_best.pt", "checkpoint_last.pt"):
        (folder / name).unlink()
    two = {"iterations": 2, "model_path": small_beats, "tokenizer_path": small_beats}
    run(folder, sounds.unlabeled_dir, **two)
    for stage in (*STAGES, "."):
        for name in ("checkpoint_best.pt", "checkpoint_last.pt"):
            assert (folder / stage / name).read_bytes() == (finished[0] / stage / name).read_bytes(), stage


def test_more_iterations_go_on_from_those_that_are_done(
    tmp_path: Path, finished: tuple[Path, str], sounds: SyntheticDataset, small_beats: Path
) -> None:
    folder = tmp_path / "run"
    one = {"model_path": small_beats, "tokenizer_path": small_beats}
    run(folder, sounds.unlabeled_dir, iterations=1, **one)
    run(folder, sounds.unlabeled_dir, iterations=2, **one)
    for name in ("checkpoint_best.pt", "checkpoint_last.pt"):
        assert (folder / name).read_bytes() == (finished[0] / name).read_bytes()


@pytest.mark.parametrize("split", [{"batch_size": 2, "update_freq": 2}, {"micro_batch_size": 3}])
def test_accumulation_equals_the_larger_batch(
    tmp_path: Path,
    finished: tuple[Path, str],
    sounds: SyntheticDataset,
    small_beats: Path,
    split: dict[str, int],
) -> None:
    two = {"iterations": 2, "model_path": small_beats, "tokenizer_path": small_beats}
    run(tmp_path, sounds.unlabeled_dir, **two, **split)
    for stage in STAGES:
        losses = [
            [row["loss"] for row in read_metrics(folder / stage) if "loss" in row]
            for folder in (tmp_path, finished[0])
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_new_model_learns_from_a_random_projection_of_these_recordings(
    tmp_path: Path, sounds: SyntheticDataset
) -> None:
    for name in ("one", "again"):
        torch.rand(3)
        new = {"model_size": "tiny", "num_updates": 1, "batch_size": 1, "normalisation": "measured"}
        run(tmp_path / name, sounds.unlabeled_dir, **new)
    model = tmp_path / "one" / "checkpoint_last.pt"
    assert model.read_bytes() == (tmp_path / "again" / "checkpoint_last.pt").read_bytes()
    tokenizer = load_tokenizer(model)
    assert isinstance(tokenizer, RandomTokenizer)
    assert tokenizer.front_end.config == load_encoder(model).front_end.config
    assert tokenizer.front_end.config.mean != 15.41663
    assert len(set(tokenizer.random_projection.config.band_mean)) > 64  # measured


def test_continues_from_published_models(
    tmp_path: Path, sounds: SyntheticDataset, golden_beats: Path
) -> None:
    """A fine-tuned one teaches its logits; a published tokenizer gives the tokens."""
    once: dict[str, Any] = {"num_updates": 1, "tokenizer_updates": 1, "batch_size": 2}
    run(tmp_path / "a", sounds.unlabeled_dir, model_path=golden_beats / "beats_finetuned.pt", **once)
    assert load_encoder(tmp_path / "a" / "checkpoint_best.pt").embedding_dim == 96
    tokens = {"tokenizer_path": golden_beats / "tokenizer.pt"}
    run(
        tmp_path / "b",
        sounds.unlabeled_dir,
        model_path=golden_beats / "beats_pretrained.pt",
        **tokens,
        **once,
    )
    assert not (tmp_path / "b" / "iteration_1" / "tokenizer").exists()
    header = read_bundle(tmp_path / "b" / "checkpoint_best.pt").header
    assert header.predictor is not None
    assert header.predictor.num_codes == 64
    assert header.card is not None
    assert [one.name for one in header.card.parents] == ["beats_pretrained.pt", "tokenizer.pt"]
    assert [one.data for one in header.card.schooling] == [sounds.unlabeled_dir.name]


def test_a_collapsed_codebook_stops_the_run(
    tmp_path: Path, sounds: SyntheticDataset, small_beats: Path
) -> None:
    with pytest.raises(CollapseError, match="codebook has collapsed: at update 2 only"):
        run(
            tmp_path,
            sounds.unlabeled_dir,
            model_path=small_beats,
            tokenizer_path=small_beats,
            min_code_perplexity=17.0,  # more than there are codes
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_clones": 2}, "--num_clones says nothing to --model beats"),
        ({"model": "eat", "iterations": 2}, "--iterations says nothing to --model eat"),
    ],
)
def test_flags_of_the_other_model_are_refused(
    tmp_path: Path, sounds: SyntheticDataset, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        own = {"tokenizer_updates": None, "num_codes": 1024, "min_code_perplexity": 4.0}
        run(tmp_path, sounds.unlabeled_dir, **{**own, **changes})


def test_changed_tokens_are_refused(
    tmp_path: Path, finished: tuple[Path, str], sounds: SyntheticDataset, small_beats: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    other = {"iterations": 2, "model_path": small_beats, "tokenizer_path": None}
    with pytest.raises(ValueError, match=r"tokenizer\.fingerprint was"):
        run(folder, sounds.unlabeled_dir, **other)


def test_an_eat_model_is_not_continued_as_beats(
    tmp_path: Path, sounds: SyntheticDataset, small_model: Path
) -> None:
    with pytest.raises(ValueError, match="is no BEATs model"):
        run(tmp_path, sounds.unlabeled_dir, model_path=small_model)
    write_bundle(bundle_of_encoder(audio_encoder()), tmp_path / "beats.pt")
    eat = {"model": "eat", "num_codes": 1024, "tokenizer_updates": None, "min_code_perplexity": 4.0}
    with pytest.raises(ValueError, match="is a beats model: add --model beats"):
        run(tmp_path / "run", sounds.unlabeled_dir, model_path=tmp_path / "beats.pt", **eat)
