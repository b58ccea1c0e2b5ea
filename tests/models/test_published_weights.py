"""Published layouts: what is in them is read to the last weight, and written again as it was."""

import argparse
import copy
import json
import re
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
from bioacoustics.models.bundle import Bundle
from bioacoustics.models.eat import DecoderConfig, EATConfig, EATDecoder, EATEncoder
from bioacoustics.models.heads import ClassificationHead, HeadConfig
from bioacoustics.models.published_weights import bundle_of_fairseq, write_fairseq, write_hugging_face
from bioacoustics.models.saved import (
    build_decoder,
    build_encoder,
    build_teacher,
    bundle_of_classifier,
    bundle_of_encoder,
    bundle_of_pretraining,
    load_classifier,
    load_encoder,
    read_bundle,
)

IMAGE = "modality_encoders.IMAGE."
TABLE = f"{IMAGE}fixed_positional_encoder.positions"
FAIRSEQ = ("pretrain_p1.pt", "pretrain_p2.pt", "finetune.pt")
HUGGING_FACE = ("hf_pretrain", "hf_finetune")

Checkpoint = dict[str, Any]
Near = Callable[[Tensor, "np.ndarray[Any, Any]", float], None]


@pytest.fixture
def official(golden_eat: Path) -> Callable[[str], Checkpoint]:
    def load(name: str) -> Checkpoint:
        return dict(torch.load(golden_eat / name, weights_only=True))

    return load


def in_half(checkpoint: Checkpoint) -> Checkpoint:
    """The same as a float16 run saves it: the teacher stays in float32."""
    halves = OrderedDict((k, v if k == "_ema" else v.half()) for k, v in checkpoint["model"].items())
    return checkpoint | {"model": halves}


def with_weights(checkpoint: Checkpoint, **changes: Tensor | None) -> Checkpoint:
    model = OrderedDict((k, v) for k, v in checkpoint["model"].items() if k not in changes)
    model.update({k: v for k, v in changes.items() if v is not None})
    return checkpoint | {"model": model}


def with_settings(checkpoint: Checkpoint, *place: str, **changes: object) -> Checkpoint:
    changed = copy.deepcopy({k: v for k, v in checkpoint.items() if k != "model"})
    section = changed["cfg"]
    for name in place:
        section = section[name]
    section.update(changes)
    return changed | {"model": checkpoint["model"]}


def assert_same_weights(ours: Any, theirs: Any) -> None:
    assert list(ours) == list(theirs)
    for name, weight in theirs.items():
        if isinstance(weight, Tensor):
            assert ours[name].dtype == weight.dtype, name
            assert torch.equal(ours[name], weight), name
        else:
            assert_same_weights(ours[name], weight)


def tiny_encoder() -> AudioEncoder:
    torch.manual_seed(0)
    config = EATConfig(embed_dim=32, depth=2, num_heads=4, num_position_columns=4, drop_path_rate=0.1)
    return AudioEncoder(LogMelConfig.eat(mean=-5.5, std=4.6), EATEncoder(config))


def tiny_pretraining() -> Bundle:
    encoder = tiny_encoder()
    decoder = EATDecoder(DecoderConfig(width=48, kernel=5, num_layers=3), 32)
    return bundle_of_pretraining(encoder, decoder, EATEncoder(encoder.config))


def tiny_classifier(**settings: Any) -> Bundle:
    head = ClassificationHead(HeadConfig(num_classes=3, **settings), 32)
    classifier = AudioClassifier(
        tiny_encoder(), head, ("frog", "bird", "Ñandú"), multi_label=False, target_length=500
    )
    return bundle_of_classifier(classifier, {"temperature": 1.5})


# What the official code computed.


@pytest.mark.parametrize(("name", "frames"), [("p1", (64, 256, 336)), ("p2", (144,))])
def test_features_of_pretrained_files_are_the_official_ones(
    golden_eat: Path, assert_near: Near, name: str, frames: tuple[int, ...]
) -> None:
    arrays = np.load(golden_eat / f"features_{name}.npz")
    encoder = load_encoder(golden_eat / f"pretrain_{name}.pt")
    assert not encoder.training
    for num_frames in frames:
        log_mel = torch.from_numpy(arrays[f"T{num_frames}__fbank"][:, 0])
        features = encoder.features(log_mel)
        assert features.cls is not None
        tokens = torch.cat([features.cls[:, None], features.patches], dim=1)
        assert_near(tokens, arrays[f"T{num_frames}__final"], 1e-4)


