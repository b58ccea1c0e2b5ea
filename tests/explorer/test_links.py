"""A view survives its way through an address and a file; nonsense is refused with a reason."""

import base64
import zlib

import pytest

from bioacoustics.explorer.links import ViewState, from_address, from_json, to_address, to_json

STATE = ViewState(
    method="tsne", perplexity=44, cluster_names={2: "ranas de ñandú"}, focus="r1-3", selected=("a", "b")
)


def test_there_and_back() -> None:
    assert from_json(to_json(STATE)) == STATE
    assert from_address(to_address(STATE)) == STATE.model_copy(update={"selected": ()})
    assert len(to_address(ViewState())) < 30


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no JSON"),
        ('{"method": "magic"}', "method"),
        ('{"perplexity": 1e9}', "perplexity"),
        ("[]", "dictionary"),
    ],
)
def test_a_file_that_is_no_view_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_json(text)


def test_a_damaged_address_is_refused_and_a_bomb_does_not_burst() -> None:
    with pytest.raises(ValueError, match="damaged"):
        from_address("eJwLLinKzEtXMC5KTFGwUvBITc7JBwBA0wZB"[:9])
    bomb = base64.urlsafe_b64encode(zlib.compress(b"0" * 50_000_000)).decode()
    with pytest.raises(ValueError, match=r"damaged|JSON"):
        from_address(bomb[:6000])
