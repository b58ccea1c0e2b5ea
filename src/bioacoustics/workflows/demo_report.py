"""Demo report: what the demo did and found, as one page in English or Spanish."""

import csv
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from bioacoustics.audio.log_mel import LogMel, LogMelConfig
from bioacoustics.audio.reading import UnreadableAudioError, read_segment
from bioacoustics.audio.recordings import read_header, scan_recordings
from bioacoustics.audio.segments import Segment
from bioacoustics.formats.page import Page, Step
from bioacoustics.formats.words import Language
from bioacoustics.training.metrics import read_metrics

NUM_EXAMPLES = 6
EXAMPLE_S = 10.0
NUM_EVENTS = 12

TEXTS: dict[str, dict[Language, str]] = {
    "title": {"en": "Your first animal sound model", "es": "Su primer modelo de sonidos animales"},
    "lead_synthetic": {
        "en": "A small EAT was pre-trained on synthetic recordings, fine-tuned on labelled clips and "
        "tested on "
        "recordings that it had never heard. These sounds are made up: the numbers show that everything "
        "works, "
        "not how well it does on your animals.",
        "es": "Un EAT pequeño se preentrenó con grabaciones sintéticas, se afinó con clips etiquetados y "
        "se probó "
        "en grabaciones que nunca había oído. Los sonidos son inventados: las cifras muestran que todo "
        "funciona, "
        "no qué tan bien lo hará con sus animales.",
    },
    "lead_own": {
        "en": "A small EAT was pre-trained on your recordings in a few minutes. It is a first look: a larger "
        "model and more updates learn much more.",
        "es": "Un EAT pequeño se preentrenó con sus grabaciones en pocos minutos. Es un primer vistazo: "
        "un modelo "
        "más grande y más actualizaciones aprenden mucho más.",
    },
    "recordings": {"en": "recordings without labels", "es": "grabaciones sin etiquetas"},
    "clips": {"en": "held-out clips", "es": "clips de prueba"},
    "labels": {"en": "labels", "es": "etiquetas"},
    "accuracy": {"en": "named rightly", "es": "nombrados correctamente"},
    "chance": {"en": "by guessing", "es": "al azar"},
    "time": {"en": "time taken", "es": "tiempo empleado"},
    "sounds": {"en": "What it heard", "es": "Lo que escuchó"},
    "sounds_text": {
        "en": "Spectrograms: time from left to right, pitch from low to high, bright is loud. With "
        "labels, the "
        "title gives the true label and, after the arrow, what the model says.",
        "es": "Espectrogramas: el tiempo de izquierda a derecha, el tono de grave a agudo, lo claro es "
        "fuerte. Con "
        "etiquetas, el título da la etiqueta verdadera y, tras la flecha, lo que dice el modelo.",
    },
    "learned": {"en": "How it learned without labels", "es": "Cómo aprendió sin etiquetas"},
    "learned_text": {
        "en": "Four fifths of each spectrogram are hidden; the model predicts what a slower copy of "
        "itself makes "
        "of the whole. The loss should fall. If the standard deviation of the targets fell to zero, the "
        "model "
        "would say the same of every sound (collapse), and training would stop by itself.",
        "es": "Se ocultan cuatro quintos de cada espectrograma; el modelo predice lo que una copia más "
        "lenta de sí "
        "mismo hace del total. La pérdida debe bajar. Si la desviación estándar de los objetivos cayera "
        "a cero, el "
        "modelo diría lo mismo de todo sonido (colapso) y el entrenamiento se detendría solo.",
    },
    "tuned": {"en": "How it learned the labels", "es": "Cómo aprendió las etiquetas"},
    "scores": {"en": "How well it knows each label", "es": "Qué tan bien conoce cada etiqueta"},
    "scores_text": {
        "en": "Average precision on held-out recordings: 1 means that all clips with the label come "
        "before all "
        "others. Clips of one recording never stand on both sides of the split.",
        "es": "Precisión promedio en grabaciones no usadas para entrenar: 1 significa que todos los "
        "clips con la "
        "etiqueta van antes que los demás. Los clips de una grabación nunca están en ambos lados.",
    },
    "confused": {"en": "What it confuses", "es": "Lo que confunde"},
    "long": {"en": "Longer recordings", "es": "Grabaciones más largas"},
    "long_text": {
        "en": "The likeliest label of each recording as a whole; bioacoustics embed gives one vector "
        "per window.",
        "es": "La etiqueta más probable de cada grabación; bioacoustics embed da un vector por ventana.",
    },
    "file": {"en": "file", "es": "archivo"},
    "predicted": {"en": "predicted", "es": "predicción"},
    "probability": {"en": "probability", "es": "probabilidad"},
    "next_own": {
        "en": "Pre-train on your own recordings; any folder will do, no labels needed:",
        "es": "Preentrene con sus propias grabaciones; sirve cualquier carpeta, sin etiquetas:",
    },
    "next_tune": {
        "en": "Write a table with the columns filename,labels and fine-tune:",
        "es": "Escriba una tabla con las columnas filename,labels y afine el modelo:",
    },
    "next_predict": {"en": "Predict on a folder:", "es": "Prediga sobre una carpeta:"},
    "next_demo": {
        "en": "See this page for your own data (unlabeled/, labeled/audio/, labeled/labels.csv):",
        "es": "Vea esta página con sus datos (unlabeled/, labeled/audio/, labeled/labels.csv):",
    },
}


