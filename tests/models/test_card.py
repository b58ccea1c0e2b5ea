"""Whoever passes weights on learns on what they were trained and which licences bind them."""

import torch

from bioacoustics.audio.log_mel import LogMelConfig
from bioacoustics.models.audio_encoder import AudioEncoder
from bioacoustics.models.card import PUBLISHED_LICENCES, Card, Parent, Schooling
from bioacoustics.models.eat import EATConfig, EATEncoder
from bioacoustics.models.saved import bundle_of_encoder, read_bundle, write_bundle

FOREST = Schooling(command="pretrain", data="bosque", num_recordings=3, hours=0.5)
FROGS = Schooling(command="finetune", data="ranas", num_recordings=2, hours=0.1)
EAT = Parent(name="eat.pt", fingerprint="a" * 64, licence="CC-BY-NC-SA")
TOKENS = Parent(name="tokens.pt", fingerprint="b" * 64, licence="MIT")


def test_a_licence_binds_children_and_grandchildren() -> None:
    child = Card(licence="CC-BY-NC-SA").child(FOREST, EAT)
    grandchild = child.child(FROGS, Parent(name="child.pt", fingerprint="c" * 64))
    assert grandchild.schooling == (FOREST, FROGS)
    assert grandchild.terms == "not stated by whoever trained it; began from eat.pt: CC-BY-NC-SA"
    mine = grandchild.model_copy(update={"licence": "CC-BY-4.0"})
    assert mine.terms == "CC-BY-4.0; began from eat.pt: CC-BY-NC-SA"


def test_two_parents_are_both_told_and_what_they_share_once() -> None:
    one = Card(schooling=(FOREST,)).child(FROGS, EAT)
    other = Card(schooling=(FOREST,)).child(FROGS, TOKENS)
    both = one.beside(other)
    assert both.parents == (EAT, TOKENS)
    assert both.schooling == (FOREST, FROGS)


def test_a_card_survives_saving_and_leaves_the_fingerprint(tmp_path) -> None:
    torch.manual_seed(0)
    small = EATConfig(embed_dim=32, depth=1, num_heads=2, num_position_columns=16)
    bare = bundle_of_encoder(AudioEncoder(LogMelConfig.eat(), EATEncoder(small)))
    card = Card(licence="CC-BY-4.0").child(FOREST, EAT)
    write_bundle(bare.with_card(card), tmp_path / "model.pt")
    again = read_bundle(tmp_path / "model.pt").header
    assert again.card == again.known_card == card
    assert again.fingerprint == bare.header.fingerprint
    assert bare.header.known_card == Card()


def test_published_models_say_what_is_known_of_their_family(golden_eat, golden_beats) -> None:
    eat = read_bundle(golden_eat / "pretrain_p1.pt").header
    beats = read_bundle(golden_beats / "beats_pretrained.pt").header
    assert eat.known_card.licence == PUBLISHED_LICENCES["fairseq"]
    assert "MIT" in beats.known_card.terms and "see where it was published" in beats.known_card.terms
