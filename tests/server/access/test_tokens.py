from __future__ import annotations

import pytest

from server.access.tokens import KEY, Token, holds_key


def test_a_key_reads_back_as_what_was_made():
    token = Token.new()
    assert KEY.fullmatch(str(token))
    assert Token.read(str(token)) == token


def test_no_two_keys_are_alike_and_each_secret_has_256_bits():
    made = {Token.new() for _ in range(100)}
    assert len({token.secret for token in made}) == len({token.id for token in made}) == 100
    assert {len(token.secret) for token in made} == {43}, "43 characters of 6 bits hold 256 bits."


@pytest.mark.parametrize("spoilt", ["", "sb-", "sk-{}", " {}", "{}\n", "{}x", "{}-", "é{}", "SB-{}"])
def test_what_only_looks_like_a_key_is_none(spoilt: str):
    assert Token.read(spoilt.format(Token.new())) is None


def test_only_its_own_digest_fits_a_key_and_does_not_hold_its_secret():
    token, other = Token.new(), Token.new()
    assert token.fits(token.digest())
    assert not token.fits(other.digest())
    assert token.secret not in token.digest()


def test_a_key_is_noticed_within_a_longer_text():
    assert holds_key(f"session=1&key={Token.new()}&after=2")
    assert not holds_key("session=sb-1&key=sk-2")
