from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.server import ServerConnection, serve

from tests.tools.conftest import Shelf
from tools.websocket_client import WebSocketClient, WebSocketError


@contextmanager
def server(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    """A real server; gives its address."""
    with serve(handler, "127.0.0.1", 0, max_size=None) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listening.socket.getsockname()[1]}/ws?one=1"
        finally:
            listening.shutdown()
            thread.join()


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535])
def test_texts_of_every_length_go_there_and_back(length: int) -> None:
    with server(echo) as url, WebSocketClient(url) as client:
        client.send("x" * length)
        assert client.receive() == "x" * length


def test_characters_beyond_ascii_survive() -> None:
    with server(echo) as url, WebSocketClient(url) as client:
        client.send("Zażółć gęślą jaźń 🦆")
        assert client.receive() == "Zażółć gęślą jaźń 🦆"


def test_a_message_larger_than_64_kib_arrives() -> None:
    def send_much(connection: ServerConnection) -> None:
        connection.send("y" * 200_000)

    with server(send_much) as url, WebSocketClient(url) as client:
        assert client.receive() == "y" * 200_000


def test_a_message_in_pieces_arrives_as_one() -> None:
    def send_pieces(connection: ServerConnection) -> None:
        connection.send(iter(["one ", "two ", "three"]))

    with server(send_pieces) as url, WebSocketClient(url) as client:
        assert client.receive() == "one two three"


def test_a_ping_is_answered() -> None:
    answered = threading.Event()

    def ping(connection: ServerConnection) -> None:
        threading.Thread(target=lambda: connection.ping().wait(5) and answered.set()).start()
        connection.recv()
        connection.send("done")

    with server(ping) as url, WebSocketClient(url) as client:
        client.send("go")
        assert client.receive() == "done"
        client.send("again")
        assert answered.wait(5)


def test_the_server_s_goodbye_is_told_with_its_reason() -> None:
    def leave(connection: ServerConnection) -> None:
        connection.close(1013, "retry_after=5")

    with (
        server(leave) as url,
        WebSocketClient(url) as client,
        pytest.raises(WebSocketError, match=r"1013 retry_after=5"),
    ):
        client.receive()


def test_a_server_that_speaks_no_websocket_is_told(shelf: Shelf) -> None:
    with pytest.raises(WebSocketError, match=r"refused the WebSocket: HTTP/1\.0 404"):
        WebSocketClient(shelf.url("/ws"))


def test_silence_ends_in_a_timeout() -> None:
    with server(echo) as url, WebSocketClient(url, timeout=0.05) as client, pytest.raises(TimeoutError):
        client.receive()
