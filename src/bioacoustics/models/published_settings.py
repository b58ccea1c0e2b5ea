"""Settings of published EAT checkpoints <-> our headers: fairseq's cfg and Hugging Face's config.json."""

import warnings
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.bundle import Header
from bioacoustics.models.eat import DecoderConfig, EATConfig
from bioacoustics.models.heads import HeadConfig
from bioacoustics.models.published_section import Section

_HUGGING_FACE_FC_NORM_EPS = 1e-5  # its class forgets to hand on the 1e-6 of the rest
_TARGET_LENGTH = 1024
# Normalisation of the other published recipes, by the switch that chooses them.
_RECIPES = {
    "esc50_eval": LogMelConfig.eat(mean=-6.627, std=5.359),
    "spcv2_eval": LogMelConfig.eat(mean=-6.846, std=5.565),
}


def header_of_fairseq(cfg: object, task_state: object, weights: Mapping[str, Tensor]) -> Header:
    """The header of a fairseq checkpoint, pre-trained or fine-tuned, whose weights already have our names."""
    model = Section.of(cfg, "model")
    num_classes = _num_classes(weights)
    if num_classes is None and model.get("pretrained_model_args", None) is None:
        is_pretraining = any(name.startswith(("decoder.", "teacher.")) for name in weights)
        return Header(
            kind="pretraining" if is_pretraining else "encoder",
            log_mel=LogMelConfig.eat(),
            **_fairseq_networks(cfg, weights),
        )
    num_classes = num_classes or model.require("num_classes")
    recipe = next((name for name in _RECIPES if model.get(name, False)), None)
    label_indices = task_state.get("labels") if isinstance(task_state, Mapping) else None
    return Header(
        kind="classifier",
        log_mel=_RECIPES[recipe] if recipe else LogMelConfig.eat(),
        head=HeadConfig(
            num_classes=num_classes, prediction_mode=model.get("prediction_mode", "CLS_TOKEN"), norm_eps=1e-6
        ),
        labels=_labels(label_indices, num_classes),
        multi_label=recipe is None,
        target_length=model.get("target_length", _TARGET_LENGTH),
        **_fairseq_networks(model.require("pretrained_model_args"), weights),
    )


def _fairseq_networks(cfg: object, weights: Mapping[str, Tensor]) -> dict[str, Any]:
    model = Section.of(cfg, "model")
    image = Section.of(cfg, "model", "modalities", "image")
    model.refuse_unless(layer_norm_first=False, norm_affine=True)
    image.refuse_unless(
        use_alibi_encoder=False, prenet_depth=0, num_extra_tokens=1, in_chans=1, fixed_positions=True
    )
    for name in ("embed_dim", "depth", "num_heads"):
        model.require(name)
    encoder = _encoder_config(model, weights, patch_size=image.get("patch_size", 16), num_mels=128)
    if not any(name.startswith("decoder.") for name in weights):
        return {"encoder": encoder}
    decoder = Section(image.get("decoder", None), "cfg.model.modalities.image.decoder")
    decoder.refuse_unless(
        decoder_residual=True, projection_layers=1, add_positions_masked=False, add_positions_all=False
    )
    return {
        "encoder": encoder,
        "decoder": DecoderConfig(
            width=decoder.get("decoder_dim", 384),
            kernel=decoder.get("decoder_kernel", 5),
            groups=decoder.get("decoder_groups", 16),
            num_layers=decoder.get("decoder_layers", 5),
        ),
    }


