"""The program that makes keys, as a person and as another program use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from server.access import keys
from server.access.key_file import read_keys, write_uses
from server.access.keyring import Keyring
from server.access.tokens import KEY
from server.history.records import LOCAL
from tests.server.access.keys_for_tests import secret_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KEYS_FILE", str(tmp_path / "keys.json"))
    return tmp_path / "keys.json"


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert keys.main(arguments) == status
    printed = capsys.readouterr()
    return printed.err if status else printed.out


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json"))


def test_a_key_is_shown_once_and_opens_the_server(path: Path, capsys: pytest.CaptureFixture[str]):
    printed = run(capsys, "add", "Ann's laptop")
    text = printed.splitlines()[0]
    found = Keyring(path).check(text)
    assert found is not None
    assert (found.name, found.admin, found.owner) == ("Ann's laptop", False, found.id)
    assert secret_of(text) not in run(capsys, "list")


def test_it_is_a_program_of_its_own(path: Path):
    made = subprocess.run(
        [sys.executable, "-m", "server.access.keys", "add", "me", "--admin"],
        cwd=ROOT,
        env={**os.environ, "KEYS_FILE": str(path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert KEY.fullmatch(made.stdout.splitlines()[0])
    assert made.stderr == ""


def test_for_programs_everything_is_json(path: Path, capsys: pytest.CaptureFixture[str]):
    made = run_json(capsys, "add", "script", "--admin", "--expires", "2w")
    assert KEY.fullmatch(made.pop("secret"))
    assert made["expires_at"] - made["created_at"] == 14 * 24 * 3600
    write_uses(path, {made["id"]: 5.0})
    assert run_json(capsys, "list") == {"keys": [{**made, "used_at": 5.0}]}
    assert run_json(capsys, "remove", made["id"]) == {"removed": made["id"]}
    assert read_keys(path) == []


def test_the_list_is_a_table_for_people(path: Path, capsys: pytest.CaptureFixture[str]):
    assert "There are no keys yet" in run(capsys, "list")
    first = run_json(capsys, "add", "Ann", "--expires", "12h")["id"]
    run(capsys, "add", "Ann's phone", "--owner", first)
    run(capsys, "add", "Before", "--adopt", "--admin")
    heading, ann, phone, before = run(capsys, "list").splitlines()
    assert heading.split() == ["ID", "NAME", "CREATED", "LAST", "USED", "EXPIRES", "CONVERSATIONS", "ADMIN"]
    assert "its own" in ann
    assert f"of {first}" in phone
    assert before.endswith("from before keys  yes")
    assert "never" in phone


def test_a_key_that_adopts_has_the_conversations_from_before(path: Path, capsys: pytest.CaptureFixture[str]):
    run(capsys, "add", "me", "--adopt")
    [key] = read_keys(path)
    assert key.owner == LOCAL


def test_removing_says_how_to_reach_the_conversations_again(path: Path, capsys: pytest.CaptureFixture[str]):
    made = run_json(capsys, "add", "Ann")
    assert f"add NAME --owner {made['id']}" in run(capsys, "remove", made["secret"])
    adopted = run_json(capsys, "add", "Me", "--adopt")
    assert "add NAME --adopt" in run(capsys, "remove", adopted["id"])
    again = run_json(capsys, "add", "Ann again", "--owner", made["id"])
    assert again["owner"] == made["id"] != again["id"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["remove", "0123456789ab"], 1, "no key with the id 0123456789ab"),
        (["add", " "], 2, "A name has"),
        (["add", "a\x1b[31m"], 2, "printable"),
        (["add", "x" * 101], 2, "100"),
        (["add", "Ann", "--expires", "soon"], 2, "soon is no time"),
        (["add", "Ann", "--expires", "0d"], 2, "30d"),
        (["add", "Ann", "--owner", "bob"], 2, "bob is no id"),
    ],
)
def test_what_cannot_be_done_is_said(
    path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, said: str
):
    assert said in run(capsys, *arguments, status=status)
    assert read_keys(path) == []


def test_a_spoilt_file_is_left_as_it_is(path: Path, capsys: pytest.CaptureFixture[str]):
    path.write_text("{")
    assert "keys.json" in run(capsys, "add", "Ann", status=2)
    assert path.read_text() == "{"
