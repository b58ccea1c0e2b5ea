"""Published EAT checkpoints <-> our bundles, both ways: fairseq's `.pt` files and Hugging Face folders.

Nothing is lost silently: every weight of a published file is mapped, or carried along as `extra.*` because it
is known to be of no use here, or an error. A file that was read and is written again in its own layout has
the same weights under the same names in the same precision, and the same settings.
"""

import json
import warnings
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from bioacoustics.audio.writing import atomic_write
from bioacoustics.models.bundle import (
    EXTRA,
    Bundle,
    Header,
    Source,
    only_tensors,
    seal,
)
from bioacoustics.models.published_carrying import (
    CARRIED_HEADER,
    carried_header,
    from_json,
    main_dtype,
    sections_to_json,
    with_carried_header,
)
from bioacoustics.models.published_names import TEACHER, namer, our_name, teacher_name
from bioacoustics.models.published_settings import (
    default_labels,
    eat_config,
    fairseq_cfg,
    header_of_fairseq,
    header_of_hugging_face,
    hugging_face_config,
)
from bioacoustics.models.unpickling import plain
from bioacoustics.models.writing import write_torch

WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
# What fairseq expects in a checkpoint beside the model, as of a run that has not begun.
_EMPTY_SECTIONS: dict[str, Any] = {
    "args": None,
    "cfg": None,
    "model": None,
    "criterion": None,
    "optimizer_history": [],
    "task_state": {},
    "extra_state": {
        "metrics": [],
        "previous_training_time": 0.0,
        "train_iterator": {"epoch": 1, "iterations_in_epoch": 0, "shuffle": True},
        "val_loss": None,
    },
    "last_optimizer_state": None,
}


def bundle_of_fairseq(checkpoint: Mapping[str, Any]) -> Bundle:
    """Make a bundle of a loaded fairseq checkpoint, pre-trained or fine-tuned.

    Raises:
        ValueError: if it is not of an EAT model, or a weight is unknown, missing or of the wrong shape.
    """
    model = dict(checkpoint["model"])
    teacher = model.pop(TEACHER, {})
    if not isinstance(teacher, Mapping):
        raise ValueError(  # noqa: TRY004 -- it is the user's file that is wrong, not a caller
            f"{TEACHER} is a {type(teacher).__name__}, expected the weights of the teacher"
        )
    weights, teacher = only_tensors(model), only_tensors(teacher)
    places = {theirs: our_name(theirs) for theirs in weights}
    teacher_places = {theirs: teacher_name(theirs) for theirs in teacher}
    ours = _renamed(weights, places) | _renamed(teacher, teacher_places)

    carried = with_carried_header(checkpoint.get(CARRIED_HEADER), ours)
    if carried is not None:
        return carried
    cfg = plain(checkpoint["cfg"])
    settings, dropped = sections_to_json({**checkpoint, "cfg": cfg})
    source = Source(
        layout="fairseq",
        dtype=main_dtype(weights.values()),
        keys=tuple(weights),
        teacher_keys=tuple(teacher),
        settings=settings,
        dropped=dropped,
    )
    header = header_of_fairseq(cfg, checkpoint.get("task_state"), ours)
    known = {name: theirs for theirs, name in [*places.items(), *teacher_places.items()]}
    their_name = namer(known, header, "fairseq")

    def name_in_messages(name: str) -> str:
        return f"{TEACHER}.{their_name(name)}" if name.startswith("teacher.") else their_name(name)

    return seal(header.model_copy(update={"source": source}), ours, name_in_messages)


def read_hugging_face(folder: Path) -> Bundle:
    """Make a bundle of a Hugging Face folder with `model.safetensors` and `config.json`.

    Raises:
        FileNotFoundError: if one of the two is not there.
        ValueError: if it is not of an EAT model, or a weight is unknown, missing or of the wrong shape.
    """
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"there is no {name}; a Hugging Face folder has {WEIGHTS_FILE} and {CONFIG_FILE}"
            )
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    with safetensors.safe_open(folder / WEIGHTS_FILE, "pt") as file:
        metadata: dict[str, str] = dict(file.metadata() or {})
        weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    places = {theirs: our_name(theirs) for theirs in weights}
    ours = _renamed(weights, places)

    carried = with_carried_header(metadata.pop(CARRIED_HEADER, None), ours)
    if carried is not None:
        return carried
    header = header_of_hugging_face(config, ours)
    source = Source(
        layout="huggingface",
        dtype=main_dtype(weights.values()),
        keys=tuple(weights),
        settings=config,
        metadata=metadata,
    )
    names = {name: theirs for theirs, name in places.items()}
    return seal(header.model_copy(update={"source": source}), ours, namer(names, header, "huggingface"))


