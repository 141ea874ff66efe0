from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from app import create_app
from config import Settings

DATA = Path(__file__).parent.parent / "exchange" / "data"
UNKNOWN = "0" * 32


@contextmanager
def server(folder: Path, name: str = "history", **settings: Any) -> Iterator[TestClient]:
    """The whole application over a history in `folder`; ended and begun again it is the same one, restarted."""
    url = settings.pop("database_url", f"sqlite:///{folder / name}.db")
    told = Settings(_env_file=None, **{"BACKENDS": "echo", "DATABASE_URL": url, **settings})  # type: ignore[call-arg]
    with TestClient(create_app(told), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with server(tmp_path) as client:
        yield client


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server with one conversation, for what leaves it as it is."""
    with server(tmp_path_factory.mktemp("refusing")) as client:
        said(client, "Tea?")
        yield client


class Chat:
    """A conversation over a socket."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self.socket = socket
        self.id = self.until("system")["session"]
        self.numbers = 0

    def until(self, *kinds: str) -> dict[str, Any]:
        while (frame := self.socket.receive_json())["type"] not in kinds:
            assert frame["type"] != "error", frame
        return dict(frame)

    def do(self, kind: str, *, leads_to: str | None = None, **fields: Any) -> dict[str, Any]:
        """Send a command and wait until it is stored, and for the event that it leads to. Gives that, or the ack."""
        self.numbers += 1
        self.socket.send_json({"type": kind, "cmd_id": str(self.numbers), **fields})
        found: dict[str, dict[str, Any]] = {}
        wanted = {"ack", leads_to or "ack"}
        while not wanted <= set(found):
            frame = self.until(*wanted)
            found[frame["type"]] = frame
        return found[leads_to or "ack"]

    def ask(self, text: str, **fields: Any) -> dict[str, Any]:
        """Say something and wait for the answer, which is stored then."""
        self.socket.send_json({"type": "user", "message": text, **fields})
        return self.until("ai")


@contextmanager
def chatting(client: TestClient, session: str = "") -> Iterator[Chat]:
    query = f"session={session}&" if session else ""
    with client.websocket_connect(f"ws://127.0.0.1:8000/ws?{query}sessions=1") as socket:
        yield Chat(socket)


def said(client: TestClient, text: str) -> str:
    """A conversation in which this was said and answered. Gives its id."""
    with chatting(client) as chat:
        chat.ask(text)
        return str(chat.id)


def listed(client: TestClient, **query: Any) -> list[dict[str, Any]]:
    answer = client.get("/api/sessions", params=query)
    assert answer.status_code == 200, answer.text
    sessions: list[dict[str, Any]] = answer.json()["sessions"]
    return sessions


def exported(client: TestClient, path: str = "/api/export") -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    document.pop("exported_at")
    return document


# The list


def test_the_list_has_what_was_said_last_first(client: TestClient) -> None:
    tea, coffee = said(client, "Tea?"), said(client, "Coffee, *black*")
    assert [(line["id"], line["title"]) for line in listed(client)] == [(coffee, "Coffee, black"), (tea, "Tea?")]
    assert set(listed(client)[0]) == {"id", "title", "pinned", "created", "updated", "running"}
    assert listed(client)[0]["running"] is False


def test_pages_follow_each_other(client: TestClient) -> None:
    ids = [said(client, f"Question {number}") for number in range(5)][::-1]
    client.patch(f"/api/sessions/{ids[3]}", json={"pinned": True})
    found, before = [], None
    while True:
        page = client.get("/api/sessions", params={"limit": 2, **({"before": before} if before else {})}).json()
        found += [line["id"] for line in page["sessions"]]
        if (before := page["next"]) is None:
            break
    assert found == [ids[3], *ids[:3], ids[4]]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0}, {"limit": 201}, {"limit": "many"}, {"before": "nonsense"}, {"before": "x" * 600},
        {"before": "\0"}, {"q": "x" * 201},
    ],
)  # fmt: skip
def test_a_query_out_of_bounds_is_refused(refusing: TestClient, query: dict[str, Any]) -> None:
    answer = refusing.get("/api/sessions", params=query)
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(".")


