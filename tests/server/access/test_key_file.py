from __future__ import annotations

import json
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from server.access.key_file import Key, KeyFileError, change_keys, read_keys, read_uses, uses_file, write_uses
from tests.server.access.keys_for_tests import add_key, id_of, secret_of


def test_without_a_file_there_are_no_keys(tmp_path: Path):
    assert read_keys(tmp_path / "keys.json") == []


def test_a_key_is_read_back_and_its_secret_is_nowhere(tmp_path: Path):
    path = tmp_path / "data" / "keys.json"
    text = add_key(path, "Ann", admin=True, until=2e9)
    [key] = read_keys(path)
    assert (key.id, key.name, key.owner, key.admin, key.expires_at) == (id_of(text), "Ann", id_of(text), True, 2e9)
    assert secret_of(text) not in path.read_text()


def test_the_file_is_for_its_user_alone_and_nothing_else_is_left_beside_it(tmp_path: Path):
    path = tmp_path / "keys.json"
    add_key(path)
    add_key(path)
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {
        "keys.json": 0o600,
        "keys.json.lock": 0o600,
    }


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path):
    path = tmp_path / "keys.json"
    add_key(path)
    before = path.read_bytes()

    def fail(keys: Sequence[Key]) -> list[Key]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_keys(path, fail)
    assert path.read_bytes() == before


def test_programs_that_add_keys_at_once_lose_none(tmp_path: Path):
    path = tmp_path / "keys.json"
    adding = [threading.Thread(target=add_key, args=(path, f"number {number}")) for number in range(12)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    assert {key.name for key in read_keys(path)} == {f"number {number}" for number in range(12)}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version":2,"keys":[]}', b'{"version":1,"keys":[{"id":"x"}]}', b"\xff", b'{"version":1}'],
)
def test_a_file_that_is_none_of_ours_is_refused_with_its_name(tmp_path: Path, content: bytes):
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=r"keys\.json"):
        read_keys(path)


def test_what_is_wrong_with_the_file_is_said_without_what_stands_in_it(tmp_path: Path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"version": 1, "keys": [{"digest": "not to be told"}]}))
    with pytest.raises(KeyFileError) as caught:
        read_keys(path)
    assert "not to be told" not in str(caught.value)


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path):
    (tmp_path / "data").write_text("a file, and no folder")
    with pytest.raises(KeyFileError, match="cannot be written"):
        add_key(tmp_path / "data" / "keys.json")


def test_the_last_uses_are_read_back_and_what_cannot_be_read_was_never_used(tmp_path: Path):
    path = tmp_path / "keys.json"
    assert read_uses(path) == {}
    write_uses(path, {"a": 1.5})
    assert read_uses(path) == {"a": 1.5}
    uses_file(path).write_text("{")
    assert read_uses(path) == {}
