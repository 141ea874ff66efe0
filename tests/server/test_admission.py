from __future__ import annotations

import pytest

from server.admission import TURNED_AWAY_AT_ONCE, Admission, client_of, is_this_machine


def test_one_more_than_the_total_is_refused_until_one_leaves() -> None:
    admission = Admission(total=2, per_client=9)
    leave = admission.enter("192.0.2.1")
    admission.enter("192.0.2.2")
    refusal = admission.refusal("192.0.2.3")
    assert refusal is not None
    assert refusal.status == 503
    leave()
    assert admission.refusal("192.0.2.3") is None


def test_one_client_cannot_take_the_place_of_others() -> None:
    admission = Admission(total=9, per_client=2)
    leave = admission.enter("192.0.2.1")
    admission.enter("192.0.2.1")
    refusal = admission.refusal("192.0.2.1")
    assert refusal is not None
    assert refusal.status == 429
    assert admission.refusal("192.0.2.2") is None
    leave()
    assert admission.refusal("192.0.2.1") is None


def test_this_machine_may_take_all_there_are() -> None:
    admission = Admission(total=3, per_client=1)
    for _ in range(3):
        assert admission.refusal("127.0.0.1") is None
        admission.enter("127.0.0.1")
    refusal = admission.refusal("127.0.0.1")
    assert refusal is not None
    assert refusal.status == 503


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_a_client_is_an_address_or_the_network_of_its_first_64_bits(one: str, other: str, same: bool) -> None:
    assert (client_of(one) == client_of(other)) is same


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("::1", True), ("", True), ("::ffff:127.0.0.1", True), ("192.0.2.1", False)],
)
def test_which_addresses_are_this_machine(address: str, here: bool) -> None:
    assert is_this_machine(address) is here


def test_what_is_remembered_of_clients_goes_with_them() -> None:
    admission = Admission(total=100_000, per_client=1)
    for leave in [admission.enter(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}") for i in range(10_000)]:
        leave()
    assert admission.open == 0
    assert not admission._clients


def test_not_everybody_is_told_why_they_are_refused() -> None:
    admission = Admission()
    told = [admission.turn_away() for _ in range(TURNED_AWAY_AT_ONCE)]
    assert admission.turn_away() is None
    assert told[0] is not None
    told[0]()
    assert admission.turn_away() is not None
