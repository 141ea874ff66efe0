from __future__ import annotations

from server.caller import Caller, caller_of
from server.history.records import LOCAL


def test_whoever_needs_no_key_is_the_local_owner_at_an_address() -> None:
    assert caller_of({"type": "http", "client": ("10.0.0.7", 4711)}) == Caller(LOCAL, "10.0.0.7")
    assert caller_of({"type": "http", "client": None}) == Caller(LOCAL, "")


def test_what_was_found_out_about_a_caller_counts() -> None:
    known = Caller("ann", "10.0.0.7", "k1")
    assert caller_of({"type": "http", "client": ("127.0.0.1", 1), "state": {"caller": known}}) is known
