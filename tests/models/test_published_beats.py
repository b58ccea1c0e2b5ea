"""Published BEATs checkpoints: read to the last weight, and written again as they were."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.beats import BEATsConfig, BEATsEncoder
from bioacoustics.models.bundle import header_from_json, header_to_json
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.published_beats import write_beats
from bioacoustics.models.saved import (
    bundle_of_classifier,
    bundle_of_encoder,
    load_classifier,
    load_encoder,
    read_bundle,
    write_bundle,
)

NAMES = ("beats_pretrained", "beats_finetuned", "beats_prenorm_glu", "beats_plain")
TABLE = "encoder.layers.1.self_attn.relative_attention_bias.weight"
CONV = "encoder.pos_conv.0."

Checkpoint = dict[str, Any]


@pytest.fixture
def official(golden_beats: Path) -> Callable[[str], Checkpoint]:
    def load(name: str) -> Checkpoint:
        return dict(torch.load(golden_beats / f"{name}.pt", weights_only=True))

    return load


def written(checkpoint: object, folder: Path) -> Path:
    torch.save(checkpoint, folder / "model.pt")
    return folder / "model.pt"


def tiny_encoder() -> AudioEncoder:
    torch.manual_seed(0)
    config = BEATsConfig(
        **{"patch_dim": 16, "embed_dim": 32, "hidden_dim": 48, "depth": 2, "num_heads": 4},
        **{"position_kernel": 6, "position_groups": 4, "num_buckets": 8, "max_distance": 20},
    )
    return AudioEncoder(LogMelConfig.beats(), BEATsEncoder(config)).eval()


def tiny_classifier(**head: Any) -> AudioClassifier:
    config = HeadConfig(num_classes=2, prediction_mode="MEAN_LOGITS").model_copy(update=head)
    head_module = ClassificationHead(config, 32)
    return AudioClassifier(tiny_encoder(), head_module, ("ant", "Ñandú"), multi_label=True).eval()


def assert_same_weights(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    assert list(ours) == list(theirs)
    for name, weight in theirs.items():
        assert ours[name].dtype == weight.dtype
        assert torch.equal(ours[name], weight), name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("container", [None, "ours.pt", "ours.safetensors"])
def test_official_layout_survives_bit_by_bit(
    official: Callable[[str], Checkpoint], tmp_path: Path, name: str, container: str | None
) -> None:
    checkpoint = official(name)
    checkpoint["model"] = {key: weight.half() for key, weight in checkpoint["model"].items()}
    checkpoint["cfg"]["a_later_setting"] = (1, "x")
    bundle = read_bundle(written(checkpoint, tmp_path))
    assert bundle.header.source is not None
    assert (bundle.header.source.layout, bundle.header.source.dtype) == ("beats", "float16")
    assert bundle.header.architecture == "beats"
    if container is not None:
        write_bundle(bundle, tmp_path / container)
        bundle = read_bundle(tmp_path / container)
    write_beats(bundle, tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert_same_weights(back.pop("model"), checkpoint.pop("model"))
    assert back == checkpoint


@pytest.mark.parametrize("name", ["beats_pretrained", "beats_prenorm_glu", "beats_plain"])
@torch.no_grad()
def test_pretrained_models_compute_the_official_features(golden_beats: Path, name: str) -> None:
    arrays = np.load(golden_beats / f"{name}.npz")
    encoder = load_encoder(golden_beats / f"{name}.pt")
    features = encoder(torch.from_numpy(arrays["wav"][2:3, :16000]))
    assert features.cls is None
    np.testing.assert_allclose(features.patches[0], arrays["single2"], atol=2e-3, rtol=1e-3)


@torch.no_grad()
def test_fine_tuned_model_is_a_classifier_with_its_own_order(
    official: Callable[[str], Checkpoint], golden_beats: Path, tmp_path: Path
) -> None:
    checkpoint, arrays = official("beats_finetuned"), np.load(golden_beats / "beats_finetuned.npz")
    names = checkpoint["label_dict"]
    checkpoint["label_dict"] = dict(reversed(names.items()))  # the numbers count, not their order
    path = written(checkpoint, tmp_path)
    classifier = load_classifier(path)
    assert classifier.labels == tuple(names[i] for i in range(11))
    assert classifier.multi_label
    waveform = torch.from_numpy(arrays["wav"][1:2, :27123])
    np.testing.assert_allclose(classifier(waveform)[0], arrays["single1"], atol=1e-4)
    assert torch.equal(load_encoder(path)(waveform).patches, classifier.encoder(waveform).patches)


def test_labels_that_do_not_number_the_classes_are_not_guessed(
    official: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    checkpoint = official("beats_finetuned")
    checkpoint["label_dict"] = {1: "a", 2: "b"}
    with pytest.warns(UserWarning, match="label_dict does not number the 11 classes"):
        assert load_classifier(written(checkpoint, tmp_path)).labels == tuple(map(str, range(11)))
    del checkpoint["label_dict"]
    assert load_classifier(written(checkpoint, tmp_path)).labels == tuple(map(str, range(11)))


def in_new_style(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    return {
        (CONV + new[key.removeprefix(CONV)] if key.removeprefix(CONV) in new else key): weight
        for key, weight in weights.items()
    }


def test_both_styles_of_weight_norm_are_one(official: Callable[[str], Checkpoint], tmp_path: Path) -> None:
    checkpoint = official("beats_pretrained")
    old = read_bundle(written(checkpoint, tmp_path))
    new = read_bundle(written(checkpoint | {"model": in_new_style(checkpoint["model"])}, tmp_path))
    assert new.header.fingerprint == old.header.fingerprint
    write_beats(new, tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert_same_weights(back["model"], checkpoint["model"])


@pytest.mark.parametrize(
    ("prefix", "wrapper"),
    [("encoder.", None), ("beats.", None), ("backbone.", "model_state_dict"), ("", "model")],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_without_settings(
    official: Callable[[str], Checkpoint], tmp_path: Path, prefix: str, wrapper: str | None, suffix: str
) -> None:
    checkpoint = official("beats_pretrained")
    weights = {f"{prefix}{key}": weight.clone() for key, weight in checkpoint["model"].items()}
    weights[f"{prefix}raw2fbank_pad.weight"] = torch.ones(1, 1, 400)
    if prefix:
        weights["decoder.output.weight"] = torch.ones(3, 3)
        if suffix == ".safetensors":  # which holds a shared tensor once
            for layer in (1, 2):
                del weights[f"{prefix}encoder.layers.{layer}.self_attn.relative_attention_bias.weight"]
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(weights, path)
    else:
        torch.save(weights if wrapper is None else {wrapper: weights}, path)
    with pytest.warns(UserWarning, match="weights without settings") as warned:
        bundle = read_bundle(path)
    assert ("decoder" in str(warned[0].message)) == bool(prefix)
    assert bundle.header.source is not None
    assert bundle.header.source.dropped == (("weights of decoder",) if prefix else ())
    expected = read_bundle(written(checkpoint, tmp_path))
    config = expected.header.encoder
    assert isinstance(config, BEATsConfig)
    guessed = bundle.header.encoder
    assert guessed == config.model_copy(
        update={"max_distance": 800, "dropout": 0.1, "attention_dropout": 0.1, "input_dropout": 0.1}
        | {"layer_drop": 0.05}
    )
    assert bundle.weights.keys() - expected.weights.keys() == {"extra.raw2fbank_pad.weight"}
    assert all(torch.equal(bundle.weights[key], weight) for key, weight in expected.weights.items())


def test_other_statistics_of_spectrograms_are_heeded(
    official: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    checkpoint = official("beats_pretrained")
    checkpoint["cfg"] |= {"fbank_mean": 15.2913, "fbank_std": 5.90532, "mask_ratio": 0.75}
    config = load_encoder(written(checkpoint, tmp_path)).front_end.config
    assert config == LogMelConfig.beats(mean=15.2913, std=5.90532)


@pytest.mark.parametrize(
    ("name", "weight", "message"),
    [
        ("encoder.layers.0.fc1.weight", None, "missing: encoder.layers.0.fc1.weight"),
        (TABLE, torch.zeros(32, 4), "differs from that of another layer"),
        ("encoder.layers.0.fc3.weight", torch.zeros(2), "unknown weight encoder.layers.0.fc3.weight"),
        ("layer_norm.bias", torch.zeros(2), r"layer_norm.bias is \(2,\), expected \(48,\)"),
        (f"{CONV}parametrizations.weight.original0", torch.zeros(1), "several weights for the same part"),
        ("quantize.cluster_size", torch.zeros(2), "unknown: quantize.cluster_size"),
    ],
)
def test_weights_that_do_not_fit_are_named(
    official: Callable[[str], Checkpoint], tmp_path: Path, name: str, weight: Tensor | None, message: str
) -> None:
    checkpoint = official("beats_pretrained")
    checkpoint["model"][name] = weight
    if weight is None:
        del checkpoint["model"][name]
    with pytest.raises(ValueError, match=message):
        read_bundle(written(checkpoint, tmp_path))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("input_patch_size", None, "lack cfg.input_patch_size"),
        ("activation_fn", "swish", "activation"),
        ("encoder_layers", 4, "missing: encoder.layers.3"),
    ],
)
def test_settings_that_cannot_be_followed_are_named(
    official: Callable[[str], Checkpoint], tmp_path: Path, setting: str, value: object, message: str
) -> None:
    checkpoint = official("beats_pretrained")
    checkpoint["cfg"][setting] = value
    with pytest.raises(ValueError, match=message):
        read_bundle(written(checkpoint, tmp_path))


@torch.no_grad()
def test_own_models_go_out_and_come_back(tmp_path: Path) -> None:
    classifier = tiny_classifier(dropout=0.2)
    bundle = bundle_of_classifier(classifier, {"temperature": 1.5})
    write_beats(bundle, tmp_path / "model.pt")
    checkpoint = torch.load(tmp_path / "model.pt", weights_only=True)
    assert checkpoint["label_dict"] == {0: "ant", 1: "Ñandú"}
    assert checkpoint["cfg"]["predictor_dropout"] == 0.2 and checkpoint["cfg"]["finetuned_model"]
    assert TABLE in checkpoint["model"] and "predictor.weight" in checkpoint["model"]
    assert read_bundle(tmp_path / "model.pt").header == bundle.header
    waveform = torch.randn(1, 16000)
    del checkpoint["bioacoustics_header"]  # what official files hold is enough to compute the same
    torch.testing.assert_close(load_classifier(written(checkpoint, tmp_path))(waveform), classifier(waveform))


def test_export_says_what_the_official_code_cannot_know(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    measured = AudioEncoder(LogMelConfig.beats(mean=12.5, std=5.0), encoder.encoder)
    with pytest.warns(UserWarning, match="tell it fbank_mean=12.5 and fbank_std=5.0"):
        write_beats(bundle_of_encoder(measured), tmp_path / "model.pt")
    assert load_encoder(tmp_path / "model.pt").front_end.config == measured.front_end.config
    with pytest.raises(ValueError, match="MEAN_POOLING: fine-tune it with --prediction_mode MEAN_LOGITS"):
        write_beats(bundle_of_classifier(tiny_classifier(prediction_mode="MEAN_POOLING")), tmp_path / "no.pt")


def test_header_knows_its_architecture() -> None:
    header = bundle_of_encoder(tiny_encoder()).header
    assert header.architecture == "beats"
    assert header_from_json(header_to_json(header)) == header
    with pytest.raises(ValueError, match="architecture 'eat' does not go with a BEATsConfig"):
        type(header)(kind="encoder", architecture="eat", encoder=header.encoder, log_mel=header.log_mel)
