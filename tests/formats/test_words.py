"""Both languages have every word."""

from bioacoustics.formats.words import _WORDS, word


def test_every_word_is_there_in_both_languages():
    assert all(set(words) == {"en", "es"} and all(words.values()) for words in _WORDS.values())


def test_word_falls_back_to_the_key():
    assert word("loss", "es") == "pérdida"
    assert word("some_new_metric", "es") == "some new metric"
