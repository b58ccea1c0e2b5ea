"""Adapt report: the verdict on an adapted model, and what it rests on, as one page in English or Spanish."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bioacoustics.formats.page import Page, Step
from bioacoustics.formats.words import Language
from bioacoustics.training.metrics import read_metrics
from bioacoustics.training.probes import Interval
from bioacoustics.workflows.before_after import Comparison
from bioacoustics.workflows.demo_report import log_mel_of
from bioacoustics.workflows.verdict import RULE, points

TEXTS: dict[str, dict[Language, str]] = {
    "title": {"en": "Did adapting help?", "es": "¿Sirvió la adaptación?"},
    "keep": {"en": "keep", "es": "conservar"},
    "discard": {"en": "discard", "es": "descartar"},
    "undecided": {"en": "undecided", "es": "sin decidir"},
    "verdict": {"en": "verdict", "es": "veredicto"},
    "difference": {"en": "difference, points", "es": "diferencia, puntos"},
    "judges": {"en": "recordings that judge", "es": "grabaciones que juzgan"},
    "rank": {"en": "effective rank", "es": "rango efectivo"},
    "rule": {"en": "How the verdict is reached", "es": "Cómo se llega al veredicto"},
    "scores": {"en": "Before and after", "es": "Antes y después"},
    "scores_labels": {
        "en": "Each probe is fitted on some recordings and judged on others; clips of one recording are "
        "never on "
        "both sides. Retrieval asks whether the most similar clips of other recordings have the same label. "
        "Mel statistics are four numbers a frequency band, with nothing learnt: an encoder should beat them.",
        "es": "Cada prueba se ajusta con unas grabaciones y se juzga con otras; los clips de una "
        "grabación nunca "
        "están en ambos lados. La recuperación pregunta si los clips más parecidos de otras grabaciones "
        "tienen la "
        "misma etiqueta. Las estadísticas mel son cuatro números por banda, sin nada aprendido: un "
        "codificador "
        "debería superarlas.",
    },
    "scores_neighbours": {
        "en": "Held-out recordings are cut into windows of about a second. How often is a window more "
        "similar to "
        "the one beside it than to others of the same recording? Half by chance; the recorder and the "
        "place are "
        "the same for all of them, so they cannot win. This is weaker evidence than labels.",
        "es": "Las grabaciones apartadas se cortan en ventanas de un segundo. ¿Con qué frecuencia una "
        "ventana se "
        "parece más a la contigua que a otras de la misma grabación? Al azar, la mitad; la grabadora y el "
        "lugar "
        "son los mismos para todas, así que no pueden ganar. Es una evidencia más débil que las etiquetas.",
    },
    "nearest": {"en": "nearest neighbours", "es": "vecinos más cercanos"},
    "linear": {"en": "linear", "es": "lineal"},
    "attentive": {"en": "attentive", "es": "con atención"},
    "retrieval": {"en": "retrieval", "es": "recuperación"},
    "neighbours": {"en": "neighbour consistency", "es": "coherencia de vecinos"},
    "before": {"en": "before", "es": "antes"},
    "after": {"en": "after", "es": "después"},
    "mel": {"en": "mel statistics", "es": "estadísticas mel"},
    "probe": {"en": "probe", "es": "prueba"},
    "interval": {"en": "95 % interval", "es": "intervalo del 95 %"},
    "accuracy": {"en": "accuracy", "es": "exactitud"},
    "mean_average_precision": {"en": "mean average precision", "es": "precisión media (mAP)"},
    "consistency": {"en": "share of comparisons", "es": "parte de las comparaciones"},
    "measure": {"en": "measure", "es": "medida"},
    "map": {"en": "Map of the embeddings", "es": "Mapa de los vectores"},
    "map_text": {
        "en": "Each dot is a clip or window; dots close together sound alike to the model. The commonest "
        "names are "
        "coloured. "
        "Two axes show only a part; the scores above use all of them.",
        "es": "Cada punto es un clip o una ventana; los puntos cercanos le suenan parecidos al modelo. "
        "Los nombres más "
        "comunes "
        "llevan color. Dos ejes muestran solo una parte; las cifras de arriba los usan todos.",
    },
    "learned": {"en": "How it learned", "es": "Cómo aprendió"},
    "learned_text": {
        "en": "The loss is measured against a teacher that moves itself, so a lower loss alone does not "
        "mean a "
        "better model: that is why the verdict does not use it.",
        "es": "La pérdida se mide frente a un maestro que también cambia; una pérdida menor no basta para "
        "decir que "
        "el modelo es mejor: por eso el veredicto no la usa.",
    },
    "examples": {"en": "Examples", "es": "Ejemplos"},
    "examples_text": {
        "en": "A clip, and the most similar clip of another recording before and after: above, the clip "
        "that gained "
        "most; below, the one that lost most.",
        "es": "Un clip y el más parecido de otra grabación, antes y después: arriba, el clip que más "
        "ganó; abajo, "
        "el que más perdió.",
    },
    "next_keep": {
        "en": "Use the adapted model, for example fine-tune it:",
        "es": "Use el modelo adaptado, por ejemplo afínelo:",
    },
    "next_discard": {
        "en": "Go on with the model you had. More recordings, or a lower learning rate in a new folder, "
        "may help:",
        "es": "Siga con el modelo que tenía. Más grabaciones, o una tasa menor en otra carpeta, pueden "
        "ayudar:",
    },
    "next_undecided": {
        "en": "Label more recordings and repeat the same command: it only judges again.",
        "es": "Etiquete más grabaciones y repita la misma orden: solo volverá a juzgar.",
    },
}


@dataclass(frozen=True, kw_only=True)
class AdaptStory:
    """What was adapted to what, and where the run lies."""

    run_folder: Path
    before: Path
    after: Path
    data_dir: Path


def adapt_page(story: AdaptStory, comparison: Comparison, language: Language) -> Page:
    """The report of an adaptation that has been judged."""
    # Late, because plotting takes seconds to load, which every command would wait for.
    from bioacoustics.formats.comparisons import embedding_maps
    from bioacoustics.formats.pictures import loss_curves

    verdict = comparison.verdict
    page = Page(_text("title", language), lead=verdict.reason(language), language=language)
    rows = read_metrics(story.run_folder)
    value, low, high = (points(number) for number in verdict.difference)
    page.facts(
        [
            (_text("verdict", language), _text(verdict.decision, language)),
            (f"{_text('difference', language)} ({low} … {high})", value),
            (_text("judges", language), str(verdict.num_recordings)),
            (_text("rank", language), f"{verdict.rank_before:.1f} → {verdict.rank_after:.1f}"),
        ]
    )
    _add_scores(page, comparison, language)
    page.heading(_text("rule", language))
    page.paragraph(RULE[language])
    page.heading(_text("map", language))
    page.paragraph(_text("map_text", language))
    titles = (_text("before", language), _text("after", language))
    panels = list(zip(titles, comparison.vectors, strict=True))
    page.picture(
        embedding_maps(panels, comparison.names, language=language), description=_text("map", language)
    )
    page.heading(_text("learned", language))
    page.paragraph(_text("learned_text", language))
    page.picture(loss_curves(rows, language=language), description=_text("learned", language))
    _add_examples(page, comparison, language)
    page.next_steps([_next_step(story, comparison, language)])
    return page


def _text(key: str, language: Language) -> str:
    return TEXTS[key][language]


def _add_scores(page: Page, comparison: Comparison, language: Language) -> None:
    from bioacoustics.formats.comparisons import score_bars

    page.heading(_text("scores", language))
    page.paragraph(_text(f"scores_{comparison.verdict.evidence}", language))
    scores = comparison.scores
    lines = []
    for score in scores:
        gap = score.difference
        cells = (f"{100 * interval.value:.1f} %" for interval in (score.before, score.after))
        bounds = f"{points(gap.low)} … {points(gap.high)}"
        named = (_text(score.probe, language), _text(score.measure, language))
        lines.append([*named, *cells, points(gap.value), bounds])
    series = [
        (_text("before", language), [_bar(score.before) for score in scores]),
        (_text("after", language), [_bar(score.after) for score in scores]),
    ]
    if comparison.baseline:
        series.append((_text("mel", language), [_bar(score.mel_statistics) for score in scores]))
    names = [_text(score.probe, language) for score in scores]
    page.picture(score_bars(names, series, language=language), description=_text("scores", language))
    columns = ("probe", "measure", "before", "after", "difference", "interval")
    page.table([_text(column, language) for column in columns], lines)


def _bar(interval: Interval | None) -> tuple[float, float, float]:
    nan = float("nan")
    return (nan, nan, nan) if interval is None else (interval.value, interval.low, interval.high)


def _add_examples(page: Page, comparison: Comparison, language: Language) -> None:
    """The clip that gained most and the one that lost most, each with its neighbours."""
    from bioacoustics.formats.pictures import spectrograms

    one, other = comparison.before[-1], comparison.after[-1]  # retrieval, or neighbour consistency
    if comparison.verdict.evidence != "labels" or one.per_clip is None or other.per_clip is None:
        return
    gains = np.nan_to_num(other.per_clip - one.per_clip)
    titles, pictures = [], []
    for query in (int(gains.argmax()), int(gains.argmin())):
        clips = [query, *(_neighbour(rows, one.groups, query) for rows in comparison.vectors)]
        seen = [log_mel_of(comparison.recordings[clip].path) for clip in clips]
        if any(picture is None for picture in seen):
            continue
        marks = ("", f"{_text('before', language)}: ", f"{_text('after', language)}: ")
        titles += [mark + comparison.names[clip] for mark, clip in zip(marks, clips, strict=True)]
        pictures += [picture for picture in seen if picture is not None]
    if pictures:
        page.heading(_text("examples", language))
        page.paragraph(_text("examples_text", language))
        page.picture(spectrograms(pictures, titles, language=language), description=", ".join(titles))


def _neighbour(vectors: np.ndarray, groups: np.ndarray, query: int) -> int:
    """The clip of another recording that is most similar, as retrieval sees it."""
    spread = vectors.std(axis=0)
    rows = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    cosines = np.where(groups == groups[query], -np.inf, rows @ rows[query])
    return int(cosines.argmax())


def _next_step(story: AdaptStory, comparison: Comparison, language: Language) -> Step:
    decision = comparison.verdict.decision
    command = {
        "keep": f"bioacoustics finetune --model_path {story.after} --save_dir ./checkpoints/finetune "
        "--data_dir ./data/labeled/audio --labels ./data/labeled/labels.csv",
        "discard": f"bioacoustics adapt --model_path {story.before} --data_dir {story.data_dir} "
        "--save_dir ./checkpoints/adapted_2 --learning_rate 5e-5",
        "undecided": "",
    }[decision]
    return Step(_text(f"next_{decision}", language), command)