def test_a_search_says_where_it_is(client: TestClient) -> None:
    said(client, "Coffee?")
    tea = said(client, "Where does green tea grow?")
    [found] = listed(client, q="green te")
    assert found["id"] == tea
    assert found["message_id"] is None or len(found["message_id"]) == 36
    assert found["marks"]
    assert "green" in [found["snippet"][start:end].lower() for start, end in found["marks"]]


@pytest.mark.parametrize(
    "text", ['"', "'; drop table sessions; --", "a* OR NEAR(", "%_\\", "\0", "😀", "(", "-", "é" * 200]
)
def test_any_text_can_be_searched_for(refusing: TestClient, text: str) -> None:
    assert listed(refusing, q=text) == []


def test_white_space_is_no_search(refusing: TestClient) -> None:
    assert len(listed(refusing, q="  ")) == 1


# Changes


def test_a_conversation_is_renamed_and_pinned(client: TestClient) -> None:
    tea = said(client, "Tea?")
    with chatting(client) as watcher:
        answer = client.patch(f"/api/sessions/{tea}", json={"title": " Green\n\x00 \u202e tea ", "pinned": True})
        assert (answer.status_code, answer.json()["title"], answer.json()["pinned"]) == (200, "Green tea", True)
        frames = [watcher.until("session") for _ in range(2)]
        assert (frames[-1]["id"], frames[-1]["title"], frames[-1]["pinned"]) == (tea, "Green tea", True)
    assert listed(client)[0] == answer.json()
    assert exported(client)["sessions"][0]["titled"] is True


@pytest.mark.parametrize(
    "change",
    [
        {}, [], {"title": ""}, {"title": " \u200b\n"}, {"title": "x" * 201}, {"title": 3}, {"title": "x" * 20_000},
        {"pinned": "yes"}, {"pinned": 1}, {"pinned": None}, {"name": "x"}, {"title": "a", "id": "b"},
    ],
)  # fmt: skip
def test_a_change_that_is_none_is_refused(refusing: TestClient, change: object) -> None:
    tea = listed(refusing)[0]["id"]
    before = listed(refusing)
    answer = refusing.patch(f"/api/sessions/{tea}", json=change)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert listed(refusing) == before


def test_a_deleted_conversation_is_gone_until_it_is_restored(client: TestClient) -> None:
    tea = said(client, "Tea?")
    before = exported(client)
    with chatting(client, tea) as chat, chatting(client) as watcher:
        assert client.delete(f"/api/sessions/{tea}").status_code == 204
        gone = watcher.until("session")
        assert (gone["id"], gone["removed"]) == (tea, True)
        with pytest.raises(WebSocketDisconnect) as closed:
            chat.until("never")
        assert closed.value.code == 4404
    assert listed(client) == listed(client, q="tea") == []
    assert client.get(f"/api/sessions/{tea}").status_code == 404
    assert client.delete(f"/api/sessions/{tea}").status_code == 404
    restored = client.post(f"/api/sessions/{tea}/restore")
    assert (restored.status_code, restored.json()["title"]) == (200, "Tea?")
    assert exported(client) == before


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None), ("PATCH", "", {"pinned": True}), ("DELETE", "", None), ("POST", "/restore", None),
        ("GET", "/export", None), ("GET", "/export?format=markdown", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("identity", [UNKNOWN, "x", "..%2f..%2fetc", "%00", "\u202e"])
def test_what_is_unknown_is_not_found(
    refusing: TestClient, method: str, path: str, body: object, identity: str
) -> None:
    answer = refusing.request(method, f"/api/sessions/{identity}{path}", json=body)
    assert answer.status_code in (404, 405)
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", f"/api/sessions/{UNKNOWN}"), ("DELETE", f"/api/sessions/{UNKNOWN}"), ("POST", "/api/import"),
     ("POST", f"/api/sessions/{UNKNOWN}/restore")],
)  # fmt: skip
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:9"])
def test_a_foreign_page_may_not_change_anything(refusing: TestClient, method: str, path: str, origin: str) -> None:
    answer = refusing.request(method, path, content=b"[]", headers={"origin": origin, "content-type": "text/plain"})
    assert answer.status_code == 403


def test_reading_changes_nothing(refusing: TestClient) -> None:
    tea = listed(refusing)[0]["id"]
    before = exported(refusing)
    for path in (
        f"/api/sessions/{tea}",
        f"/api/sessions/{tea}/export",
        "/api/sessions?q=tea",
        "/api/export?format=markdown",
    ):
        assert refusing.get(path).status_code == 200
    for path in ("/api/import", f"/api/sessions/{tea}/restore"):
        assert refusing.get(path).status_code in (404, 405)
    assert exported(refusing) == before


