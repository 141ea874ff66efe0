"""The documents agree with the code: settings, messages, links, trees, examples."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from dotenv import dotenv_values
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from app import create_app
from backends import base
from config import Settings
from server import protocol
from server.answers import InternalError
from server.exchange import own
from server.exchange.draft import Draft
from server.exchange.reading import read as read_conversations
from server.history.failures import DAMAGED, FULL, LOCKED, READ_ONLY, TAKEN, UNREACHABLE
from server.history.records import MessageRecord, Stored
from server.http_limits import HttpLimits
from server.limiting.windows import MAX_KEYS
from server.meter import EngineReport
from server.openai.chat import ChatRequest
from server.openai.chat_answers import ChatCompletion
from server.openai.completion_answers import Completion
from server.openai.completions import CompletionRequest
from server.openai.errors import failure_body
from server.openai.requests import AnswerRequest, read_request
from server.process import PING_INTERVAL_S
from server.routes import websocket
from server.routes.sessions import FoundLine, ImportAnswer, SessionList
from server.running import RequestCancelled
from server.statuses import status_of
from tests.test_app import first_address, switchboard

ROOT = Path(__file__).resolve().parent.parent
LIMITS = HttpLimits()
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
README, SETUP = (ROOT / "README.md").read_text(), (ROOT / "SETUP.md").read_text()
OPENAI = (ROOT / "docs" / "openai.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
HISTORY = (ROOT / "docs" / "history.md").read_text()


def blocks(document: str, language: str = "") -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


# Links


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if not link.startswith(("http://", "https://", "#")):
            assert (document.parent / link.partition("#")[0]).exists(), f"{document.name} links to {link}."


# Settings


def settings_table() -> dict[str, str]:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`(.*?)` )?\| ", SETUP, re.MULTILINE)
    return dict(rows)


def test_the_table_of_settings_is_env_line_by_line() -> None:
    env = dotenv_values(ROOT / ".env")
    assert settings_table() == env
    assert list(settings_table()) == list(env) == [name.upper() for name in Settings.model_fields]


# The protocol


def message_models() -> list[type[BaseModel]]:
    found = []
    unions = get_args(get_args(protocol.ClientMessage)[0]) + get_args(protocol.ServerMessage)
    for model in unions:
        assert issubclass(model, BaseModel)
        found.append(model)
    return found


def wire_type(model: type[BaseModel]) -> str:
    (name,) = get_args(model.model_fields["type"].annotation)
    return str(name)


@pytest.mark.parametrize("model", message_models(), ids=lambda model: model.__name__)
def test_the_protocol_tells_of_every_message_and_field(model: type[BaseModel]) -> None:
    name = wire_type(model)
    told = "\n".join(re.findall(rf"`{name} (\{{.*?\}})`", PROTOCOL))
    assert told, f"docs/protocol.md does not show {name} {{…}}."
    for field in set(model.model_fields) - {"type", "cmd_id", "session", "seq"}:
        assert re.search(rf"\b{field}\b", told if model is not protocol.Hello else PROTOCOL), (
            f"{name} has a field {field}."
        )


def test_the_protocol_tells_of_every_parameter() -> None:
    for name in protocol.ChatParams.model_fields:
        assert f"`{name}`" in PROTOCOL


def test_the_protocol_tells_of_every_number_of_the_engine() -> None:
    table = PROTOCOL.partition("## The engine over HTTP")[2]
    for name in set(EngineReport.model_fields) - {"model"}:
        assert f"`{name}`" in table, f"docs/protocol.md does not tell what {name} means."


def words(annotation: object) -> list[str]:
    """The strings of a Literal, also inside a union."""
    if get_origin(annotation) is Literal:
        return [str(word) for word in get_args(annotation)]
    return [word for part in get_args(annotation) for word in words(part)]


@pytest.mark.parametrize(
    "word",
    [
        *get_args(protocol.ErrorCode),
        *get_args(base.FinishReason),
        *get_args(base.ModelState),
        *get_args(base.Phase),
        *words(protocol.DeltaEvent.model_fields["channel"].annotation),
        *(str(code) for name, code in vars(protocol.CloseCode).items() if name.isupper()),
    ],
)
def test_the_protocol_tells_of_every_word(word: str) -> None:
    assert re.search(rf"(`|\b){word}(`|\b)", PROTOCOL), f"docs/protocol.md does not tell of {word}."


def test_the_protocol_names_no_error_that_is_none() -> None:
    table = PROTOCOL.partition("## Errors")[2].partition("## ")[0]
    named = [code for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(get_args(protocol.ErrorCode))


def test_the_hello_in_the_protocol_is_one() -> None:
    [hello] = [block for block in blocks(PROTOCOL, "json") if '"system"' in block]
    assert protocol.Hello.model_validate_json(hello).protocol == protocol.PROTOCOL_VERSION


# OpenAI's API


def openai_fields(heading: str) -> dict[str, object]:
    """The defaults in the table of fields below a heading; None where there is none."""
    table = OPENAI.partition(f"\n{heading}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.+?)`)? ?\|", table, re.MULTILINE)
    return {name: json.loads(default) if default else None for name, default in rows}


@pytest.mark.parametrize(
    ("heading", "kind"),
    [("### Of a chat only", ChatRequest), ("### Of a completion only", CompletionRequest)],
    ids=["chat", "completion"],
)
def test_the_document_has_every_field_with_its_default(heading: str, kind: type[AnswerRequest]) -> None:
    said = {**openai_fields("### Of both"), **openai_fields(heading)}
    defaults = {name: field.get_default(call_default_factory=True) for name, field in kind.model_fields.items()}
    nothing = ([], {}, PydanticUndefined)
    assert said == {name: None if value in nothing else value for name, value in defaults.items()}


FAILURES = [kind for kind in vars(base).values() if isinstance(kind, type) and issubclass(kind, base.BackendError)]


@pytest.mark.parametrize("kind", [*FAILURES, InternalError, RequestCancelled], ids=lambda kind: kind.__name__)
def test_the_document_has_every_failure_with_its_status(kind: type[base.BackendError]) -> None:
    error = kind("Sorry.")
    code = failure_body(error)["error"]["code"]
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", OPENAI, re.MULTILINE)
    assert any(int(status) == status_of(error) and f"`{code}`" in codes for status, codes in rows), code


def test_the_requests_in_the_documents_are_requests() -> None:
    kinds: dict[str, type[AnswerRequest]] = {"chat/completions": ChatRequest, "completions": CompletionRequest}
    asked = re.findall(r"8000/v1/([a-z/]*completions) .*?-d '(.*?)'(?: &)?$", OPENAI + README, re.MULTILINE)
    assert len(asked) == (OPENAI + README).count("completions -")
    for path, body in asked:
        read_request(kinds[path], body.encode())


def test_the_answers_in_the_document_are_some() -> None:
    chat, completion = blocks(OPENAI, "json")
    ChatCompletion.model_validate_json(chat, strict=True, extra="forbid")
    Completion.model_validate_json(completion, strict=True, extra="forbid")


def test_the_official_client_in_the_document_works() -> None:
    [client] = blocks(OPENAI, "python")
    with switchboard(BACKENDS="echo") as process:
        program = client.replace("http://127.0.0.1:8000", first_address(process))
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout == "What is the capital of France?"


def test_the_document_has_every_request_of_openais_api() -> None:
    routes = create_app(Settings(backends=["echo"], database_url="off")).openapi()["paths"]
    offered = {f"{method.upper()} {path}" for path, methods in routes.items() for method in methods if "/v1/" in path}
    assert set(re.findall(r"^\| `([A-Z]+ /\S+)` \|", OPENAI, re.MULTILINE)) == offered


# Conversations over HTTP


def test_the_document_has_every_request_about_conversations() -> None:
    routes = create_app(Settings(backends=["echo"], database_url="off")).openapi()["paths"]
    offered = {
        f"{method.upper()} {path}"
        for path, methods in routes.items()
        for method, route in methods.items()
        if "conversations" in route.get("tags", ())
    }
    told = {request.partition("?")[0] for request in re.findall(r"^\| `([A-Z]+ /\S+)` \|", HISTORY, re.MULTILINE)}
    assert told == offered


def test_the_document_has_every_field_of_the_list() -> None:
    for model in (FoundLine, SessionList, ImportAnswer):
        for field in model.model_fields:
            assert re.search(rf"\b{field}\b", HISTORY), f"docs/history.md does not tell of {field}."


def test_the_exported_conversation_in_the_document_can_be_imported() -> None:
    [shown] = blocks(HISTORY, "json")
    [draft] = read_conversations(shown.encode(), now=0.0)
    assert isinstance(draft, Draft), draft
    stored = Stored(draft.about, draft.head, [MessageRecord(*each) for each in enumerate(draft.messages)])
    assert json.loads(own.document(stored, 1763740800.0)) == json.loads(shown)


# Running the server


@pytest.mark.parametrize(
    "told",
    [
        f"| time to send a request's head, or to send anything | {LIMITS.head_s:.0f} s | 408;",
        f"| pace of a request's body | {LIMITS.body_pace:,} bytes every {LIMITS.body_s:.0f} s | 408 |",
        f"| length of the address | {LIMITS.url:,} bytes | 414 |",
        f"| headers | {LIMITS.headers}, of {LIMITS.header:,} bytes each, {LIMITS.head // 1024} KiB in all | 431 |",
        f"| requests sent before the first is answered | {LIMITS.waiting} |",
        f"| time to take an answer | {LIMITS.unsent_pace:,} bytes every {LIMITS.unsent_s:.0f} s |",
        f"| WebSocket commands | {websocket.COMMANDS_PER_S:.0f} a second, {websocket.COMMANDS_AT_ONCE} at once |",
        f"| frames that make no sense | {websocket.BAD_FRAMES_IN_A_ROW} in a row |",
        f"| a peer that answers no ping | {PING_INTERVAL_S:.0f} s after one",
        f"when more than {MAX_KEYS:,} clients were there",
    ],
)
def test_the_limits_in_the_document_are_those_in_force(told: str) -> None:
    assert told in (ROOT / "docs" / "operations.md").read_text()


# Examples


@pytest.mark.parametrize(("document", "printed"), [("README.md", "ai: "), ("docs/protocol.md", "")])
def test_the_client_in_the_document_works(document: str, printed: str) -> None:
    [client] = [block for block in blocks((ROOT / document).read_text(), "python") if "websockets.connect" in block]
    with switchboard(BACKENDS="echo") as process:
        address = first_address(process).replace("http://", "ws://")
        program = client.replace("ws://127.0.0.1:8000", address)
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout.splitlines()[-1] == f"{printed}What is the capital of France?"


def test_the_client_in_the_readme_is_short() -> None:
    [client] = blocks(README, "python")
    assert len([line for line in client.splitlines() if line.strip()]) <= 16


# The tree


def tree() -> list[str]:
    """The paths that the tree in the README names."""
    [drawn] = [block for block in blocks(README) if "app.py" in block and "server/" in block]
    folder, paths = "", []
    for line in drawn.splitlines():
        names = re.match(r"( *)((?:[\w./-]+ {1,2}?)*[\w./-]+)(?:  .*)?$", line)
        assert names, line
        inside = names[1] != ""
        for name in re.split(r"\s+", names[2]):
            paths.append(folder + name if inside else name)
        if not inside:
            folder = names[2].split()[0]
    return paths


def test_the_tree_names_what_exists() -> None:
    assert len(tree()) > 25
    for path in tree():
        assert (ROOT / path).exists(), f"The tree in README.md names {path}."
        assert (ROOT / path).is_dir() == path.endswith("/"), f"{path} ends in a slash if it is a folder."


def test_the_tree_names_all_that_lies_at_the_top() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    top = {line.split("/")[0] + ("/" if "/" in line else "") for line in listed.splitlines()}
    hidden = {name for name in top if name.startswith(".") and name != ".env"}
    assert top - hidden - {"README.md"} <= set(tree())


# What is vendored


def test_the_notices_name_every_vendored_part_with_its_version() -> None:
    notice = (ROOT / "NOTICE.md").read_text()
    for folder in ("static/vendor", "tests/browser/vendor"):
        for name, entry in json.loads((ROOT / folder / "manifest.json").read_text()).items():
            row = re.search(rf"^\| `{folder}/{name}/` \|.*$", notice, re.MULTILINE)
            assert row, f"NOTICE.md does not name {folder}/{name}."
            assert entry["version"] in row[0]
            assert entry["licence"].split()[0] in row[0]


# The history

HISTORY = (ROOT / "docs" / "history.md").read_text()


def test_whatever_the_history_tells_of_its_trouble_is_explained() -> None:
    """The document's table holds every sentence, or its beginning up to a dot or colon."""
    table = re.findall(r"^\| ([^|]+?) \| [^|]+ \|$", HISTORY.partition("## When it breaks")[2], re.MULTILINE)
    known = tuple(row.removesuffix("…").strip() for row in table)
    for told in (FULL, LOCKED, READ_ONLY, DAMAGED, TAKEN, UNREACHABLE):
        assert told.startswith(known), f"docs/history.md does not tell what to do about: {told}"
