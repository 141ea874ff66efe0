from __future__ import annotations

import asyncio
from collections.abc import Set
from pathlib import Path

import pytest

from server.access.key_file import KeyFileError, read_uses
from server.access.keyring import Keyring
from server.access.tokens import Token
from tests.server.access.keys_for_tests import add_key, id_of, remove_key
from tests.server.doubles import ManualClock, eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_of_the_file_is_good_and_no_other_is(path: Path):
    text = add_key(path, "Ann")
    keyring = Keyring(path)
    found = keyring.check(text)
    assert found is not None
    assert found.name == "Ann"
    for wrong in ("", "sk-something", str(Token.new()), text[:-1], f"sb-{id_of(text)}-{Token.new().secret}"):
        assert keyring.check(wrong) is None, f"{wrong} is no key of this file."


def test_a_new_key_works_at_once_and_a_removed_one_stops_at_once(path: Path):
    keyring = Keyring(path)
    gone: list[Set[str]] = []
    keyring.revoked = gone.append
    text = add_key(path)
    assert keyring.check(text)
    assert gone == []
    remove_key(path, text)
    assert keyring.check(text) is None
    assert gone == [{id_of(text)}]


def test_a_file_that_vanishes_takes_its_keys_along(path: Path):
    text = add_key(path)
    keyring = Keyring(path)
    path.unlink()
    assert keyring.check(text) is None
    assert len(keyring) == 0


def test_a_file_that_was_spoilt_by_hand_changes_nothing_until_it_is_mended(path: Path):
    text = add_key(path)
    keyring = Keyring(path)
    whole = path.read_text()
    path.write_text(whole[:-20])
    assert keyring.check(text)
    path.write_text(whole)
    assert keyring.check(text)


def test_a_file_that_was_spoilt_before_stops_the_start(path: Path):
    path.write_text("{")
    with pytest.raises(KeyFileError):
        Keyring(path)


def test_a_key_is_good_until_it_runs_out(path: Path):
    clock = ManualClock()
    text = add_key(path, until=clock.today() + 10)
    keyring = Keyring(path, clock)
    assert keyring.check(text)
    assert len(keyring) == 1
    clock.advance(11)
    assert keyring.check(text) is None
    assert keyring.get(id_of(text)) is None
    assert len(keyring) == 0


def test_those_inside_are_told_of_a_removed_key_without_anybody_asking(path: Path):
    async def scenario() -> None:
        text = add_key(path)
        keyring = Keyring(path, look_every_s=0.001)
        gone: list[Set[str]] = []
        keyring.revoked = gone.append
        keyring.start()
        remove_key(path, text)
        await eventually(lambda: gone == [{id_of(text)}])
        await keyring.close()

    asyncio.run(scenario())


def test_those_inside_are_told_once_of_a_key_that_has_run_out(path: Path):
    async def scenario() -> None:
        clock = ManualClock()
        text = add_key(path, until=clock.today() + 10)
        keyring = Keyring(path, clock, look_every_s=0.001)
        gone: list[Set[str]] = []
        keyring.revoked = gone.append
        keyring.start()
        clock.advance(11)
        await eventually(lambda: gone)
        other = add_key(path)
        await eventually(lambda: keyring.get(id_of(other)))
        assert gone == [{id_of(text)}]
        await keyring.close()

    asyncio.run(scenario())


def test_when_a_key_was_last_used_is_kept_at_the_end_and_only_of_keys_there_are(path: Path):
    async def scenario() -> None:
        clock = ManualClock()
        used, removed = add_key(path), add_key(path)
        keyring = Keyring(path, clock)
        for text in (used, removed):
            key = keyring.check(text)
            assert key is not None
            keyring.used(key)
        remove_key(path, removed)
        assert keyring.check(removed) is None
        await keyring.close()
        assert read_uses(path) == {id_of(used): clock.today()}

    asyncio.run(scenario())
