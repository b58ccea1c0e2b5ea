"""Conversion there and back again is equal; what does not fit is said."""

import json
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.card import Card, Schooling
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import (
    Bundle,
    bundle_of_classifier,
    bundle_of_encoder,
    load_classifier,
    load_encoder,
    read_bundle,
    write_bundle,
)
from bioacoustics.workflows.convert import Target, convert

FAIRSEQ = ("pretrain_p1.pt", "pretrain_p2.pt", "finetune.pt")
HUGGING_FACE = ("hf_pretrain", "hf_finetune")
BEATS = ("beats_pretrained.pt", "beats_finetuned.pt", "beats_prenorm_glu.pt", "beats_plain.pt")


def assert_same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, Tensor):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            assert_same(ours[name], value)
    else:
        assert type(ours) is type(theirs)
        assert ours == theirs


def halved(source: Path, target: Path) -> Path:
    """The file as a float16 run would have saved it: the teacher stays in float32."""
    checkpoint = torch.load(source, weights_only=True)
    model = checkpoint["model"]
    checkpoint["model"] = OrderedDict((k, v if k == "_ema" else v.half()) for k, v in model.items())
    torch.save(checkpoint, target)
    return target


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("name", FAIRSEQ)
def test_fairseq_to_ours_and_back_is_equal(
    tmp_path: Path, golden_eat: Path, name: str, half: bool, suffix: str
) -> None:
    theirs = halved(golden_eat / name, tmp_path / name) if half else golden_eat / name
    header = convert(theirs, tmp_path / f"ours{suffix}", "bioacoustics")
    assert header.source is not None
    assert header.source.dtype == ("float16" if half else "float32")
    convert(tmp_path / f"ours{suffix}", tmp_path / "back.pt", "fairseq")
    assert_same(*(torch.load(path, weights_only=True) for path in (tmp_path / "back.pt", theirs)))


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("name", BEATS)
def test_beats_to_ours_and_back_is_equal(
    tmp_path: Path, golden_beats: Path, name: str, half: bool, suffix: str
) -> None:
    theirs = halved(golden_beats / name, tmp_path / name) if half else golden_beats / name
    convert(theirs, tmp_path / f"ours{suffix}", "bioacoustics")
    convert(tmp_path / f"ours{suffix}", tmp_path / "back.pt", "beats")
    back, original = (torch.load(path, weights_only=True) for path in (tmp_path / "back.pt", theirs))
    assert_same(dict(sorted(back.items())), dict(sorted(original.items())))


