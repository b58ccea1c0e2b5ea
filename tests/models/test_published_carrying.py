"""Settings of published checkpoints as JSON."""

import argparse
import json

from hypothesis import given
from hypothesis import strategies as st

from bioacoustics.models.published_carrying import from_json, to_json

keys = st.text(max_size=4) | st.integers() | st.just("!tuple")
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
settings = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda d: argparse.Namespace(**d))
    ),
    max_leaves=12,
)


@given(settings)
def test_settings_survive_as_json(value: object) -> None:
    text = json.dumps(to_json(value))
    back = from_json(json.loads(text))
    assert back == value
    assert repr(back) == repr(value)  # equality takes 1 for 1.0 and for True