@pytest.mark.parametrize(("name", "frames"), [("p1", 256), ("p2", 144)])
def test_the_teacher_is_the_official_one(golden_eat: Path, assert_near: Near, name: str, frames: int) -> None:
    arrays = np.load(golden_eat / f"features_{name}.npz")
    teacher = build_teacher(read_bundle(golden_eat / f"pretrain_{name}.pt"))
    assert teacher is not None
    features = teacher(torch.from_numpy(arrays[f"T{frames}__fbank"][:, 0]))
    tokens = torch.cat([features.cls[:, None], features.patches], dim=1)
    assert_near(tokens, arrays[f"T{frames}__teacher_final"], 1e-4)


def test_the_decoder_is_the_official_one(golden_eat: Path, assert_near: Near) -> None:
    arrays = np.load(golden_eat / "pretrain_p1_nonoise.npz")
    decoder = build_decoder(read_bundle(golden_eat / "pretrain_p1.pt"))
    assert decoder is not None
    predicted = decoder(torch.from_numpy(arrays["student_visible_grid"]), 16)
    assert_near(predicted, arrays["decoder_pred"], 2e-4)


@pytest.mark.parametrize("mode", ["CLS_TOKEN", "MEAN_POOLING", "LIN_SOFTMAX"])
def test_logits_of_finetuned_files_are_the_official_ones(
    tmp_path: Path, golden_eat: Path, official: Callable[[str], Checkpoint], assert_near: Near, mode: str
) -> None:
    torch.save(with_settings(official("finetune.pt"), "model", prediction_mode=mode), tmp_path / "x.pt")
    arrays = np.load(golden_eat / "finetune.npz")
    logits = load_classifier(tmp_path / "x.pt").logits(torch.from_numpy(arrays["fbank"][:, 0]))
    assert_near(logits, arrays[f"logits__{mode}"], 5e-4 if mode == "LIN_SOFTMAX" else 1e-4)


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_hugging_face_logits_are_the_official_ones(golden_eat: Path, assert_near: Near, name: str) -> None:
    arrays = np.load(golden_eat / "hf_reference.npz")
    classifier = load_classifier(golden_eat / "hf_finetune" / name)
    assert classifier.head.fc_norm.eps == 1e-5
    log_mel = torch.from_numpy(arrays["fbank"][:, 0])
    features = classifier.encoder.features(log_mel)
    assert features.cls is not None
    assert_near(torch.cat([features.cls[:, None], features.patches], dim=1), arrays["hf_final"], 1e-4)
    assert_near(classifier.logits(log_mel), arrays["hf_logits"], 1e-6)


def test_hugging_face_and_fairseq_hold_the_same_encoder(golden_eat: Path) -> None:
    ours = build_encoder(read_bundle(golden_eat / "pretrain_p1.pt")).state_dict()
    assert_same_weights(load_encoder(golden_eat / "hf_pretrain").state_dict(), ours)


# What the settings say.


def test_headers_say_what_the_files_say(golden_eat: Path) -> None:
    pretrained = read_bundle(golden_eat / "pretrain_p2.pt").header
    assert pretrained.kind == "pretraining"
    assert pretrained.encoder == EATConfig(embed_dim=64, depth=4, num_heads=4, num_position_columns=12)
    assert pretrained.decoder == DecoderConfig(width=80, kernel=5, groups=16, num_layers=3)
    assert pretrained.log_mel == LogMelConfig.eat()
    assert pretrained.source is not None
    assert pretrained.source.dtype == "float32"

    finetuned = read_bundle(golden_eat / "finetune.pt").header
    assert finetuned.kind == "classifier"
    assert finetuned.head == HeadConfig(num_classes=11, norm_eps=1e-6)
    assert finetuned.labels == tuple(str(i) for i in range(11))
    assert (finetuned.multi_label, finetuned.target_length) == (True, 256)


def test_target_length_is_1024_where_the_file_says_none(official: Callable[[str], Checkpoint]) -> None:
    checkpoint = with_settings(official("finetune.pt"), "model", target_length=None)
    assert bundle_of_fairseq(checkpoint).header.target_length == 1024