def test_layouts_are_of_one_kind_of_model(tmp_path: Path, golden_eat: Path, golden_beats: Path) -> None:
    with pytest.raises(ValueError, match="layout is that of BEATs models, and this is a 'eat' model"):
        convert(golden_eat / "finetune.pt", tmp_path / "out.pt", "beats")
    for target, output in (("fairseq", "out.pt"), ("huggingface", "out")):
        with pytest.raises(ValueError, match="layout is that of EAT models, and this is a 'beats' model"):
            convert(golden_beats / "beats_pretrained.pt", tmp_path / output, target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("name", HUGGING_FACE)
def test_hugging_face_to_ours_and_back_is_equal(
    tmp_path: Path, golden_eat: Path, name: str, half: bool
) -> None:
    theirs = golden_eat / name
    if half:
        weights = safetensors.torch.load_file(theirs / "model.safetensors")
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        shutil.copyfile(golden_eat / name / "config.json", theirs / "config.json")
        weights = {k: v.half() for k, v in weights.items()}
        safetensors.torch.save_file(weights, theirs / "model.safetensors", {"format": "pt"})
    convert(theirs, tmp_path / "ours.pt", "bioacoustics")
    convert(tmp_path / "ours.pt", tmp_path / "back", "huggingface")
    assert (tmp_path / "back" / "model.safetensors").read_bytes() == (
        theirs / "model.safetensors"
    ).read_bytes()
    configs = [json.loads((folder / "config.json").read_text()) for folder in (tmp_path / "back", theirs)]
    assert_same(*configs)


def without_source(bundle: Bundle) -> dict[str, Any]:
    return bundle.header.model_dump(exclude={"source", "versions"})


@pytest.mark.parametrize("name", ["finetune.pt", *HUGGING_FACE])
@pytest.mark.filterwarnings("ignore:there is no decoder")
def test_all_the_way_round_is_equal(tmp_path: Path, golden_eat: Path, name: str) -> None:
    first = read_bundle(golden_eat / name)
    path = golden_eat / name
    for i, to in enumerate(
        ("fairseq", "huggingface", "bioacoustics", "huggingface", "fairseq", "bioacoustics")
    ):
        target: Target = to  # type: ignore[assignment]
        output = tmp_path / (f"{i}" if to == "huggingface" else f"{i}.pt")
        convert(path, output, target)
        path = output
        bundle = read_bundle(path)
        assert without_source(bundle) == without_source(first)
        assert_same(dict(sorted(bundle.weights.items())), dict(sorted(first.weights.items())))


def test_the_decoder_and_the_teacher_are_missed_aloud(tmp_path: Path, golden_eat: Path) -> None:
    with pytest.warns(UserWarning, match="the decoder and the teacher"):
        convert(golden_eat / "pretrain_p1.pt", tmp_path / "x", "huggingface")
    arrays = np.load(golden_eat / "features_p1.npz")
    log_mel = torch.from_numpy(arrays["T64__fbank"][:, 0])
    ours = load_encoder(tmp_path / "x").features(log_mel)
    assert torch.equal(ours.patches, load_encoder(golden_eat / "pretrain_p1.pt").features(log_mel).patches)
    assert read_bundle(tmp_path / "x").header.kind == "encoder"


def test_a_classifier_keeps_its_logits_in_every_layout(tmp_path: Path, golden_eat: Path) -> None:
    log_mel = torch.from_numpy(np.load(golden_eat / "finetune.npz")["fbank"][:, 0])
    for name in ("finetune.pt", "hf_finetune"):
        logits = load_classifier(golden_eat / name).logits(log_mel)
        outputs: tuple[tuple[Target, str], ...] = (
            ("bioacoustics", "x.safetensors"), ("fairseq", "y.pt"), ("huggingface", "z"),
        )  # fmt: skip
        for to, output in outputs:
            convert(golden_eat / name, tmp_path / output, to)
            assert torch.equal(load_classifier(tmp_path / output).logits(log_mel), logits)


def test_the_state_of_the_optimizer_is_missed_aloud(tmp_path: Path, golden_eat: Path) -> None:
    checkpoint = torch.load(golden_eat / "pretrain_p1.pt", weights_only=True)
    checkpoint["last_optimizer_state"] = {"state": {0: {"exp_avg": torch.zeros(2)}}}
    torch.save(checkpoint, tmp_path / "x.pt")
    with pytest.warns(UserWarning, match=r"x\.pt: not carried along: last_optimizer_state"):
        convert(tmp_path / "x.pt", tmp_path / "y.pt", "bioacoustics")


@pytest.mark.parametrize(
    ("output", "to", "message"),
    [
        ("x.ckpt", "bioacoustics", r"\.pt or \.safetensors"),
        ("x", "fairseq", r"ends in \.pt"),
        ("x.safetensors", "fairseq", r"ends in \.pt"),
        ("x.pt", "huggingface", "folder"),
        ("a folder.pt", "fairseq", "name of a file"),
    ],
)
def test_outputs_that_do_not_suit_the_layout(
    tmp_path: Path, golden_eat: Path, output: str, to: Target, message: str
) -> None:
    (tmp_path / "a folder.pt").mkdir()
    with pytest.raises(ValueError, match=message):
        convert(golden_eat / "finetune.pt", tmp_path / output, to)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a folder.pt"]


def test_a_model_is_not_converted_onto_itself(tmp_path: Path, golden_eat: Path) -> None:
    path = tmp_path / "x.pt"
    shutil.copyfile(golden_eat / "finetune.pt", path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another name"):
        convert(path, path, "bioacoustics")
    assert path.read_bytes() == before


def test_missing_models_and_folders(tmp_path: Path, golden_eat: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.pt"):
        convert(tmp_path / "no.pt", tmp_path / "x.pt", "bioacoustics")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        convert(golden_eat / "finetune.pt", tmp_path / "no" / "x.pt", "bioacoustics")


def test_a_detector_with_a_layer_more_is_refused_by_the_published_layouts(tmp_path: Path) -> None:
    encoder = AudioEncoder(LogMelConfig.eat(), EATEncoder(EATConfig(embed_dim=32, depth=1, num_heads=2)))
    head = ClassificationHead(HeadConfig(num_classes=1, refines=True), 32)
    classifier = AudioClassifier(encoder, head, ("curlew",), multi_label=True)
    write_bundle(bundle_of_classifier(classifier), tmp_path / "detector.pt")
    for layout, name in (("fairseq", "out.pt"), ("huggingface", "out")):
        with pytest.raises(ValueError, match="more layers than the published classifiers"):
            convert(tmp_path / "detector.pt", tmp_path / name, layout)
    convert(tmp_path / "detector.pt", tmp_path / "again.safetensors", "bioacoustics")
    assert read_bundle(tmp_path / "again.safetensors").header.head == head.config


def test_a_licence_is_added_to_own_weights_alone(tmp_path: Path, golden_eat: Path) -> None:
    card = Card(schooling=(Schooling(command="pretrain", data="bosque", num_recordings=1, hours=0.1),))
    source = tmp_path / "own.pt"
    write_bundle(read_bundle(golden_eat / "pretrain_p1.pt").with_card(card), source)
    for target in ("own.safetensors", "fairseq.pt"):
        to: Target = "fairseq" if "fairseq" in target else "bioacoustics"
        convert(source, tmp_path / target, to, licence="CC-BY-4.0")
        read = read_bundle(tmp_path / target).header.card
        assert read is not None
        assert (read.licence, read.schooling) == ("CC-BY-4.0", card.schooling)
    write_bundle(bundle_of_encoder(load_encoder(golden_eat / "pretrain_p1.pt")), tmp_path / "old.pt")
    convert(
        tmp_path / "old.pt", tmp_path / "new.pt", "bioacoustics", licence="CC0"
    )  # before there were cards
    assert read_bundle(tmp_path / "new.pt").header.known_card.terms == "CC0"
    with pytest.raises(ValueError, match="not yours to choose"):
        convert(golden_eat / "pretrain_p1.pt", tmp_path / "x.pt", "bioacoustics", licence="MIT")
