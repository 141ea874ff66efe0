from __future__ import annotations

import stat
from pathlib import Path

import pytest

from server.access import logins
from server.access.keyring import Keyring
from server.access.logins import Logins, login_secret
from tests.server.access.keys_for_tests import add_key, id_of, remove_key
from tests.server.doubles import ManualClock

SECRET = b"s" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def logged_in(path: Path, clock: ManualClock, text: str) -> tuple[Logins, str]:
    keyring = Keyring(path, clock)
    key = keyring.check(text)
    assert key is not None
    made = Logins(keyring, SECRET, clock)
    return made, made.begin(key)[1]


def test_a_login_is_good_also_after_a_restart(path: Path, clock: ManualClock):
    text = add_key(path)
    _, value = logged_in(path, clock, text)
    restarted = Logins(Keyring(path, clock), SECRET, clock)
    login = restarted.check(value)
    assert login is not None
    assert login.key.id == id_of(text)


def test_a_login_dies_with_its_key(path: Path, clock: ManualClock):
    text = add_key(path)
    made, value = logged_in(path, clock, text)
    remove_key(path, text)
    assert made.check(value) is None


def test_a_login_runs_out_and_never_later_than_its_key(path: Path, clock: ManualClock):
    made, value = logged_in(path, clock, add_key(path))
    clock.advance(logins.LASTS_S - 1)
    assert made.check(value)
    login = made.check(value)
    assert login is not None
    assert not made.has_ended(login.mark)
    clock.advance(1)
    assert made.check(value) is None
    assert made.has_ended(login.mark), "what it had opened is not welcome any more"
    _, short = logged_in(path, clock, add_key(path, until=clock.today() + 60))
    assert int(short.split(".")[2]) == int(clock.today()) + 60


def test_a_login_that_was_logged_out_is_good_no_more(path: Path, clock: ManualClock):
    text = add_key(path)
    made, value = logged_in(path, clock, text)
    login = made.check(value)
    assert login is not None
    made.end(login)
    assert made.check(value) is None
    assert made.has_ended(login.mark)


def test_logouts_are_remembered_only_while_they_matter(path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logins, "MAX_LOGGED_OUT", 3)
    made, _ = logged_in(path, clock, text := add_key(path))
    key = made._keyring.check(text)
    assert key is not None
    ended = [made.begin(key)[0] for _ in range(5)]
    for login in ended:
        made.end(login)
    assert [made.has_ended(login.mark) for login in ended] == [False, False, True, True, True]


def test_a_value_that_was_changed_anywhere_is_refused(path: Path, clock: ManualClock):
    text, other = add_key(path), add_key(path)
    made, value = logged_in(path, clock, text)
    key_id, login, until, mac = value.split(".")
    for spoilt in (
        f"{id_of(other)}.{login}.{until}.{mac}",
        f"{key_id}.{login[::-1]}.{until}.{mac}",
        f"{key_id}.{login}.{int(until) + 1}.{mac}",
        f"{key_id}.{login}.{until}.{mac[::-1]}",
        f"{key_id}.{login}.{until}",
        f"{value}\n",
        "",
    ):
        assert made.check(spoilt) is None, spoilt


def test_the_file_of_keys_alone_does_not_make_a_login(path: Path, clock: ManualClock):
    text = add_key(path)
    forger = Logins(Keyring(path, clock), b"guessed" * 5, clock)
    key = Keyring(path, clock).check(text)
    assert key is not None
    made, _ = logged_in(path, clock, text)
    assert made.check(forger.begin(key)[1]) is None


def test_the_secret_is_made_once_and_for_its_user_alone(path: Path):
    secret = login_secret(path)
    assert len(secret) == 32
    assert login_secret(path) == secret
    assert stat.S_IMODE(path.with_name("keys.secret").stat().st_mode) == 0o600


def test_a_secret_that_cannot_be_kept_lasts_for_this_run(tmp_path: Path):
    (tmp_path / "data").write_text("a file, and no folder")
    assert len(login_secret(tmp_path / "data" / "keys.json")) == 32