@dataclass(slots=True)
class DemoStory:
    """What the demo worked on and what came of it; folders that are None were not there."""

    output_dir: Path
    is_synthetic: bool
    unlabeled_dir: Path
    audio_dir: Path | None
    labels_csv: Path | None
    recordings_dir: Path | None
    elapsed_s: float = 0.0

    @property
    def pretrain_dir(self) -> Path:
        """Run folder of the pre-training."""
        return self.output_dir / "pretrain"

    @property
    def finetune_dir(self) -> Path:
        """Run folder of the fine-tuning."""
        return self.output_dir / "finetune"


@dataclass(frozen=True, slots=True)
class _HeldOutClip:
    file: str
    labels: tuple[str, ...]
    predicted: str


def demo_page(story: DemoStory, language: Language) -> Page:
    """The report of a demo that has ended."""
    page = Page(
        _text("title", language),
        lead=_text("lead_synthetic" if story.is_synthetic else "lead_own", language),
        language=language,
    )
    clips, labels = _held_out_clips(story)
    page.facts(_facts(story, clips, labels, language))
    _add_sounds(page, story, clips, language)
    _add_learning(page, story, language)
    if clips:
        _add_scores(page, story, clips, labels, language)
    _add_long_recordings(page, story, language)
    page.next_steps(
        [
            Step(
                _text("next_own", language),
                "./scripts/pretrain.sh --save_dir ./checkpoints/pretrain --data_dir ./data/unlabeled",
            ),
            Step(
                _text("next_tune", language),
                "./scripts/finetune.sh --model_path ./checkpoints/pretrain/checkpoint_best.pt --save_dir "
                "./checkpoints/finetune --data_dir ./data/labeled/audio --labels ./data/labeled/labels.csv",
            ),
            Step(
                _text("next_predict", language),
                "bioacoustics predict --model_path ./checkpoints/finetune/checkpoint_best.pt --data_dir "
                "./data/recordings --output predictions.csv",
            ),
            Step(_text("next_demo", language), "make demo DATA=./data"),
        ]
    )
    return page


def _text(key: str, language: Language) -> str:
    return TEXTS[key][language]


def _held_out_clips(story: DemoStory) -> tuple[list[_HeldOutClip], list[str]]:
    """The held-out clips with true and predicted labels, and all labels."""
    table = story.finetune_dir / "predictions.csv"
    if story.labels_csv is None or not table.exists():
        return [], []
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in (rows[0] if rows else {}) if name.startswith("p(")]
    labels = [name[2:-1] for name in columns]
    clips = []
    for row in rows:
        best = int(np.argmax([float(row[name]) for name in columns]))
        clips.append(_HeldOutClip(row["file"], tuple(row["labels"].split("|")), labels[best]))
    return clips, labels


