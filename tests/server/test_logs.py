import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from server.logs import configure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_file_gets_one_json_object_a_line() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    logging.getLogger("a").info("hello %s", "wörld")
    structlog.get_logger().warning("hello", who="wörld")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["level"]) == ("hello wörld", "info")
    assert (second["event"], second["level"], second["who"]) == ("hello", "warning", "wörld")


def test_the_level_is_kept() -> None:
    stream = io.StringIO()
    configure_logs("warning", stream)
    logging.getLogger("a").info("quiet")
    logging.getLogger("a").warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal], ids=["file", "terminal"])
def test_line_ends_and_escapes_from_outside_cannot_forge_a_line(kind: type[io.StringIO]) -> None:
    stream = kind()
    configure_logs("info", stream)
    logging.getLogger("a").info("model %s", "x\r\nERROR forged \x1b[2J")
    structlog.get_logger().info("model", name="x\r\nERROR forged \x1b[2J")
    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b[2J" not in stream.getvalue()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal], ids=["file", "terminal"])
def test_no_character_that_a_terminal_obeys_is_written_raw(kind: type[io.StringIO]) -> None:
    stream = kind()
    configure_logs("info", stream)
    said = "\x9b2J \u202e right to left \u2028 another line \U000e0041 naïve 日本"
    structlog.get_logger().info("model", name=said)
    [line] = stream.getvalue().splitlines()
    for character in "\x9b\u202e\u2028\U000e0041":
        assert character not in line
    assert "naïve 日本" in line
    if kind is io.StringIO:
        assert json.loads(line)["name"] == said


def test_a_traceback_is_kept() -> None:
    stream = io.StringIO()
    configure_logs("info", stream)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("a").exception("it failed")
    assert "ValueError: broken" in json.loads(stream.getvalue())["exception"]


def test_a_traceback_on_a_terminal_shows_no_local_variables_and_obeys_no_sequences() -> None:
    stream = Terminal()
    configure_logs("info", stream)
    prompt = "what I " + "said"
    try:
        raise ValueError(f"broken \x1b[2J {len(prompt)}")
    except ValueError:
        structlog.get_logger().exception("it failed")
    assert "ValueError: broken" in stream.getvalue()
    assert "Traceback" in stream.getvalue()
    assert "what I said" not in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