def _encoder_config(
    settings: Section, weights: Mapping[str, Tensor], *, patch_size: int, num_mels: int
) -> EATConfig:
    """The encoder, described alike in both layouts; only its table of positions tells how long that is."""
    config = EATConfig(
        embed_dim=settings.get("embed_dim", 768),
        depth=settings.get("depth", 12),
        num_heads=settings.get("num_heads", 12),
        mlp_ratio=settings.get("mlp_ratio", 4.0),
        norm_eps=settings.get("norm_eps", 1e-6),
        patch_size=patch_size,
        num_mels=num_mels,
        drop_path_rate=settings.get("end_drop_path_rate", 0.0),
    )
    match weights.get("encoder.positions"):
        case Tensor(shape=(_, rows, _)) if rows >= config.num_bands:
            return config.model_copy(update={"num_position_columns": rows // config.num_bands})
        case _:
            return config  # the check of the weights will tell


def header_of_hugging_face(config: object, weights: Mapping[str, Tensor]) -> Header:
    """The header of a Hugging Face folder, from its config.json; what that lacks is the class's default."""
    settings = Section(config, "config.json")
    settings.refuse_unless(
        model_type="eat",
        layer_norm_first=False,
        norm_affine=True,
        fixed_positions=True,
        qkv_bias=True,
        in_chans=1,
    )
    patch_size, num_mels = settings.get("patch_size", 16), settings.get("mel_bins", 128)
    settings.refuse_unless(stride=patch_size)
    encoder = _encoder_config(settings, weights, patch_size=patch_size, num_mels=num_mels)
    log_mel = LogMelConfig.eat(num_mels=num_mels)
    num_classes = _num_classes(weights)
    variant = settings.get("model_variant", "pretrain" if num_classes is None else "finetune")
    if variant == "pretrain" and num_classes is None:
        return Header(kind="encoder", encoder=encoder, log_mel=log_mel)
    if variant != "finetune":
        raise ValueError(
            f"config.json says model_variant {variant!r}, but there are weights of a classifier's head"
        )
    head = HeadConfig(
        num_classes=num_classes or settings.get("num_classes", 527), norm_eps=_HUGGING_FACE_FC_NORM_EPS
    )
    match settings.get("img_size", None):
        case [int(target_length), *_]:
            pass
        case _:
            target_length = _TARGET_LENGTH
    return Header(
        kind="classifier",
        encoder=encoder,
        log_mel=log_mel,
        head=head,
        labels=_labels(settings.get("label2id", None), head.num_classes),
        multi_label=True,
        target_length=target_length,
    )


def fairseq_cfg(header: Header) -> dict[str, Any]:
    """A fairseq cfg that describes this model to the official code; its defaults say how to train."""
    pretraining: dict[str, Any] = {
        "_name": None,
        "common": {"_name": None, "user_dir": "EAT"},
        "task": _fairseq_task("mae_image_pretraining"),
        "model": _fairseq_model(header),
        "criterion": None,
        "lr_scheduler": None,
    }
    if header.head is None:
        return pretraining
    classification = {
        "_name": "mae_image_classification",
        "num_classes": header.head.num_classes,
        "prediction_mode": header.head.prediction_mode,
        "use_fc_norm": True,
        "linear_classifier": False,
        "audio_mae": True,
        "esc50_eval": not header.multi_label and header.log_mel != _RECIPES["spcv2_eval"],
        "spcv2_eval": not header.multi_label and header.log_mel == _RECIPES["spcv2_eval"],
        "target_length": header.target_length or _TARGET_LENGTH,
        "no_pretrained_weights": False,
        "model_path": "",
        "pretrained_model_args": pretraining,
    }
    return pretraining | {"task": _fairseq_task("mae_image_classification"), "model": classification}


def _fairseq_task(name: str) -> dict[str, Any]:
    return {
        "_name": name,
        "data": "",
        "input_size": 224,
        "key": "source",
        "downsr_16hz": True,
        "audio_mae": True,
        "target_length": _TARGET_LENGTH,
        "rebuild_batches": True,
        "precompute_mask_config": {"_name": None},
    }


def _fairseq_model(header: Header) -> dict[str, Any]:
    encoder = eat_config(header)
    decoder = header.decoder or DecoderConfig(width=encoder.embed_dim)
    return {
        "_name": "data2vec_multi",
        "depth": encoder.depth,
        "num_heads": encoder.num_heads,
        "embed_dim": encoder.embed_dim,
        "mlp_ratio": encoder.mlp_ratio,
        "norm_eps": encoder.norm_eps,
        "norm_affine": True,
        "layer_norm_first": False,
        "start_drop_path_rate": 0.0,
        "end_drop_path_rate": encoder.drop_path_rate,
        "average_top_k_layers": encoder.depth,
        "instance_norm_target_layer": True,
        "layer_norm_targets": True,
        "ema_encoder_only": False,
        "supported_modality": "IMAGE",
        "modalities": {
            "_name": None,
            "image": {
                "type": "IMAGE",
                "in_chans": 1,
                "patch_size": encoder.patch_size,
                "embed_dim": encoder.embed_dim,
                "target_length": _TARGET_LENGTH,
                "max_length": encoder.num_position_columns,
                "fixed_positions": True,
                "num_extra_tokens": 1,
                "init_extra_token_zero": False,
                "use_alibi_encoder": False,
                "prenet_depth": 0,
                "ema_local_encoder": True,
                "decoder": {
                    "decoder_dim": decoder.width,
                    "decoder_groups": decoder.groups,
                    "decoder_kernel": decoder.kernel,
                    "decoder_layers": decoder.num_layers,
                    "input_dropout": 0.0,
                    "add_positions_masked": False,
                    "add_positions_all": False,
                    "decoder_residual": True,
                    "projection_layers": 1,
                    "projection_ratio": 2.0,
                },
            },
        },
    }


def hugging_face_config(header: Header, dtype: str) -> dict[str, Any]:
    """The config.json that describes this model to the published Hugging Face class."""
    encoder = eat_config(header)
    config: dict[str, Any] = {
        "architectures": ["EATModel"],
        "auto_map": {"AutoConfig": "configuration_eat.EATConfig", "AutoModel": "modeling_eat.EATModel"},
        "model_type": "eat",
        "model_variant": "pretrain" if header.head is None else "finetune",
        "embed_dim": encoder.embed_dim,
        "depth": encoder.depth,
        "num_heads": encoder.num_heads,
        "mlp_ratio": encoder.mlp_ratio,
        "qkv_bias": True,
        "patch_size": encoder.patch_size,
        "stride": encoder.patch_size,
        "in_chans": 1,
        "mel_bins": encoder.num_mels,
        "max_length": encoder.num_position_columns,
        "num_classes": 527 if header.head is None else header.head.num_classes,
        "start_drop_path_rate": 0.0,
        "end_drop_path_rate": encoder.drop_path_rate,
        "layer_norm_first": False,
        "norm_eps": encoder.norm_eps,
        "norm_affine": True,
        "fixed_positions": True,
        "img_size": [header.target_length or _TARGET_LENGTH, encoder.num_mels],
        "torch_dtype": dtype,
    }
    if header.head is not None and header.labels != default_labels(header.head.num_classes):
        config["id2label"] = {str(i): label for i, label in enumerate(header.labels)}
        config["label2id"] = {label: i for i, label in enumerate(header.labels)}
    return config


def eat_config(header: Header) -> EATConfig:
    """The encoder's configuration, where it is an EAT model.

    Raises:
        ValueError: if it is of another architecture or has a layer that the layouts of EAT cannot hold.
    """
    if not isinstance(header.encoder, EATConfig):
        raise ValueError(  # noqa: TRY004 -- it is the user's file that does not suit
            f"this layout is that of EAT models, and this is a {header.architecture!r} model: "
            "write it as beats or bioacoustics"
        )
    if header.head is not None and (header.head.refines or header.head.whitens):
        raise ValueError(
            "this detector has more layers than the published classifiers: write it as bioacoustics"
        )
    return header.encoder


def default_labels(num_classes: int) -> tuple[str, ...]:
    """Names of classes that nobody named: their indices."""
    return tuple(str(i) for i in range(num_classes))


def _labels(indices: object, num_classes: int) -> tuple[str, ...]:
    if not isinstance(indices, Mapping):
        return default_labels(num_classes)
    by_index = {index: str(label) for label, index in indices.items()}
    if sorted(by_index) == list(range(num_classes)) and len(indices) == num_classes:
        return tuple(by_index[i] for i in range(num_classes))
    warnings.warn(
        f"the {len(indices)} labels in the file do not number its {num_classes} classes from 0: "
        "the classes are named by their indices",
        stacklevel=2,
    )
    return default_labels(num_classes)


def _num_classes(weights: Mapping[str, Tensor]) -> int | None:
    for name in ("head.head.weight", "head.head.bias"):
        if name in weights and weights[name].ndim > 0:
            return len(weights[name])
    return None
