from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

from server.routes.metrics import metrics_router
from tests.server.measures.engine import everything

OPENMETRICS = "application/openmetrics-text"


@pytest.fixture(scope="module")
def client() -> TestClient:
    app = FastAPI()
    app.include_router(metrics_router(everything()))
    return TestClient(app)


def test_prometheus_can_read_it(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in parser.text_string_to_metric_families(answer.text)}
    assert families["vllm:time_to_first_token_seconds"].type == "histogram"
    assert families["vllm:num_requests_running"].type == "gauge"
    assert families["vllm:request_success"].type == "counter"
    assert all(family.documentation for family in families.values())
    assert "process_resident_memory_bytes" in families


def test_whoever_accepts_openmetrics_gets_it(client: TestClient) -> None:
    answer = client.get("/metrics", headers={"accept": f"{OPENMETRICS};version=1.0.0,text/plain;q=0.5"})
    assert answer.headers["content-type"].startswith(OPENMETRICS)
    names = {family.name for family in open_parser.text_string_to_metric_families(answer.text)}
    assert {"vllm:generation_tokens", "switchboard_snapshots"} <= names


def test_buckets_add_up(client: TestClient) -> None:
    for family in parser.text_string_to_metric_families(client.get("/metrics").text):
        if family.type == "histogram":
            buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
            [count] = [sample.value for sample in family.samples if sample.name.endswith("_count")]
            assert buckets == sorted(buckets)
            assert buckets[-1] == count