def test_labels_come_from_the_task(official: Callable[[str], Checkpoint]) -> None:
    labels = {f"/m/{i:02}": 10 - i for i in range(11)}
    header = bundle_of_fairseq(official("finetune.pt") | {"task_state": {"labels": labels}}).header
    assert header.labels == tuple(f"/m/{i:02}" for i in range(10, -1, -1))


def test_labels_that_do_not_fit_are_not_guessed(official: Callable[[str], Checkpoint]) -> None:
    labels = {f"/m/{i:02}": i for i in range(10)}
    with pytest.warns(UserWarning, match="10 labels"):
        header = bundle_of_fairseq(official("finetune.pt") | {"task_state": {"labels": labels}}).header
    assert header.labels == tuple(str(i) for i in range(11))


@pytest.mark.parametrize(
    ("recipe", "mean", "std"), [("esc50_eval", -6.627, 5.359), ("spcv2_eval", -6.846, 5.565)]
)
def test_recipes_of_other_data_have_their_constants_and_one_label_a_clip(
    official: Callable[[str], Checkpoint], recipe: str, mean: float, std: float
) -> None:
    header = bundle_of_fairseq(with_settings(official("finetune.pt"), "model", **{recipe: True})).header
    assert (header.log_mel.mean, header.log_mel.std) == (mean, std)
    assert header.multi_label is False


def test_hugging_face_config_may_lack_everything_that_is_default(tmp_path: Path) -> None:
    encoder = EATEncoder(EATConfig(depth=1, num_position_columns=2))
    bundle = bundle_of_encoder(AudioEncoder(LogMelConfig.eat(), encoder))
    write_hugging_face(bundle, tmp_path / "x")
    (tmp_path / "x" / "config.json").write_text('{"depth": 1}')
    header = read_bundle(tmp_path / "x").header
    assert header.encoder == bundle.header.encoder
    assert header.kind == "encoder"


# Variants of the files.


@pytest.mark.parametrize("name", FAIRSEQ)
def test_float16_files_load_as_float32_and_keep_their_rounded_table(
    tmp_path: Path, official: Callable[[str], Checkpoint], name: str
) -> None:
    checkpoint = in_half(official(name))
    torch.save(checkpoint, tmp_path / "x.pt")
    bundle = read_bundle(tmp_path / "x.pt")
    assert bundle.header.source is not None
    assert bundle.header.source.dtype == "float16"
    encoder = load_encoder(tmp_path / "x.pt")
    assert {weight.dtype for weight in encoder.state_dict().values()} == {torch.float32}
    table = checkpoint["model"][("model." if name == "finetune.pt" else "") + TABLE]
    assert torch.equal(encoder.encoder.positions, table.float())
    teacher = build_teacher(bundle)
    if teacher is not None:
        assert torch.equal(teacher.cls_token, checkpoint["model"]["_ema"][f"{IMAGE}extra_tokens"])


def test_an_old_short_table_of_positions_goes_on_as_the_long_one(
    golden_eat: Path, official: Callable[[str], Checkpoint], assert_near: Near
) -> None:
    checkpoint = official("pretrain_p1.pt")
    short = checkpoint["model"][TABLE][:, :64].clone()
    ema = checkpoint["model"]["_ema"] | {TABLE: short}
    bundle = bundle_of_fairseq(with_weights(checkpoint, **{TABLE: short, "_ema": ema}))  # type: ignore[dict-item]
    assert bundle.header.encoder.num_position_columns == 8
    arrays = np.load(golden_eat / "features_p1.npz")
    features = build_encoder(bundle).features(torch.from_numpy(arrays["T256__fbank"][:, 0]))
    assert_near(features.patches, arrays["T256__final"][:, 1:], 1e-4)


@pytest.mark.parametrize("old_name", ["pos_embed", "positions"])
def test_the_table_of_positions_may_have_its_old_name(
    tmp_path: Path, golden_eat: Path, official: Callable[[str], Checkpoint], old_name: str
) -> None:
    checkpoint = official("pretrain_p1.pt")
    old = f"{IMAGE}positional_encoder.{old_name}"
    renamed = with_weights(checkpoint, **{TABLE: None, old: checkpoint["model"][TABLE]})
    bundle = bundle_of_fairseq(renamed)
    expected = read_bundle(golden_eat / "pretrain_p1.pt")
    assert bundle.header.fingerprint == expected.header.fingerprint
    write_fairseq(bundle, tmp_path / "x.pt")
    assert old in torch.load(tmp_path / "x.pt", weights_only=True)["model"]


