"""Evaluation words: what the report of an evaluation says, in English and Spanish."""

from bioacoustics.formats.words import Language

TEXTS: dict[str, dict[Language, str]] = {
    "title": {"en": "How well does it hear?", "es": "¿Qué tan bien oye?"},
    "lead": {
        "en": "What a model said of recordings, compared with what people annotated in them.",
        "es": "Lo que un modelo dijo de unas grabaciones, comparado con lo que personas anotaron en ellas.",
    },
    "recordings": {"en": "recordings", "es": "grabaciones"},
    "window": {"en": "windows", "es": "ventanas"},
    "recording": {"en": "recordings with scores", "es": "grabaciones con puntuación"},
    "cmap": {"en": "cmAP, mean of the labels", "es": "cmAP, media de las etiquetas"},
    "auroc": {"en": "AUROC", "es": "AUROC"},
    "f1": {"en": "F1 at the threshold", "es": "F1 en el umbral"},
    "ece": {"en": "calibration error", "es": "error de calibración"},
    "events_annotated": {"en": "annotated events", "es": "eventos anotados"},
    "labels": {"en": "Label by label", "es": "Etiqueta por etiqueta"},
    "labels_text": {
        "en": "Average precision and AUROC ask whether windows with the sound come before those "
        "without, at "
        "any threshold. Precision (how much of what was named is right) and recall (how much of "
        "what is there "
        "was named) are those at the threshold. A dash: the label is not annotated, so nobody can tell.",
        "es": "La precisión promedio y el AUROC preguntan si las ventanas con el sonido van antes que las "
        "demás, con cualquier umbral. La precisión (cuánto de lo nombrado es correcto) y la sensibilidad "
        "(cuánto de lo que hay se nombró) son las del umbral. Un guion: la etiqueta no está anotada "
        "y nadie "
        "puede saberlo.",
    },
    "untold": {
        "en": "{} more labels of the model are neither annotated here nor named by it; see per_class.csv.",
        "es": "Otras {} etiquetas del modelo ni están anotadas aquí ni él las nombró; vea per_class.csv.",
    },
    "strangers": {
        "en": "Annotated, but not judged, as the model does not know them: {}.",
        "es": "Anotadas, pero no juzgadas, porque el modelo no las conoce: {}.",
    },
    "label": {"en": "label", "es": "etiqueta"},
    "present": {"en": "present", "es": "presentes"},
    "ap": {"en": "average precision", "es": "precisión promedio"},
    "threshold": {"en": "threshold", "es": "umbral"},
    "precision": {"en": "precision", "es": "precisión"},
    "recall": {"en": "recall", "es": "sensibilidad"},
    "curves": {"en": "Precision and recall", "es": "Precisión y sensibilidad"},
    "events": {"en": "Events", "es": "Eventos"},
    "events_text": {
        "en": "With collars, an event counts as found if one of its label begins within {collar:g} "
        "s of it and "
        "ends within {collar:g} s, or a fifth of its length, of its end; each event has one partner "
        "at most. "
        "By overlap, it is enough to share half of the shorter of the two. Windows are wide, so "
        "collars are "
        "strict; overlap tells whether the sound was found at all.",
        "es": "Con márgenes, un evento cuenta como hallado si otro de su etiqueta empieza a menos de "
        "{collar:g} s de él y termina a menos de {collar:g} s, o un quinto de su duración, de su "
        "final; cada "
        "evento tiene a lo sumo una pareja. Por solapamiento, basta compartir la mitad del más corto. Las "
        "ventanas son anchas, así que los márgenes son estrictos; el solapamiento dice si el sonido "
        "se halló.",
    },
    "annotated": {"en": "annotated", "es": "anotados"},
    "predicted": {"en": "predicted", "es": "predichos"},
    "collar": {"en": "collars", "es": "márgenes"},
    "overlap": {"en": "overlap", "es": "solapamiento"},
    "all": {"en": "all together", "es": "todas juntas"},
    "confused": {"en": "What it confuses", "es": "Lo que confunde"},
    "confused_text": {
        "en": "Each row is a true label, each column the highest score that reaches its threshold; "
        "“nothing” is "
        "neither. {mixed} with several labels at once are left out.",
        "es": "Cada fila es una etiqueta verdadera, cada columna la puntuación más alta que alcanza "
        "su umbral; "
        "«nada» es ninguna. Quedan fuera {mixed} con varias etiquetas a la vez.",
    },
    "nothing": {"en": "nothing", "es": "nada"},
    "calibration": {"en": "Are probabilities true?", "es": "¿Son ciertas las probabilidades?"},
    "calibration_text": {
        "en": "Of all scores near 0.8, four fifths should be right. Below the dashed line the model "
        "promises "
        "too much, above it too little. The calibration error is the mean distance from the line, "
        "weighted by "
        "how many scores lie there.",
        "es": "De todas las puntuaciones cercanas a 0,8, cuatro quintos deberían ser correctas. "
        "Bajo la línea "
        "discontinua el modelo promete demasiado; sobre ella, demasiado poco. El error de "
        "calibración es la "
        "distancia media a la línea, según cuántas puntuaciones hay allí.",
    },
    "found": {"en": "Thresholds for a precision of {:g}", "es": "Umbrales para una precisión de {:g}"},
    "found_text": {
        "en": "The lowest score from which on so many of the named windows are right, with 95 % "
        "intervals from "
        "drawing whole recordings anew. They were found on these recordings and judged on them, "
        "too: on new "
        "ones expect a little less. Labels that never are so precise have none.",
        "es": "La puntuación más baja desde la cual esa parte de las ventanas nombradas es correcta, con "
        "intervalos del 95 % al sortear de nuevo grabaciones enteras. Se hallaron y se juzgaron con estas "
        "grabaciones: en otras, espere algo menos. Las etiquetas que nunca son tan precisas no "
        "tienen umbral.",
    },
    "interval": {"en": "95 % interval", "es": "intervalo del 95 %"},
    "no_thresholds": {
        "en": "No label ever reaches this precision.",
        "es": "Ninguna etiqueta alcanza esta precisión.",
    },
    "next_thresholds": {
        "en": "Find a threshold for each label, and keep them in the model:",
        "es": "Halle un umbral para cada etiqueta y guárdelos en el modelo:",
    },
    "next_events": {
        "en": "Make events with them, as Raven tables:",
        "es": "Con ellos, obtenga eventos como tablas de Raven:",
    },
    "next_clips": {
        "en": "Listen to the best, random and borderline windows of each label:",
        "es": "Escuche las mejores ventanas, algunas al azar y las dudosas de cada etiqueta:",
    },
}
