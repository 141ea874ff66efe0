from __future__ import annotations

import pytest

from server.origins import Headers, OriginPolicy

POLICY = OriginPolicy("127.0.0.1", 8000, ["chat.example.org"], ["https://page.example.org"])


def host(*values: str) -> Headers:
    return [(b"host", value.encode("latin-1")) for value in values]


def origin(*values: str) -> Headers:
    return [(b"origin", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    "value",
    [
        "localhost:8000",
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1:8081",
        "[::1]:8000",
        "[::1]",
        "192.168.1.20:8000",
        "[fe80::1]:8000",
        "chat.example.org",
        "Chat.Example.Org:443",
    ],
)
def test_an_own_name_or_an_address_in_digits_is_answered(value: str):
    assert POLICY.host_ok(host(value))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "evil.example",
        "localhost.evil.example:8000",
        "evil.example:8000",
        "chat.example.org.evil.example",
        "sub.chat.example.org",
        "user@localhost:8000",
        "localhost:8000@evil.example",
        "localhost/evil",
        "localhost:port",
        "localhost :8000",
        "2130706433",
        "0x7f.1",
        "[::1",
        "lоcalhost",
    ],
)
def test_any_other_host_is_refused(value: str):
    headers = [(b"host", value.encode())]
    assert not POLICY.host_ok(headers)


@pytest.mark.parametrize("values", [(), ("localhost:8000", "localhost:8000")])
def test_there_is_exactly_one_host(values: tuple[str, ...]):
    assert not POLICY.host_ok(host(*values))


def test_a_client_that_is_no_browser_sends_no_origin_and_may_come():
    assert POLICY.origin_ok([], "localhost:8000")


@pytest.mark.parametrize(
    ("site", "ok"), [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)]
)
def test_a_browser_that_sends_no_origin_says_whose_page_it_was(site: str, ok: bool):
    assert POLICY.origin_ok([(b"sec-fetch-site", site.encode())], "localhost:8000") is ok


def test_a_page_that_the_settings_name_may_be_of_another_site():
    headers = [*origin("https://page.example.org"), (b"sec-fetch-site", b"cross-site")]
    assert POLICY.origin_ok(headers, "localhost:8000")


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://localhost:8081", "localhost:8081"),
        ("http://127.0.0.1:8000", "localhost:8000"),
        ("http://localhost:8000", "[::1]:8000"),
        ("http://192.168.1.20:8000", "192.168.1.20:8000"),
        ("http://chat.example.org", "Chat.example.org:80"),
        ("https://page.example.org", "localhost:8000"),
    ],
)
def test_the_own_page_and_listed_pages_may_come(value: str, asked: str):
    assert POLICY.origin_ok(origin(value), asked)


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "",
        "http://evil.example",
        "http://localhost:8000.evil.example",
        "http://sub.localhost:8000",
        "http://localhost",
        "http://localhost:8001",
        "https://localhost:8000",
        "HTTP://localhost:8000",
        "http://LOCALHOST:8000",
        "http://localhost:8000/",
        "http://evil.example@localhost:8000",
        "file://",
        "https://sub.page.example.org",
        "https://example.org",
        "http://page.example.org",
        "https://page.example.org:444",
        "HTTPS://page.example.org",
    ],
)
def test_any_other_page_is_refused(value: str):
    assert not POLICY.origin_ok(origin(value), "localhost:8000")


def test_two_origins_are_one_too_many():
    assert not POLICY.origin_ok(origin("http://localhost:8000", "http://localhost:8000"), "localhost:8000")


def test_over_tls_the_own_page_is_one_over_tls():
    assert POLICY.origin_ok(origin("https://chat.example.org"), "chat.example.org", "https")
    assert not POLICY.origin_ok(origin("http://chat.example.org"), "chat.example.org", "https")


def test_a_loopback_alias_on_another_port_is_another_server():
    assert not POLICY.origin_ok(origin("http://127.0.0.1:9000"), "localhost:9000")


def test_a_scheme_that_a_proxy_made_up_is_nobodys():
    assert not POLICY.origin_ok(origin("http://localhost:8000"), "localhost:8000", "wss")