EXTRA_KEYS = (
    f"{IMAGE}encoder_mask",
    f"{IMAGE}alibi_bias",
    f"{IMAGE}alibi_scale",
    "recon_proj.weight",
    f"{IMAGE}recon_proj.bias",
    "shared_decoder.blocks.0.0.weight",
    "cls_proj.weight",
    "center",
)


@pytest.mark.parametrize("key", EXTRA_KEYS)
@pytest.mark.parametrize("in_teacher", [False, True])
def test_weights_without_use_are_carried_and_written_again(
    tmp_path: Path, official: Callable[[str], Checkpoint], key: str, in_teacher: bool
) -> None:
    checkpoint, extra = official("pretrain_p1.pt"), torch.tensor([True, False])
    if in_teacher:
        ema = checkpoint["model"]["_ema"] | {key: extra}
        changed = with_weights(checkpoint, _ema=ema)
    else:
        changed = with_weights(checkpoint, **{key: extra, "_ema": None})
        changed["model"]["_ema"] = checkpoint["model"]["_ema"]
    bundle = bundle_of_fairseq(changed)
    assert len([name for name in bundle.weights if name.startswith("extra.")]) == 1
    assert torch.equal(build_encoder(bundle).encoder.cls_token, checkpoint["model"][f"{IMAGE}extra_tokens"])
    write_fairseq(bundle, tmp_path / "x.pt")
    assert_same_weights(torch.load(tmp_path / "x.pt", weights_only=True)["model"], changed["model"])
    with pytest.warns(UserWarning) as warned:
        write_hugging_face(bundle, tmp_path / "x")
    assert any("without use" in str(warning.message) for warning in warned)


@pytest.mark.parametrize("name", ["pretrain_p1.pt", "finetune.pt"])
def test_names_with_the_prefix_of_a_data_parallel_run(
    tmp_path: Path, golden_eat: Path, official: Callable[[str], Checkpoint], name: str
) -> None:
    checkpoint = official(name)
    model = {f"module.{k}": v for k, v in checkpoint["model"].items() if k != "_ema"}
    if "_ema" in checkpoint["model"]:
        model["_ema"] = {f"module.{k}": v for k, v in checkpoint["model"]["_ema"].items()}
    bundle = bundle_of_fairseq(checkpoint | {"model": model})
    assert bundle.header.fingerprint == read_bundle(golden_eat / name).header.fingerprint
    write_fairseq(bundle, tmp_path / "x.pt")
    assert_same_weights(torch.load(tmp_path / "x.pt", weights_only=True)["model"], model)


def test_a_file_that_was_stripped_of_teacher_or_decoder(official: Callable[[str], Checkpoint]) -> None:
    checkpoint = with_weights(official("pretrain_p1.pt"), _ema=None)
    bundle = bundle_of_fairseq(checkpoint)
    assert bundle.header.kind == "pretraining"
    assert build_teacher(bundle) is None
    assert build_decoder(bundle) is not None
    checkpoint["model"] = {k: v for k, v in checkpoint["model"].items() if ".decoder." not in k}
    bundle = bundle_of_fairseq(checkpoint)
    assert bundle.header.kind == "encoder"
    assert build_decoder(bundle) is None


