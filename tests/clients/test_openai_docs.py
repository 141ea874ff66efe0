"""curl, as the documents call it: every command of theirs is run as it is written."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.table import shows

DOCUMENT = (Path(__file__).resolve().parent.parent.parent / "docs" / "openai.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@shows("curl", "docs/openai.md", "whole", "stream")
@pytest.mark.skipif(shutil.which("curl") is None, reason="There is no curl on this machine.")
@pytest.mark.parametrize("commands", COMMANDS, ids=lambda commands: commands.split()[1].removeprefix("http://"))
def test_the_commands_of_the_document_work(embedded: str, commands: str) -> None:
    ours = commands.replace("http://127.0.0.1:8000", embedded)
    done = subprocess.run(["sh", "-c", ours], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout
    if "-X DELETE" not in commands:
        assert '"error"' not in done.stdout