# Documents


def branched(client: TestClient) -> str:
    """A conversation with branches at a question and at an answer, a written answer, and a selection in the middle."""
    with chatting(client) as chat:
        first = chat.ask("One two three")
        chat.ask("And *four*?", params={"seed": 7, "temperature": 0.0})
        second = chat.do("edit", leads_to="ai", id=first["parent_id"], message="One two")
        chat.do("regenerate", leads_to="ai", id=second["id"])
        chat.do("edit", id=second["id"], message="Written by a person")
        chat.do("select", id=first["id"])
        client.patch(f"/api/sessions/{chat.id}", json={"title": "Größe “1”/2", "pinned": True})
        return str(chat.id)


def test_exported_wiped_and_imported_is_identical_also_after_a_restart(tmp_path: Path) -> None:
    with server(tmp_path, "first") as client:
        branched(client)
        said(client, "Another")
        before = exported(client)
        document = client.get("/api/export").content
        assert sum(len(each["messages"]) for each in before["sessions"]) >= 10
    with server(tmp_path, "second") as client:
        assert listed(client) == []
        came = client.post("/api/import", content=document).json()
        assert (came["imported"], came["skipped"], came["problems"]) == (2, 0, [])
        assert came["sessions"] == [each["id"] for each in before["sessions"]]
        assert exported(client) == before
    with server(tmp_path, "second") as client:
        assert exported(client) == before
        assert client.post("/api/import", content=document).json()["skipped"] == 2
        assert exported(client) == before


def test_an_imported_conversation_goes_on(tmp_path: Path) -> None:
    with server(tmp_path, "first") as client:
        branched(client)
        document = client.get("/api/export").content
    with server(tmp_path, "second") as client:
        [session] = client.post("/api/import", content=document).json()["sessions"]
        with chatting(client, session) as chat:
            leaf = [each for each in chat.until("snapshot")["messages"] if each["selected"]][-1]
            answer = chat.ask("Go on", parent_id=leaf["id"])
        messages = exported(client)["sessions"][0]["messages"]
        question = next(each for each in messages if each["id"] == answer["parent_id"])
        assert question["parent_id"] == leaf["id"]


def test_one_conversation_is_its_own_document(client: TestClient) -> None:
    identity = branched(client)
    one = exported(client, f"/api/sessions/{identity}")
    assert one == exported(client) == exported(client, f"/api/sessions/{identity}/export")
    assert (one["format"], one["version"], one["sessions"][0]["id"]) == ("switchboard", 1, identity)
    assert "content-disposition" not in client.get(f"/api/sessions/{identity}").headers


def test_files_have_names_that_any_system_takes(client: TestClient) -> None:
    identity = branched(client)
    for form, ending, kind in (
        ("json", "json", "application/json"),
        ("markdown", "md", "text/markdown; charset=utf-8"),
    ):
        headers = client.get(f"/api/sessions/{identity}/export", params={"format": form}).headers
        assert headers["content-type"] == kind
        exact = f"Gr%C3%B6%C3%9Fe%20%E2%80%9C1%E2%80%9D%202.{ending}"
        told = f"attachment; filename=\"Groe 1 2.{ending}\"; filename*=UTF-8''{exact}"
        assert headers["content-disposition"] == told
        assert headers["x-content-type-options"] == "nosniff"


def test_markdown_has_every_branch(client: TestClient) -> None:
    identity = branched(client)
    text = client.get(f"/api/sessions/{identity}/export", params={"format": "markdown"}).text
    assert text.startswith("# Größe “1”/2\n")
    main, _, others = text.partition("## Other branches")
    assert "And *four*?" in main
    assert "One two\n" in others
    assert "Written by a person" in others


def test_all_conversations_are_a_zip_of_markdown(client: TestClient) -> None:
    branched(client)
    said(client, "Another")
    answer = client.get("/api/export", params={"format": "markdown"})
    assert answer.headers["content-disposition"] == 'attachment; filename="conversations.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(archive.namelist()) == ["Another.md", "Größe “1” 2.md"]