def _facts(
    story: DemoStory, clips: list[_HeldOutClip], labels: list[str], language: Language
) -> list[tuple[str, str]]:
    num_recordings = len(scan_recordings(story.unlabeled_dir).recordings)
    facts = [(_text("recordings", language), str(num_recordings))]
    if clips:
        right = np.mean([clip.predicted in clip.labels for clip in clips])
        facts += [
            (_text("labels", language), str(len(labels))),
            (_text("clips", language), str(len(clips))),
            (_text("accuracy", language), f"{100 * right:.0f} %"),
            (_text("chance", language), f"{100 / len(labels):.0f} %"),
        ]
    return [*facts, (_text("time", language), f"{story.elapsed_s / 60:.1f} min")]


def _add_sounds(page: Page, story: DemoStory, clips: list[_HeldOutClip], language: Language) -> None:
    # Late, because plotting takes seconds to load, which every command would wait for.
    from bioacoustics.formats.pictures import spectrograms

    if clips and story.audio_dir is not None:
        one_each = {clip.labels[0]: clip for clip in reversed(clips)}
        shown = [
            (story.audio_dir / clip.file, f"{clip.labels[0]} → {clip.predicted}")
            for clip in one_each.values()
        ]
    else:
        recordings = scan_recordings(story.unlabeled_dir).recordings
        step = max(1, len(recordings) // NUM_EXAMPLES)
        shown = [(recording.path, recording.path.name) for recording in recordings[::step]]
    readable = ((title, seen) for path, title in shown if (seen := log_mel_of(path)) is not None)
    examples = list(islice(readable, NUM_EXAMPLES))
    if not examples:
        return
    page.heading(_text("sounds", language))
    page.paragraph(_text("sounds_text", language))
    titles, pictures = zip(*examples, strict=True)
    page.picture(spectrograms(pictures, titles, language=language), description=", ".join(titles))


def log_mel_of(path: Path) -> Float[np.ndarray, "frames mels"] | None:
    """Log-mel of the first seconds of a file; None where there is nothing to see."""
    config = LogMelConfig.eat()
    try:
        start = Segment(read_header(path, path.parent), 0.0, EXAMPLE_S)
        samples = read_segment(start, config.sample_rate_hz).samples
    except UnreadableAudioError:
        return None
    if len(samples) < config.frame_length:
        return None
    return LogMel(config).unnormalised(torch.from_numpy(samples)[None])[0].numpy()


def _add_learning(page: Page, story: DemoStory, language: Language) -> None:
    from bioacoustics.formats.pictures import loss_curves

    page.heading(_text("learned", language))
    page.paragraph(_text("learned_text", language))
    png = loss_curves(read_metrics(story.pretrain_dir), language=language)
    page.picture(png, description=_text("learned", language))
    if story.labels_csv is not None:
        page.heading(_text("tuned", language))
        png = loss_curves(read_metrics(story.finetune_dir), language=language)
        page.picture(png, description=_text("tuned", language))


def _add_scores(
    page: Page, story: DemoStory, clips: list[_HeldOutClip], labels: list[str], language: Language
) -> None:
    from bioacoustics.formats.pictures import confusion_matrix, per_class_bars

    with (story.finetune_dir / "per_class.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = np.array([float(row["average_precision"] or "nan") for row in rows])
    num_clips = np.array([int(row["num_held_out"]) for row in rows])
    page.heading(_text("scores", language))
    page.paragraph(_text("scores_text", language))
    bars = per_class_bars(labels, values, name="average_precision", num_clips=num_clips, language=language)
    page.picture(bars, description=_text("scores", language))
    if all(len(clip.labels) == 1 for clip in clips):
        counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
        for clip in clips:
            counts[labels.index(clip.labels[0]), labels.index(clip.predicted)] += 1
        page.heading(_text("confused", language))
        page.picture(
            confusion_matrix(counts, labels, language=language), description=_text("confused", language)
        )


def _add_long_recordings(page: Page, story: DemoStory, language: Language) -> None:
    table = story.output_dir / "predictions.csv"
    if story.recordings_dir is None or not table.exists():
        return
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:NUM_EVENTS]
    page.heading(_text("long", language))
    page.paragraph(_text("long_text", language))
    columns = [_text(key, language) for key in ("file", "predicted", "probability")]
    page.table(columns, [[row["file"], row["predicted"], float(row["probability"])] for row in rows])
