"""Sentences: what the logic has to say to whoever looks at the page, in English and Spanish."""

from typing import NamedTuple

from bioacoustics.formats.words import Language


class Sentence(NamedTuple):
    """One sentence in both languages of the page."""

    en: str
    es: str

    def told(self, language: Language) -> str:
        """The sentence in one of them."""
        return self.es if language == "es" else self.en
