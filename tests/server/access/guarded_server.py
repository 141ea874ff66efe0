"""The whole application asking for keys, with two people who have one each, and somebody without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

from app import create_app
from config import Settings
from tests.server.access.keys_for_tests import add_key

URL = "http://127.0.0.1:8000"


@dataclass(slots=True, frozen=True)
class Guarded:
    """A server that runs. `ann` is an administrator, `bob` is none."""

    client: TestClient
    keys: Path
    ann: str
    bob: str

    def bearer(self, key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {key}"}

    def socket(self, headers: dict[str, str] | None = None, **query: str) -> WebSocketTestSession:
        """The chat's socket, to be opened with `with`."""
        return self.client.websocket_connect(
            f"{URL.replace('http:', 'ws:')}/ws?{urlencode(query)}", headers=dict(headers or {})
        )


def close_code(socket: WebSocketTestSession) -> int:
    """Read to the end. Gives the code that the server closes with."""
    while (message := socket.receive())["type"] != "websocket.close":
        pass
    return int(message["code"])


@contextmanager
def guarded_server(folder: Path, **settings: Any) -> Iterator[Guarded]:
    """Serve with keys in `folder`; the history is there, too."""
    keys = folder / "keys.json"
    ann, bob = add_key(keys, "Ann", admin=True), add_key(keys, "Bob")
    told = {"AUTH": "on", "KEYS_FILE": str(keys), "BACKENDS": "echo", "DATABASE_URL": f"sqlite:///{folder}/chats.db"}
    with TestClient(create_app(Settings(**{**told, **settings})), base_url=URL) as client:
        yield Guarded(client, keys, ann, bob)
