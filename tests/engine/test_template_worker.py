"""The child process that renders templates has put up its fences before it reads one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import engine.template_worker

FENCED = """
import socket, subprocess, sys
from template_worker import refuse_system_calls
refuse_system_calls()
attempts = [
    lambda: open("/etc/hostname"),
    lambda: open(sys.argv[1], "w"),
    lambda: subprocess.run(["true"]),
    lambda: __import__("os").system("true"),
    lambda: __import__("os").remove(sys.argv[1]),
    lambda: __import__("os").listdir("/"),
    lambda: __import__("os").fork(),
    lambda: __import__("os").kill(1, 0),
    lambda: socket.socket().connect(("127.0.0.1", 9)),
    lambda: __import__("ctypes").CDLL(None),
]
for number, attempt in enumerate(attempts):
    try:
        attempt()
    except PermissionError as error:
        assert "outside itself" in str(error), error
    else:
        raise SystemExit(f"attempt {number} went through")
print("all refused")
"""


WITH_A_HOLE = """
import template_worker
make = template_worker.make_environment
def with_hole():
    environment = make()
    environment.globals["open"] = open
    return environment
template_worker.make_environment = with_hole
template_worker.main()
"""


IMPATIENT = "import template_worker; template_worker.MAX_SECONDS = 0.3; template_worker.main()"
ENDLESS = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"


def run_beside_worker(program: str, argument: str, text: str = "") -> str:
    folder = str(Path(engine.template_worker.__file__).parent)
    return subprocess.run(
        [sys.executable, "-c", program, argument],
        env={**os.environ, "PYTHONPATH": folder},
        input=text,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_code_that_broke_out_of_the_sandbox_would_still_reach_nothing(tmp_path: Path) -> None:
    assert run_beside_worker(FENCED, str(tmp_path / "proof")) == "all refused\n"


def test_the_fence_is_up_before_a_template_is_read(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    setup = {"template": f"{{{{ open('{proof}', 'w') }}}}", "variables": {}}
    ready, reply = run_beside_worker(WITH_A_HOLE, "", json.dumps(setup) + "\n{}\n").splitlines()
    assert json.loads(ready) == {}
    assert json.loads(reply) == {"error": "a template may not reach outside itself"}
    assert not proof.exists()


def test_a_worker_whose_parent_is_gone_does_not_run_for_ever() -> None:
    setup = {"template": ENDLESS, "variables": {}}
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run_beside_worker(IMPATIENT, "", json.dumps(setup) + "\n{}\n")
    assert caught.value.returncode == -signal.SIGALRM