def test_states_of_training_are_read_past(tmp_path: Path, official: Callable[[str], Checkpoint]) -> None:
    checkpoint = official("pretrain_p1.pt") | {
        "args": argparse.Namespace(arch="data2vec_multi", lr=(0.1, 0.2)),
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(3), "step": 5}}},
        "optimizer_history": [{"num_updates": np.int64(7), "best": np.float64(0.1)}],
    }
    torch.save(checkpoint, tmp_path / "x.pt")
    bundle = read_bundle(tmp_path / "x.pt")
    assert bundle.header.source is not None
    assert bundle.header.source.dropped == ("last_optimizer_state",)
    write_fairseq(bundle, tmp_path / "y.pt")
    with torch.serialization.safe_globals([argparse.Namespace]):
        written = torch.load(tmp_path / "y.pt", weights_only=True)
    assert written["args"] == checkpoint["args"]
    assert written["optimizer_history"] == [{"num_updates": 7, "best": 0.1}]
    assert written["last_optimizer_state"] is None


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older format"])
def test_objects_of_other_programs_among_the_states_are_dropped_by_name(
    tmp_path: Path, golden_eat: Path, official: Callable[[str], Checkpoint], zipped: bool
) -> None:
    checkpoint = official("pretrain_p1.pt")
    checkpoint["extra_state"] = {"metrics": [("loss", np.arange(3))], "val_loss": np.float32(0.5)}
    torch.save(checkpoint, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    bundle = read_bundle(tmp_path / "x.pt")
    assert bundle.header.source is not None
    assert bundle.header.source.dropped == ("extra_state",)
    assert bundle.header.fingerprint == read_bundle(golden_eat / "pretrain_p1.pt").header.fingerprint
    write_fairseq(bundle, tmp_path / "y.pt")
    written = torch.load(tmp_path / "y.pt", weights_only=True)
    assert written["extra_state"]["train_iterator"]["epoch"] == 1
    assert_same_weights(written["model"], checkpoint["model"])


# What does not fit is an error that names it.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.0.attn.strange": torch.zeros(2)}, "unknown: blocks.0.attn.strange"),
        ({"blocks.7.norm1.weight": torch.zeros(64)}, "unknown: blocks.7.norm1.weight"),
        ({"strange": torch.zeros(2)}, "unknown weight strange"),
        ({"blocks.1.mlp.fc1.bias": None}, "missing: blocks.1.mlp.fc1.bias"),
        ({TABLE: None}, f"missing: {TABLE}"),
        ({f"{IMAGE}decoder.proj.bias": None}, f"missing: {IMAGE}decoder.proj.bias"),
        ({f"{IMAGE}extra_tokens": torch.zeros(1, 2, 64)}, "extra_tokens is (1, 2, 64), expected (1, 1, 64)"),
        ({TABLE: torch.zeros(1, 100, 64)}, f"{TABLE} is (1, 100, 64), expected (1, 96, 64)"),
        ({"blocks.0.norm1.bias": torch.zeros(64).int()}, "blocks.0.norm1.bias is of type torch.int32"),
        ({"blocks.0.norm1.bias": "text"}, "blocks.0.norm1.bias is of type str"),
        ({f"module.{IMAGE}extra_tokens": torch.zeros(1, 1, 64)}, "several weights for the same part"),
        ({f"{IMAGE}local_encoder.0.proj.weight": torch.zeros(2)}, "two steps"),
        ({"_ema": torch.zeros(2)}, "_ema is a Tensor"),
        ({"_ema": {"blocks.0.norm1.weight": torch.zeros(64)}}, "missing: _ema.blocks"),
        ({"_ema": {f"{IMAGE}decoder.proj.bias": torch.zeros(64)}}, f"unknown: _ema.{IMAGE}decoder.proj.bias"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(
    official: Callable[[str], Checkpoint], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        bundle_of_fairseq(with_weights(official("pretrain_p1.pt"), **change))


@pytest.mark.parametrize("key", ["head.weight", "head.bias", "fc_norm.weight", f"model.{IMAGE}extra_tokens"])
def test_missing_weights_of_a_classifier(official: Callable[[str], Checkpoint], key: str) -> None:
    with pytest.raises(ValueError, match=f"missing: {key}"):
        bundle_of_fairseq(with_weights(official("finetune.pt"), **{key: None}))


def test_a_classifier_without_any_head(official: Callable[[str], Checkpoint]) -> None:
    with pytest.raises(ValueError, match=r"missing: fc_norm\.bias"):
        bundle_of_fairseq(
            with_weights(
                official("finetune.pt"),
                **dict.fromkeys(("head.weight", "head.bias", "fc_norm.weight", "fc_norm.bias")),
            )
        )


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (("model",), {"num_heads": None}, "lack cfg.model.num_heads"),
        (("model",), {"layer_norm_first": True}, "layer_norm_first is True"),
        (("model",), {"num_heads": 7}, "multiple of num_heads"),
        (("model", "modalities", "image"), {"use_alibi_encoder": True}, "use_alibi_encoder is True"),
        (("model", "modalities", "image"), {"prenet_depth": 2}, "prenet_depth is 2"),
        (("model", "modalities", "image"), {"patch_size": 0}, "patch_size"),
        (
            ("model", "modalities", "image", "decoder"),
            {"decoder_residual": False},
            "decoder_residual is False",
        ),
        (("model",), {"modalities": None}, "no section cfg.model.modalities"),
        ((), {"model": None}, "no section cfg.model"),
    ],
)
def test_settings_that_do_not_fit(
    official: Callable[[str], Checkpoint], place: tuple[str, ...], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        bundle_of_fairseq(with_settings(official("pretrain_p1.pt"), *place, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer_norm_first": True}, "layer_norm_first is True"),
        ({"model_type": "wav2vec2"}, "model_type is 'wav2vec2'"),
        ({"stride": 10}, "stride is 10"),
        ({"depth": 5}, "missing: model.blocks.3"),
        ({"model_variant": "finetune"}, "missing: model.fc_norm.bias"),
    ],
)
def test_hugging_face_settings_that_do_not_fit(
    tmp_path: Path, golden_eat: Path, change: dict[str, Any], message: str
) -> None:
    shutil.copytree(golden_eat / "hf_pretrain", tmp_path / "x", copy_function=shutil.copyfile)
    (tmp_path / "x").chmod(0o755)
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    (tmp_path / "x" / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_bundle(tmp_path / "x")


def test_a_hugging_face_classifier_without_a_length(tmp_path: Path, golden_eat: Path) -> None:
    shutil.copyfile(golden_eat / "hf_finetune" / "model.safetensors", tmp_path / "model.safetensors")
    config = json.loads((golden_eat / "hf_finetune" / "config.json").read_text())
    del config["img_size"], config["num_classes"], config["model_variant"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    header = read_bundle(tmp_path).header
    assert (header.kind, header.target_length, len(header.labels)) == ("classifier", 1024, 11)


def test_a_hugging_face_encoder_with_a_head_is_an_error(tmp_path: Path, golden_eat: Path) -> None:
    shutil.copyfile(golden_eat / "hf_finetune" / "model.safetensors", tmp_path / "model.safetensors")
    shutil.copyfile(golden_eat / "hf_pretrain" / "config.json", tmp_path / "config.json")
    with pytest.raises(ValueError, match="weights of a classifier's head"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_an_incomplete_hugging_face_folder(tmp_path: Path, golden_eat: Path, name: str) -> None:
    shutil.copyfile(golden_eat / "hf_pretrain" / name, tmp_path / name)
    with pytest.raises(FileNotFoundError, match="there is no"):
        read_bundle(tmp_path)


# Ours to theirs and back.


def without_source(bundle: Bundle) -> dict[str, Any]:
    return bundle.header.model_dump(exclude={"source", "versions"})


@pytest.mark.parametrize(
    "bundle", [tiny_pretraining(), tiny_classifier(), tiny_classifier(prediction_mode="MEAN_POOLING")]
)
@pytest.mark.filterwarnings("ignore:this layout cannot say")
def test_ours_to_fairseq_and_back_is_equal(tmp_path: Path, bundle: Bundle) -> None:
    write_fairseq(bundle, tmp_path / "x.pt")
    back = read_bundle(tmp_path / "x.pt")
    assert back.header == bundle.header
    assert_same_weights(dict(sorted(back.weights.items())), dict(sorted(bundle.weights.items())))


@pytest.mark.filterwarnings("ignore:this layout cannot say", "ignore:there is no decoder")
def test_an_encoder_alone_goes_both_ways(tmp_path: Path) -> None:
    bundle = bundle_of_encoder(tiny_encoder())
    write_fairseq(bundle, tmp_path / "x.pt")
    write_hugging_face(bundle, tmp_path / "x")
    for path in (tmp_path / "x.pt", tmp_path / "x"):
        back = read_bundle(path)
        assert back.header == bundle.header
        assert_same_weights(dict(sorted(back.weights.items())), dict(sorted(bundle.weights.items())))


@pytest.mark.filterwarnings("ignore:this layout cannot say")
def test_ours_to_hugging_face_and_back_is_equal(tmp_path: Path) -> None:
    bundle = tiny_classifier()
    write_hugging_face(bundle, tmp_path / "x")
    back = read_bundle(tmp_path / "x")
    assert back.header == bundle.header
    assert_same_weights(dict(sorted(back.weights.items())), dict(sorted(bundle.weights.items())))


@pytest.mark.filterwarnings("ignore:this layout cannot say")
def test_what_the_other_layout_cannot_hold_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning) as warned:
        write_hugging_face(tiny_pretraining(), tmp_path / "x")
    messages = " ".join(str(warning.message) for warning in warned)
    assert "the decoder and the teacher" in messages
    assert "mean" in messages
    with pytest.warns(UserWarning, match="not continue its pre-training"):
        write_fairseq(read_bundle(tmp_path / "x"), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="MEAN_POOLING"):
        write_hugging_face(tiny_classifier(prediction_mode="MEAN_POOLING"), tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_fairseq_has_128_mel_bands(tmp_path: Path) -> None:
    encoder = EATEncoder(EATConfig(embed_dim=32, depth=1, num_heads=4, num_mels=64, num_position_columns=2))
    bundle = bundle_of_encoder(AudioEncoder(LogMelConfig(num_mels=64), encoder))
    with pytest.raises(ValueError, match="128 mel bands"):
        write_fairseq(bundle, tmp_path / "x.pt")
    write_hugging_face(bundle, tmp_path / "x")
    assert read_bundle(tmp_path / "x").header.encoder.num_mels == 64


def test_labels_travel_in_the_settings_of_the_other_layouts(tmp_path: Path, golden_eat: Path) -> None:
    names = tuple(f"species {i}" for i in range(11))
    for name in ("finetune.pt", "hf_finetune"):
        bundle = read_bundle(golden_eat / name)
        renamed = Bundle(bundle.header.model_copy(update={"labels": names, "source": None}), bundle.weights)
        write_fairseq(renamed, tmp_path / "x.pt")
        assert torch.load(tmp_path / "x.pt", weights_only=True)["task_state"]["labels"]["species 3"] == 3
        write_hugging_face(renamed, tmp_path / "x")
        assert json.loads((tmp_path / "x" / "config.json").read_text())["id2label"]["3"] == "species 3"
        for path in (tmp_path / "x.pt", tmp_path / "x"):
            assert read_bundle(path).header.labels == names


def test_a_carried_header_is_not_believed_once_the_weights_changed(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="this layout cannot say"):
        write_fairseq(tiny_pretraining(), tmp_path / "x.pt")
    assert read_bundle(tmp_path / "x.pt").header.log_mel.mean == -5.5
    content = torch.load(tmp_path / "x.pt", weights_only=True)
    later = content["bioacoustics_header"].replace('"format_version": 1', '"format_version": 2')
    torch.save(content | {"bioacoustics_header": later}, tmp_path / "x.pt")
    assert read_bundle(tmp_path / "x.pt").header.log_mel.mean == LogMelConfig().mean
    content["model"]["blocks.0.norm1.bias"] += 1
    torch.save(content, tmp_path / "x.pt")
    assert read_bundle(tmp_path / "x.pt").header.log_mel.mean == LogMelConfig().mean


def test_official_settings_describe_our_model_completely(tmp_path: Path, golden_eat: Path) -> None:
    # A file with generated settings is understood without the header it carries.
    for name in FAIRSEQ:
        bundle = read_bundle(golden_eat / name)
        bare = Bundle(bundle.header.model_copy(update={"source": None}), bundle.weights)
        write_fairseq(bare, tmp_path / "x.pt")
        content = torch.load(tmp_path / "x.pt", weights_only=True)
        assert "bioacoustics_header" not in content
        assert without_source(read_bundle(tmp_path / "x.pt")) == without_source(bundle)
        assert content["model"].keys() == torch.load(golden_eat / name, weights_only=True)["model"].keys()


def test_hugging_face_files_of_converted_models_are_the_official_ones(
    tmp_path: Path, golden_eat: Path
) -> None:
    with pytest.warns(UserWarning, match="the decoder and the teacher"):
        write_hugging_face(read_bundle(golden_eat / "pretrain_p1.pt"), tmp_path / "hf_pretrain")
    write_hugging_face(read_bundle(golden_eat / "finetune.pt"), tmp_path / "hf_finetune")
    for name in HUGGING_FACE:
        ours = safetensors.torch.load_file(tmp_path / name / "model.safetensors")
        theirs = safetensors.torch.load_file(golden_eat / name / "model.safetensors")
        assert_same_weights(dict(sorted(ours.items())), dict(sorted(theirs.items())))
        config = json.loads((tmp_path / name / "config.json").read_text())
        official = json.loads((golden_eat / name / "config.json").read_text())
        shared = config.keys() & official.keys() - {"img_size"}
        assert {k: config[k] for k in shared} == {k: official[k] for k in shared}
