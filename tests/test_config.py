from __future__ import annotations

import os
from pathlib import Path

import pytest

from config import ROOT, Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting from the machine the tests run on."""
    for name in [*Settings.model_fields, "fastapi_port"]:
        monkeypatch.delenv(name.upper(), raising=False)


def write(folder: Path, text: str, name: str = ".env") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_the_committed_file_holds_every_setting_with_its_default() -> None:
    assert load_settings(ROOT / ".env") == Settings()


def test_every_line_of_the_committed_file_says_what_the_setting_is_for() -> None:
    lines = [line for line in (ROOT / ".env").read_text().splitlines() if line and not line.startswith("#")]
    assert [line.partition("=")[0].lower() for line in lines] == list(Settings.model_fields)
    assert all("  # " in line for line in lines)


def test_a_later_file_wins_over_an_earlier_one(tmp_path: Path) -> None:
    files = write(tmp_path, "PORT=1\nMAX_TOKENS=5"), write(tmp_path, "PORT=2", ".env.local")
    settings = load_settings(*files)
    assert (settings.port, settings.max_tokens) == (2, 5)


def test_the_environment_wins_over_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "3")
    assert load_settings(write(tmp_path, "PORT=1")).port == 3


def test_the_environment_may_hold_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTESS", "nobody's business")
    assert load_settings(write(tmp_path, "")).host == "127.0.0.1"


def test_the_port_has_a_second_name(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "FASTAPI_PORT=9000")).port == 9000


def test_a_missing_file_is_as_good_as_an_empty_one(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "nowhere") == Settings()


def test_an_unknown_key_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"^\.env has a key that is no setting: OLAMA_HOST\. Did you mean OLLAMA_HOST\?"
    ):
        load_settings(write(tmp_path, "OLAMA_HOST=http://127.0.0.1:11434"))


def test_an_unknown_key_like_no_other_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^\.env\.local has a key that is no setting: COFFEE\. Remove it"):
        load_settings(write(tmp_path, "COFFEE=black", ".env.local"))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("PORT=eight", "PORT"),
        ("PORT=70000", "PORT"),
        ("MAX_TOKENS=0", "MAX_TOKENS"),
        ("MAX_BATCH_SIZE=2.5", "MAX_BATCH_SIZE"),
        ("STREAM_FLUSH_MS=501", "STREAM_FLUSH_MS"),
        ("DETACH_TIMEOUT_S=0", "DETACH_TIMEOUT_S"),
        ("OLLAMA_NUM_CTX=-1", "OLLAMA_NUM_CTX"),
        ("AUTH=maybe", "AUTH"),
        ("KERNELS=fast", "KERNELS"),
        ("KV_TOKENS=0", "KV_TOKENS"),
        ("KV_DTYPE=int4", "KV_DTYPE"),
        ("LOG_LEVEL=loud", "LOG_LEVEL"),
    ],
)
def test_a_value_that_does_not_fit_is_named(tmp_path: Path, line: str, key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, line))
    assert str(caught.value).startswith(f"{key}={line.partition('=')[2]} cannot be used: ")


def test_lists_are_separated_by_commas(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "BACKENDS= echo, my.module:Backend ,\nALLOWED_HOSTS="))
    assert settings.backends == ["echo", "my.module:Backend"]
    assert settings.allowed_hosts == []


def test_comments_and_quotes_are_not_part_of_a_value(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, 'SYSTEM_PROMPT="Say # often."  # a comment\nLOG_LEVEL=DEBUG # loud\n'))
    assert (settings.system_prompt, settings.log_level) == ("Say # often.", "debug")


def test_relative_paths_start_at_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    assert settings.path(settings.model_dir) == ROOT / "models"
    assert settings.path("/somewhere/else.gguf") == Path("/somewhere/else.gguf")


def test_the_effective_settings_can_be_shown() -> None:
    shown = Settings(PORT=1234).effective()
    assert list(shown) == [name.upper() for name in Settings.model_fields]
    assert shown["PORT"] == 1234


@pytest.mark.parametrize("address", ["http://me:sesame@gpu.example:11434", "me:sesame@gpu.example"])
def test_a_password_in_an_address_is_not_shown(address: str) -> None:
    shown = Settings(OLLAMA_HOST=address).effective()["OLLAMA_HOST"]
    assert "sesame" not in shown
    assert shown.partition("@")[2] == address.partition("@")[2]


def test_a_key_is_not_shown() -> None:
    assert "sesame" not in repr(Settings(OPENAI_API_KEY="sesame").effective())
    assert Settings().effective()["OPENAI_API_KEY"] == ""


def test_settings_do_not_change_while_the_server_runs() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1


def test_reading_the_settings_leaves_the_environment_alone(tmp_path: Path) -> None:
    before = dict(os.environ)
    load_settings(write(tmp_path, "PORT=1"))
    assert dict(os.environ) == before
