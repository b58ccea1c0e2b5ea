"""Doctor: what this machine has, what is missing, and how to get it."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bioacoustics.models.saved import read_bundle
from bioacoustics.models.thresholds import DEFAULT_THRESHOLD

PACKAGES = (
    "bioacoustics",
    "torch",
    "accelerate",
    "numpy",
    "soundfile",
    "soxr",
    "safetensors",
    "pandas",
    "pyarrow",
)
EXTRAS = {
    "av": ("m4a, wma and other formats beyond libsndfile", "pip install 'bioacoustics[av]'"),
    "tensorboard": ("TensorBoard curves of a training run", "pip install 'bioacoustics[tensorboard]'"),
}
ENCODED_FORMATS = {
    "WAV": "PCM_16",
    "FLAC": "PCM_16",
    "OGG": "VORBIS",
    "MP3": "MPEG_LAYER_III",
    "OPUS": "OPUS",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    topic: str
    is_well: bool
    text: str
    remedy: str = ""


def examine(model_path: Path | None = None) -> list[Finding]:
    """Everything the doctor looks at, and a model if one is given; what is not well carries a remedy."""
    of_model = _model(model_path) if model_path is not None else []
    return [*of_model, _python(), *_packages(), *_devices(), _memory(), _disk(), *_decoders(), *_extras()]


def doctor(console: Console, model_path: Path | None = None) -> bool:
    """Print the report; True when training and inference will run here, and the model can be read."""
    findings = examine(model_path)
    table = Table("", "what", "found", "what to do", box=None, header_style="bold", pad_edge=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.is_well else "[yellow]--[/]"
        table.add_row(mark, escape(finding.topic), escape(finding.text), escape(finding.remedy))
    console.print(table)
    return all(finding.is_well for finding in findings if not finding.topic.startswith("optional"))


def _model(path: Path) -> list[Finding]:
    """What a saved model says of itself."""
    try:
        header = read_bundle(path).header
    except (ValueError, FileNotFoundError) as error:
        return [Finding("model", False, str(error), "give a checkpoint that can be read")]
    text = f"{header.kind} of {header.architecture}, fingerprint {header.fingerprint[:16]}"
    card = header.known_card
    schooling = "; ".join(map(str, card.schooling)) or "not recorded in the file"
    findings = [
        Finding("model", True, text),
        Finding("trained on", True, schooling),
        Finding("licence of weights", True, card.terms),
    ]
    if header.head is None:
        return findings
    kind = "several labels a clip" if header.multi_label else "one label a clip"
    findings.append(
        Finding("labels", True, f"{len(header.labels)}, {kind}; head {header.head.prediction_mode}")
    )
    told = "not calibrated by this package"
    if header.calibration is not None:
        gap = header.calibration.get("calibration_error_after")
        told = f"calibrated, error {gap:.3f}" if isinstance(gap, float) else "calibrated"
    findings.append(Finding("probabilities", True, told))
    if header.thresholds is None:
        remedy = "bioacoustics evaluate --bundle ... --precision_wanted 0.9 finds some"
        text = f"none of its own: events open at {DEFAULT_THRESHOLD:g}"
        return [*findings, Finding("thresholds", True, text, remedy)]
    found = header.thresholds
    text = (
        f"of {len(found.classes)} of {len(header.labels)} labels for a precision of "
        f"{found.precision_wanted:g}, "
        f"found on {found.num_recordings} recordings in windows of {found.window_s:g} s"
    )
    findings.append(Finding("thresholds", True, text))
    for label, one in found.classes.items():
        text = (
            f"{one.threshold:.3f}; precision {one.precision:.2f} "
            f"({one.precision_low:.2f} to {one.precision_high:.2f}), recall {one.recall:.2f}"
        )
        findings.append(Finding(f"threshold of {label}", True, text))
    return findings


def _python() -> Finding:
    return Finding("Python", True, f"{platform.python_version()} on {platform.platform()}")


def _packages() -> list[Finding]:
    findings = []
    for name in PACKAGES:
        try:
            findings.append(Finding(name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, False, "not installed", f"pip install {name}"))
    return findings


def _devices() -> list[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    findings = [
        Finding("processor", True, f"{cores} cores, {torch.get_num_threads()} threads used by PyTorch")
    ]
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        text = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, bf16: {torch.cuda.is_bf16_supported()}"
        findings.append(Finding(f"CUDA device {index}", True, text))
    if torch.backends.mps.is_available():
        findings.append(Finding("Apple GPU", True, "MPS can be used"))
    if len(findings) == 1:
        remedy = "" if torch.version.cuda else "if there is one: install the torch build of your CUDA version"
        findings.append(Finding("optional: GPU", False, "none that this PyTorch can use", remedy))
    return findings


def _memory() -> Finding:
    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"
    if memory.available < 2 * 2**30:
        return Finding("memory", False, text, "close other programs; base-size training needs 4 GiB and more")
    return Finding("memory", True, text)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 2**30:.1f} GiB free in {Path.cwd()}"
    if free < 5 * 2**30:
        return Finding("disk", False, text, "a base-size run keeps about 3 GiB of checkpoints: make room")
    return Finding("disk", True, text)


def _decoders() -> list[Finding]:
    """Encode and decode a second of noise in each format: a claim of libsndfile's proves nothing."""
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    findings = []
    with tempfile.TemporaryDirectory() as folder:
        for name, subtype in ENCODED_FORMATS.items():
            path = Path(folder) / f"probe.{name.lower()}"
            container, rate = ("OGG", 48000) if name == "OPUS" else (name, 16000)
            try:
                soundfile.write(path, noise, rate, format=container, subtype=subtype)
                num_samples = len(soundfile.read(path)[0])
            except (soundfile.LibsndfileError, ValueError) as error:
                remedy = "pip install --upgrade soundfile (its libsndfile is too old)"
                findings.append(Finding(f"decoder {name}", False, str(error), remedy))
            else:
                findings.append(Finding(f"decoder {name}", num_samples > 0, "works"))
    return findings


def _extras() -> list[Finding]:
    findings = []
    for module, (purpose, remedy) in EXTRAS.items():
        is_there = importlib.util.find_spec(module) is not None
        text = f"{purpose}: {'installed' if is_there else 'not installed'}"
        findings.append(Finding(f"optional: {module}", is_there, text, "" if is_there else remedy))
    return findings
