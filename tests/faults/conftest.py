"""A table of all scenarios at the end, when nothing but the tests in this folder ran."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.scenarios import SCENARIOS, number_of

HERE = Path(__file__).parent
_alone = pytest.StashKey[bool]()


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[_alone] = bool(session.items) and all(HERE in item.path.parents for item in session.items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.stash.get(_alone, False):
        return
    results = _results(terminalreporter)
    terminalreporter.write_sep("=", "scenarios")
    for number, counts in sorted(results.items()):
        verdict = _verdict(counts)
        line = f"{number:3}  {verdict:7}  {sum(counts.values()):3} tests  {SCENARIOS[number]}"
        terminalreporter.write_line(line, green=verdict == "pass", red=verdict == "FAIL")
    if missing := [str(number) for number in SCENARIOS if number not in results]:
        terminalreporter.write_line(f"not run: {', '.join(missing)}")


def _results(reporter: pytest.TerminalReporter) -> dict[int, Counter[str]]:
    """How the tests of each scenario ended. What is there twice, once as an error in cleaning up, counts as that."""
    ends: dict[str, str] = {}
    for outcome in ("passed", "skipped", "failed", "error"):
        for report in reporter.stats.get(outcome, []):
            ends[report.nodeid] = outcome
    results: dict[int, Counter[str]] = {}
    for node, outcome in ends.items():
        number = number_of(node.rpartition("::")[2])
        if number is not None:
            results.setdefault(number, Counter())[outcome] += 1
    return results


def _verdict(counts: Counter[str]) -> str:
    if counts["failed"] or counts["error"]:
        return "FAIL"
    return "pass" if counts["passed"] else "skipped"