def test_a_format_that_is_none_is_refused(refusing: TestClient) -> None:
    for path in ("/api/export", f"/api/sessions/{UNKNOWN}/export"):
        assert refusing.get(path, params={"format": "pdf"}).status_code == 422


@pytest.mark.parametrize(
    ("content", "imported"),
    [((DATA / "chatgpt.json").read_bytes(), 2), ((DATA / "open_webui.json").read_bytes(), 2)],
)
def test_exports_of_others_are_listed_found_and_watched(client: TestClient, content: bytes, imported: int) -> None:
    with chatting(client) as watcher:
        came = client.post("/api/import", content=content).json()
        assert [watcher.until("session")["id"] for _ in range(imported)] == came["sessions"]
    assert {line["id"] for line in listed(client)} == set(came["sessions"])
    assert len(listed(client, q="yeast" if b"yeast" in content else "Nile")) == 1
    with chatting(client, came["sessions"][0]) as chat:
        assert len(chat.until("snapshot")["messages"]) >= 3


@pytest.mark.parametrize("content", [b"", b"hello", b"{}", b"PK\x03\x04", b"[" * 100_000, b'{"format": "switchboard"}'])
def test_what_is_no_document_is_refused_with_a_sentence(refusing: TestClient, content: bytes) -> None:
    answer = refusing.post("/api/import", content=content)
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(".")
    assert (
        "byte" in answer.json()["error"] or "zip" in answer.json()["error"] or "Switchboard" in answer.json()["error"]
    )


def test_bad_conversations_are_told(client: TestClient) -> None:
    good = json.loads((DATA / "chatgpt.json").read_bytes())
    came = client.post("/api/import", json=[{"title": "Bad", "mapping": 1}, *good]).json()
    assert (came["imported"], came["skipped"]) == (2, 1)
    assert came["problems"] == ["Conversation 1 (“Bad”) mapping is not an object."]


def test_an_import_may_be_larger_than_other_bodies(tmp_path: Path) -> None:
    with server(tmp_path, MAX_BODY_BYTES=1000, MAX_IMPORT_BYTES=20_000) as client:
        assert client.post("/api/import", content=(DATA / "chatgpt.json").read_bytes()).status_code == 200
        refused = client.post("/api/import", content=b" " * 20_001)
        assert refused.status_code == 413
        assert "MAX_IMPORT_BYTES" in refused.json()["error"]


def test_a_second_import_at_the_same_time_is_to_come_back(tmp_path: Path) -> None:
    with server(tmp_path) as client:
        with client.app.state.hub.conversations.documents.turn():  # type: ignore[attr-defined]
            second = client.post("/api/import", content=b"[]")
        assert (second.status_code, second.headers["retry-after"]) == (503, "5")
        assert client.post("/api/import", content=b"[]").status_code == 200


def test_without_a_history_everything_says_so(tmp_path: Path) -> None:
    with server(tmp_path, database_url="off") as client:
        for method, path in (
            ("GET", "/api/sessions"), ("GET", "/api/sessions?q=a"), ("GET", f"/api/sessions/{UNKNOWN}"),
            ("DELETE", f"/api/sessions/{UNKNOWN}"), ("POST", f"/api/sessions/{UNKNOWN}/restore"),
            ("GET", "/api/export"), ("GET", "/api/export?format=markdown"), ("POST", "/api/import"),
        ):  # fmt: skip
            answer = client.request(method, path, content=b"[]" if method == "POST" else None)
            assert (answer.status_code, answer.json()["error"]) == (
                503,
                "Conversations are not being saved. DATABASE_URL is off.",
            ), path


def test_the_description_has_every_route_with_its_words(refusing: TestClient) -> None:
    described = refusing.get("/openapi.json").json()
    paths = {path: set(methods) for path, methods in described["paths"].items() if "sessions" in path or "port" in path}
    assert paths == {
        "/api/sessions": {"get"},
        "/api/sessions/{session_id}": {"get", "patch", "delete"},
        "/api/sessions/{session_id}/restore": {"post"},
        "/api/sessions/{session_id}/export": {"get"},
        "/api/export": {"get"},
        "/api/import": {"post"},
    }
    for path in paths:
        for route in described["paths"][path].values():
            assert route["description"]
            assert {"404", "422", "503"} <= set(route["responses"])
