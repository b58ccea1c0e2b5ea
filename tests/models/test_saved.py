"""Bundles: one file is one model, whatever container or published layout it comes in."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from torch import Tensor

import bioacoustics.models.saved as saved
from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.bundle import Bundle, Header, header_from_json, header_to_json, seal
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.saved import (
    build_classifier,
    build_decoder,
    build_encoder,
    build_teacher,
    bundle_of_classifier,
    bundle_of_encoder,
    bundle_of_pretraining,
    load_classifier,
    load_encoder,
    read_bundle,
    write_bundle,
)

CONFIG = EATConfig(embed_dim=32, depth=2, num_heads=4, num_position_columns=4, drop_path_rate=0.1)
LABELS = ("Rhinella marina", "Ñandú", "b,c")

FULL_DISK = """
import resource, sys
from pathlib import Path
from bioacoustics.models.saved import read_bundle, write_bundle
source, target = map(Path, sys.argv[1:])
bundle = read_bundle(source)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_bundle(bundle, target)
except OSError:
    print("OSError")
"""


def tiny_encoder(seed: int = 0) -> AudioEncoder:
    torch.manual_seed(seed)
    return AudioEncoder(LogMelConfig.eat(mean=-5.5, std=4.6), EATEncoder(CONFIG))


def tiny_classifier() -> AudioClassifier:
    encoder = tiny_encoder()
    head = ClassificationHead(HeadConfig(num_classes=3, prediction_mode="MEAN_POOLING"), 32)
    return AudioClassifier(encoder, head, LABELS, multi_label=True, target_length=128)


def tiny_bundle(kind: str) -> Bundle:
    match kind:
        case "encoder":
            return bundle_of_encoder(tiny_encoder())
        case "classifier":
            return bundle_of_classifier(tiny_classifier(), {"temperature": 1.25, "bias": [0.1, 0.2, 0.3]})
        case _:
            decoder = EATDecoder(DecoderConfig(width=48, num_layers=2), 32)
            return bundle_of_pretraining(tiny_encoder(), decoder, tiny_encoder(1).encoder)


def assert_equal(ours: Bundle, theirs: Bundle) -> None:
    assert ours.header == theirs.header
    assert ours.weights.keys() == theirs.weights.keys()
    for name, weight in theirs.weights.items():
        assert ours.weights[name].dtype == weight.dtype
        assert torch.equal(ours.weights[name], weight)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", ["encoder", "classifier", "pretraining"])
def test_what_is_written_is_read(tmp_path: Path, kind: str, suffix: str) -> None:
    bundle = tiny_bundle(kind)
    path = tmp_path / f"Grabación Ñandú{suffix}"
    write_bundle(bundle, path)
    assert_equal(read_bundle(path), bundle)
    assert_equal(read_bundle(str(path)), bundle)


def test_our_pt_file_needs_nothing_but_torch_to_be_read(tmp_path: Path) -> None:
    write_bundle(tiny_bundle("encoder"), tmp_path / "x.pt")
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    assert content.keys() == {"bioacoustics", "weights"}
    assert header_from_json(content["bioacoustics"]) == tiny_bundle("encoder").header


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_same_model_makes_the_same_file(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        write_bundle(tiny_bundle("classifier"), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_float16_weights_stay_float16_in_the_file(tmp_path: Path) -> None:
    bundle = tiny_bundle("encoder")
    half = seal(bundle.header, {name: weight.half() for name, weight in bundle.weights.items()})
    write_bundle(half, tmp_path / "x.pt")
    assert_equal(read_bundle(tmp_path / "x.pt"), half)
    assert load_encoder(tmp_path / "x.pt").encoder.cls_token.dtype == torch.float32


def test_the_fingerprint_tells_models_apart_and_nothing_else() -> None:
    bundle = tiny_bundle("classifier")
    first = bundle.header.fingerprint
    assert len(first) == 64
    assert tiny_bundle("classifier").header.fingerprint == first
    versions = bundle.header.model_copy(update={"versions": {"bioacoustics": "99"}})
    assert seal(versions, bundle.weights).header.fingerprint == first
    for change in (
        {"labels": ("a", "b", "c")},
        {"log_mel": LogMelConfig()},
        {"target_length": 256},
        {"multi_label": False},
        {"calibration": None},
        {"head": HeadConfig(num_classes=3)},
    ):
        assert seal(bundle.header.model_copy(update=change), bundle.weights).header.fingerprint != first
    weights = dict(bundle.weights)
    weights["encoder.cls_token"] = weights["encoder.cls_token"].clone()
    weights["encoder.cls_token"][0, 0, 0] += 1e-7
    assert seal(bundle.header, weights).header.fingerprint != first


def test_fingerprints_stay_the_same_from_version_to_version() -> None:
    config = EATConfig(embed_dim=4, depth=1, num_heads=1, num_position_columns=1)
    encoder = AudioEncoder(LogMelConfig(), EATEncoder(config))
    with torch.no_grad():
        for i, weight in enumerate(encoder.state_dict().values()):
            weight.fill_(i)
    fingerprint = bundle_of_encoder(encoder).header.fingerprint
    assert fingerprint == "1ba62a7fe570462fbd96c7d4304a93129ed17a79e32aa0f0bc6c230f28f04ec8"


def test_a_bundle_is_a_snapshot() -> None:
    encoder = tiny_encoder()
    bundle = bundle_of_encoder(encoder)
    before = bundle.weights["encoder.cls_token"].clone()
    with torch.no_grad():
        encoder.encoder.cls_token += 1
        build_encoder(bundle).encoder.cls_token += 1
    assert torch.equal(bundle.weights["encoder.cls_token"], before)


def test_models_come_back_equal_and_ready_to_use(tmp_path: Path) -> None:
    classifier = tiny_classifier().eval()
    write_bundle(bundle_of_classifier(classifier), tmp_path / "x.pt")
    loaded = load_classifier(tmp_path / "x.pt")
    waveforms = torch.randn(2, 8000)
    assert torch.equal(loaded(waveforms), classifier(waveforms))
    assert (loaded.labels, loaded.multi_label, loaded.target_length) == (LABELS, True, 128)
    assert not any(module.training for module in loaded.modules())
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    encoder = load_encoder(tmp_path / "x.pt")
    assert torch.equal(encoder.embed(waveforms), classifier.encoder.embed(waveforms))
    assert encoder.config == CONFIG


def test_a_pretraining_can_go_on_from_its_bundle(tmp_path: Path) -> None:
    student, teacher = tiny_encoder(), tiny_encoder(1).encoder
    decoder = EATDecoder(DecoderConfig(width=48, num_layers=2), 32)
    write_bundle(bundle_of_pretraining(student, decoder, teacher), tmp_path / "x.pt")
    bundle = read_bundle(tmp_path / "x.pt")
    log_mel = torch.randn(2, 64, 128)
    again, decoder_again = build_teacher(bundle), build_decoder(bundle)
    assert again is not None
    assert decoder_again is not None
    assert torch.equal(again(log_mel).patches, teacher.eval()(log_mel).patches)
    assert torch.equal(
        load_encoder(tmp_path / "x.pt").features(log_mel).patches, student.eval().features(log_mel).patches
    )
    grid = torch.randn(2, 32, 32)
    assert torch.equal(decoder_again(grid, 4), decoder(grid, 4))
    for kind in ("encoder", "classifier"):
        assert build_teacher(tiny_bundle(kind)) is None
        assert build_decoder(tiny_bundle(kind)) is None


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    write_bundle(tiny_bundle("classifier"), tmp_path / "x.pt")
    before = torch.get_rng_state()
    load_classifier(tmp_path / "x.pt")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_classifier_is_asked_of_an_encoder(tmp_path: Path) -> None:
    write_bundle(tiny_bundle("pretraining"), tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt.*no classification head.*fine-tune"):
        load_classifier(tmp_path / "x.pt")


# Headers.


def test_headers_refuse_contradictions() -> None:
    header = tiny_bundle("classifier").header
    for change, message in (
        ({"labels": ("a", "b")}, "2 labels for 3 classes"),
        ({"multi_label": None}, "multi_label"),
        ({"kind": "encoder"}, "exactly classifiers"),
        ({"head": None}, "exactly classifiers"),
        ({"decoder": DecoderConfig()}, "no decoder"),
        ({"log_mel": LogMelConfig(num_mels=64)}, "mel bands"),
        ({"colour": "blue"}, "colour"),
    ):
        with pytest.raises(ValidationError, match=message):
            Header.model_validate(header.model_dump() | change)


def test_headers_of_a_later_format_say_so(tmp_path: Path) -> None:
    bundle = tiny_bundle("encoder")
    text = header_to_json(bundle.header).replace('"format_version": 1', '"format_version": 2')
    torch.save({"bioacoustics": text, "weights": bundle.weights}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=r"x\.pt.*format 2.*newer bioacoustics"):
        read_bundle(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("text", "message"), [("{", "damaged"), ("[]", "format None"), ('{"format_version": 1}', "kind")]
)
def test_headers_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    torch.save({"bioacoustics": text, "weights": {}}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=message):
        read_bundle(tmp_path / "x.pt")


# Files that are wrong.


def damage_weights(weights: dict[str, Tensor]) -> dict[str, Any]:
    return {
        "missing": {name: weight for name, weight in weights.items() if name != "encoder.cls_token"},
        "unknown": weights | {"encoder.colour": torch.zeros(1)},
        "of another shape": weights | {"encoder.cls_token": torch.zeros(1, 1, 31)},
        "is of type": weights | {"encoder.cls_token": 3},
        "fingerprint": weights | {"encoder.cls_token": torch.zeros(1, 1, 32)},
    }


@pytest.mark.parametrize("message", ["missing", "unknown", "of another shape", "is of type", "fingerprint"])
def test_weights_that_do_not_fit_their_header(tmp_path: Path, message: str) -> None:
    bundle = tiny_bundle("encoder")
    weights = damage_weights(bundle.weights)[message]
    torch.save({"bioacoustics": header_to_json(bundle.header), "weights": weights}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=message):
        read_bundle(tmp_path / "x.pt")


def test_changed_labels_are_noticed(tmp_path: Path) -> None:
    write_bundle(tiny_bundle("classifier"), tmp_path / "x.pt")
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    content["bioacoustics"] = content["bioacoustics"].replace("marina", "horribilis")
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="fingerprint"):
        read_bundle(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"PK\x03\x04 and then nothing", "damaged"),
        (b"\x80\x02 and then nothing", "damaged"),
        (b"\x09\x00\x00\x00\x00\x00\x00\x00{not json", "damaged"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.pt.*{message}"):
        load_encoder(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        ({"state_dict": {}, "epoch": 3}, "holds epoch, state_dict"),
        ({}, "holds nothing"),
        ({"model": {}, "cfg": {"encoder_layers": 12}}, "lack cfg.input_patch_size"),
        ({"model": {}, "cfg": None}, "no section cfg"),
    ],
)
def test_checkpoints_of_other_programs(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=message):
        read_bundle(tmp_path / "x.pt")


def test_safetensors_of_other_programs(tmp_path: Path) -> None:
    safetensors.torch.save_file({"w": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="no header of this package"):
        read_bundle(tmp_path / "x.safetensors")


def test_missing_files_and_run_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt"):
        load_encoder(tmp_path / "nothing.pt")
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        load_encoder(tmp_path)
    write_bundle(tiny_bundle("encoder"), tmp_path / "checkpoint_best.pt")
    with pytest.raises(ValueError, match=r"give one of its checkpoints: checkpoint_best\.pt"):
        load_encoder(tmp_path)


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.ckpt"):
        write_bundle(tiny_bundle("encoder"), tmp_path / "x.ckpt")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_no_damage_goes_unnoticed(tmp_path: Path, suffix: str) -> None:
    bundle = tiny_bundle("encoder")
    path = tmp_path / f"x{suffix}"
    write_bundle(bundle, path)
    whole = path.read_bytes()
    rng = random.Random(0)
    noticed = 0
    for trial in range(60):
        damaged = bytearray(whole)
        if trial % 3 == 0:
            del damaged[rng.randrange(len(whole)) :]
        else:
            start = 0 if trial % 3 == 1 else len(whole) - 3000
            for _ in range(3):
                damaged[rng.randrange(start, len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            assert_equal(read_bundle(path), bundle)  # the damage hit padding
        except ValueError:
            noticed += 1
    assert noticed > 45


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are a thing of POSIX")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_full_disk_leaves_the_old_model_whole(tmp_path: Path, suffix: str) -> None:
    write_bundle(tiny_bundle("pretraining"), tmp_path / "new.pt")
    path = tmp_path / f"model{suffix}"
    write_bundle(tiny_bundle("encoder"), path)
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path / "new.pt", path],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert ran.stdout == "OSError\n", ran.stderr
    assert_equal(read_bundle(path), tiny_bundle("encoder"))
    assert {entry.name for entry in tmp_path.iterdir()} == {"new.pt", path.name}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("load", [load_encoder, load_classifier])
def test_models_load_onto_a_device(tmp_path: Path, load: Callable[..., torch.nn.Module]) -> None:
    write_bundle(tiny_bundle("classifier"), tmp_path / "x.pt")
    model = load(tmp_path / "x.pt", device="cuda")
    assert {weight.device.type for weight in model.state_dict().values()} == {"cuda"}
    assert model(torch.randn(2, 8000, device="cuda")) is not None
    assert isinstance(model, AudioEncoder) or bundle_of_classifier(model).header.labels == LABELS


def test_what_others_import_from_here_is_here() -> None:
    assert all(hasattr(saved, name) for name in saved.__all__)
    assert build_classifier(tiny_bundle("classifier")).labels == LABELS


def test_a_safetensors_file_may_begin_like_a_pickle(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for length in range(0, 256, 8):  # of a note; the header is padded to a multiple of 8 bytes
        bundle = bundle_of_classifier(tiny_classifier(), {"note": "x" * length})
        write_bundle(bundle, path)
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert_equal(read_bundle(path), bundle)
