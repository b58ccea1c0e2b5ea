"""Events check themselves where they are made."""

import pytest

from bioacoustics.data.events import Event, by_recording, plain_label


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"start_s": -1.0}, "must begin at 0 or later"),
        ({"end_s": 0.5}, "not end before it begins"),
        ({"end_s": float("nan")}, "not end before it begins"),
        ({"low_hz": 5.0}, "one frequency bound"),
        ({"low_hz": 5.0, "high_hz": 4.0}, "the lower bound comes first"),
        ({"label": "a\tb"}, "has tabs, line ends"),
    ],
)
def test_impossible_events(values, complaint):
    with pytest.raises(ValueError, match=complaint):
        Event(**{"recording": "a.wav", "start_s": 1.0, "end_s": 2.0, "label": "x"} | values)


def test_plain_labels():
    assert plain_label(" cafe\u0301 \t rojo\n") == "café rojo"


def test_by_recording_sorts_by_time():
    late, early, other = (
        Event(recording=name, start_s=start_s, end_s=9.0, label="x")
        for name, start_s in (("b", 2.0), ("b", 1.0), ("a", 5.0))
    )
    assert by_recording([late, early, other]) == {"a": [other], "b": [early, late]}
    assert late.duration_s == 7.0
