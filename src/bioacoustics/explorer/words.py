"""Words: everything that the page says, in English and Spanish; the tables lie in `wording`."""

from bioacoustics.explorer.wording import maps, page, patterns, season, sound, teach, vectors
from bioacoustics.formats.words import Language

__all__ = ["WORDS", "Language", "word"]

_TABLES = (page.WORDS, maps.WORDS, sound.WORDS, vectors.WORDS, patterns.WORDS, teach.WORDS, season.WORDS)
WORDS: dict[str, tuple[str, str]] = {key: said for table in _TABLES for key, said in table.items()}


def word(key: str, language: Language, **values: object) -> str:
    """What the page says under a key, with values put in.

    Raises:
        KeyError: nobody wrote that sentence.
    """
    english, spanish = WORDS[key]
    text = spanish if language == "es" else english
    return text.format(**values) if values else text