def write_fairseq(bundle: Bundle, path: Path) -> None:
    """Write a bundle as a fairseq checkpoint, for the official code; warns of what is then missing or lost.

    Raises:
        ValueError: if the official code cannot compute what this model computes.
        OSError: if it cannot be written.
    """
    header, weights = bundle.header, bundle.weights
    if (num_mels := eat_config(header).num_mels) != 128:
        raise ValueError(f"the official EAT code has 128 mel bands, this model {num_mels}")
    source = header.source if header.source is not None and header.source.layout == "fairseq" else None
    if source is not None:
        model = OrderedDict((theirs, weights[our_name(theirs)]) for theirs in source.keys)
        teacher = {theirs: weights[teacher_name(theirs)] for theirs in source.teacher_keys}
        sections = {name: from_json(value) for name, value in source.settings.items()}
    else:
        canonical = namer({}, header, "fairseq")
        model = OrderedDict(
            (canonical(name), weight)
            for name, weight in weights.items()
            if not name.startswith((EXTRA, "teacher."))
        )
        teacher = {canonical(name): weight for name, weight in weights.items() if name.startswith("teacher.")}
        sections = {}
        _warn_if_lost(weights, (EXTRA,), "weights without use for EAT are left out")
        if header.kind == "encoder":
            warnings.warn(
                "there is no decoder and no teacher in this model: the official code can fine-tune it and "
                "extract features, but not continue its pre-training",
                stacklevel=2,
            )
    sections = _EMPTY_SECTIONS | {"cfg": fairseq_cfg(header), "task_state": _task_state(header)} | sections
    understood = header_of_fairseq(sections["cfg"], sections["task_state"], weights)
    carried = carried_header(header, understood)
    content = sections | {"model": model | ({TEACHER: teacher} if teacher else {})} | carried
    write_torch(content, path)


def write_hugging_face(bundle: Bundle, folder: Path) -> None:
    """Write a bundle as a Hugging Face folder: `model.safetensors` and `config.json`; warns of what is lost.

    The published class that reads it is remote code: its two Python files have to be copied beside these. Its
    classifier has a norm of eps 1e-5 where fairseq's has 1e-6, so that logits differ by about 1e-5.

    Raises:
        ValueError: if the published class cannot compute what this model computes.
        OSError: if it cannot be written.
    """
    header, weights = bundle.header, bundle.weights
    eat_config(header)  # refuses others
    if header.head is not None and header.head.prediction_mode != "CLS_TOKEN":
        raise ValueError(
            "the published Hugging Face class classifies by CLS_TOKEN, this model by "
            f"{header.head.prediction_mode}"
        )
    source = header.source if header.source is not None and header.source.layout == "huggingface" else None
    if source is not None:
        content = {theirs: weights[our_name(theirs)] for theirs in source.keys}
        config: dict[str, Any] = dict(source.settings)
        metadata = dict(source.metadata)
    else:
        _warn_if_lost(
            weights,
            ("decoder.", "teacher."),
            "the decoder and the teacher, which pre-training needs, are left out",
        )
        _warn_if_lost(weights, (EXTRA,), "weights without use for EAT are left out")
        kept = {name: weight for name, weight in weights.items() if name.startswith(("encoder.", "head."))}
        kind = "encoder" if header.head is None else "classifier"
        header = seal(header.model_copy(update={"kind": kind, "decoder": None, "source": None}), kept).header
        canonical = namer({}, header, "huggingface")
        content = {canonical(name): weight for name, weight in kept.items()}
        config = hugging_face_config(header, main_dtype(kept.values()))
        metadata = {"format": "pt"}
    metadata |= carried_header(header, header_of_hugging_face(config, weights))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / WEIGHTS_FILE) as file:
        file.write(safetensors.torch.save(content, metadata))
    with atomic_write(folder / CONFIG_FILE) as file:
        file.write(json.dumps(config, indent=2, ensure_ascii=False).encode())


def _renamed(weights: Mapping[str, Tensor], places: Mapping[str, str]) -> dict[str, Tensor]:
    twice = [name for name, count in Counter(places.values()).items() if count > 1]
    if twice:
        both = [theirs for theirs, name in places.items() if name in twice]
        raise ValueError(f"several weights for the same part of the model: {', '.join(both)}")
    return {places[theirs]: weight for theirs, weight in weights.items()}


def _warn_if_lost(weights: Mapping[str, Tensor], prefixes: tuple[str, ...], what: str) -> None:
    lost = [name for name in weights if name.startswith(prefixes)]
    if lost:
        warnings.warn(f"{what} ({len(lost)} weights, the first is {lost[0]})", stacklevel=3)


def _task_state(header: Header) -> dict[str, Any]:
    if header.head is None or header.labels == default_labels(header.head.num_classes):
        return {}
    return {"labels": {label: i for i, label in enumerate(header.labels)}}
