"""Words: what reports and pictures say in English and Spanish."""

from typing import Literal

Language = Literal["en", "es"]

_WORDS: dict[str, dict[Language, str]] = {
    "update": {"en": "update", "es": "actualización"},
    "training": {"en": "training", "es": "entrenamiento"},
    "validation": {"en": "validation", "es": "validación"},
    "loss": {"en": "loss", "es": "pérdida"},
    "frame_loss": {"en": "patch loss", "es": "pérdida por parche"},
    "utterance_loss": {"en": "clip loss", "es": "pérdida por clip"},
    "spread": {"en": "standard deviation", "es": "desviación estándar"},
    "target_std": {"en": "of the targets", "es": "de los objetivos"},
    "prediction_std": {"en": "of the predictions", "es": "de las predicciones"},
    "learning_rate": {"en": "learning rate", "es": "tasa de aprendizaje"},
    "score": {"en": "score", "es": "puntuación"},
    "accuracy": {"en": "accuracy", "es": "exactitud"},
    "mean_average_precision": {"en": "mean average precision", "es": "precisión media (mAP)"},
    "nothing_yet": {"en": "nothing was logged yet", "es": "todavía no hay datos"},
    "time": {"en": "time (s)", "es": "tiempo (s)"},
    "frequency": {"en": "frequency (kHz)", "es": "frecuencia (kHz)"},
    "true_label": {"en": "true label (clips)", "es": "etiqueta verdadera (clips)"},
    "predicted_label": {"en": "predicted label", "es": "etiqueta predicha"},
    "share_of_row": {"en": "share of the true label's clips", "es": "parte de los clips de la etiqueta"},
    "precision": {"en": "precision", "es": "precisión"},
    "recall": {"en": "recall", "es": "sensibilidad"},
    "mean_of_classes": {"en": "mean of the classes", "es": "media de las clases"},
    "one_class": {"en": "one class each", "es": "cada una de las clases"},
    "average_precision": {"en": "average precision", "es": "precisión promedio"},
    "label_clips": {"en": "label (clips)", "es": "etiqueta (clips)"},
    "share_present": {"en": "share that was right", "es": "parte que fue correcta"},
    "mean_score": {"en": "score (promised probability)", "es": "puntuación (probabilidad prometida)"},
    "kept_promises": {"en": "promises kept", "es": "promesas cumplidas"},
    "this_model": {"en": "this model", "es": "este modelo"},
    "count": {"en": "count", "es": "cantidad"},
    "day": {"en": "day", "es": "día"},
    "hour_of_day": {"en": "hour of the day", "es": "hora del día"},
    "hours_recorded": {"en": "hours recorded", "es": "horas grabadas"},
    "hours_in_days": {"en": "hours recorded in {} days", "es": "horas grabadas en {} días"},
    "band_level": {"en": "level (dB of full scale)", "es": "nivel (dB de la escala completa)"},
    "others": {"en": "others", "es": "otras"},
    "shown_share": {"en": "two axes with {} % of the variance", "es": "dos ejes con el {} % de la varianza"},
    "contents": {"en": "Contents", "es": "Contenido"},
    "next_steps": {"en": "What to do next", "es": "Qué hacer ahora"},
    "made_by": {"en": "Made by bioacoustics", "es": "Hecho con bioacoustics"},
}


def word(key: str, language: Language) -> str:
    """The word for `key`; a key that nobody translated is its own word, with spaces."""
    return _WORDS[key][language] if key in _WORDS else key.replace("_", " ")
