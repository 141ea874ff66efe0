"""The dashboard for Grafana asks for nothing that there is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector

from tests.server.measures.engine import everything

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
NAME = re.compile(r"\b(?:vllm:|switchboard_|process_)\w+")
LABEL = re.compile(r"(?:by \(|\{)(\w+)|\{\{(\w+)\}\}")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Every query, and how its lines are named."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"], ""


def told() -> dict[str, set[str]]:
    """The name of every sample that the server can tell, and its labels."""
    registry = CollectorRegistry()
    registry.register(everything())
    ProcessCollector(registry=registry)
    return {sample.name: set(sample.labels) for family in registry.collect() for sample in family.samples}


TOLD = told()


@pytest.mark.parametrize(("query", "legend"), sorted(set(queries())))
def test_every_query_names_measures_and_labels_that_there_are(query: str, legend: str):
    names = NAME.findall(query)
    assert names, "the query asks for something"
    for name in names:
        assert name in TOLD, f"The dashboard asks for {name}, which /metrics does not have."
    labels = {label for pair in LABEL.findall(query + legend) for label in pair if label}
    assert labels <= set().union(*(TOLD[name] for name in names))


def test_every_measure_of_answers_and_engines_is_shown():
    shown = {name for query, _ in queries() for name in NAME.findall(query)}
    shown |= {name.removesuffix("_bucket") for name in shown}
    unshown = {name for name in TOLD if not name.startswith("process_") and name not in shown}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in unshown} - shown
    assert families == {
        "switchboard_build_info",
        "switchboard_uptime_seconds",
        "vllm:request_generation_tokens",
        "vllm:request_prompt_tokens",
        "vllm:request_time_per_output_token_seconds",
    }


def test_panels_have_their_own_place_and_number():
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24


def test_the_document_names_every_measure_and_none_that_there_is_not():
    document = (ROOT / "docs" / "operations.md").read_text().partition("## Measures")[2].partition("\n## ")[0]
    named = set(NAME.findall(document)) - {"process_"}
    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in TOLD if not name.startswith("process_")}
    assert named == ours
