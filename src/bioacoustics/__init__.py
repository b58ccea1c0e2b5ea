"""Deep learning on animal sound: pre-train, fine-tune, embed and classify with EAT and BEATs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioacoustics.models.audio_encoder import AudioClassifier, AudioEncoder
    from bioacoustics.models.features import Features
    from bioacoustics.models.saved import load_classifier, load_encoder
    from bioacoustics.models.saved_tokenizers import load_tokenizer

__version__ = "0.1.0"

__all__ = [
    "AudioClassifier",
    "AudioEncoder",
    "Features",
    "__version__",
    "load_classifier",
    "load_encoder",
    "load_tokenizer",
]

_HOMES = {
    "AudioClassifier": "bioacoustics.models.audio_encoder",
    "AudioEncoder": "bioacoustics.models.audio_encoder",
    "Features": "bioacoustics.models.features",
    "load_classifier": "bioacoustics.models.saved",
    "load_encoder": "bioacoustics.models.saved",
    "load_tokenizer": "bioacoustics.models.saved_tokenizers",
}


def __getattr__(name: str) -> Any:  # imports PyTorch only when it is wanted: commands start at once
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
