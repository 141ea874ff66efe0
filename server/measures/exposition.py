"""Everything that is measured, in Prometheus' words: vLLM's names where the meaning is the same, ours for the rest.

Read when somebody asks, from numbers that are kept anyway. Labels hold names of models as the list has them, and words
of our own: nothing that a client sent, no conversation, no path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from backends.base import Backend, Stats
from server.admission import Admission
from server.hub import Hub
from server.limiting.limiter import RateLimiter
from server.measures.answers import ModelMeasures
from server.version import VERSION

MODEL = ["model_name"]
FINISHED = {"stop": "stop", "tool_calls": "stop", "length": "length"}  # any other: abort

# A name, what it is, and where it is read.
DISTRIBUTIONS = (
    ("vllm:time_to_first_token_seconds", "From a request to its answer's first token", "first_token"),
    ("vllm:inter_token_latency_seconds", "From one token of an answer to the next", "between_tokens"),
    ("vllm:request_time_per_output_token_seconds", "The mean time between the tokens of an answer", "per_token"),
    ("vllm:e2e_request_latency_seconds", "From a request to the end of its answer", "whole"),
    ("vllm:request_queue_time_seconds", "How long a request waited for the engine", "queued"),
    ("vllm:request_prompt_tokens", "Tokens of a prompt", "prompt_lengths"),
    ("vllm:request_generation_tokens", "Tokens of an answer", "answer_lengths"),
)
MODEL_COUNTERS = (
    ("vllm:prompt_tokens", "Tokens of the prompts whose answers have ended", "prompt_tokens"),
    ("vllm:generation_tokens", "Tokens that were written", "generated_tokens"),
    ("switchboard_answers_cancelled", "Answers that were stopped, or whose client left", "cancelled"),
)
ENGINE_GAUGES = (
    ("vllm:num_requests_running", "Requests in the engine's batch", "running"),
    ("vllm:num_requests_waiting", "Requests that wait for the engine", "waiting"),
    ("switchboard_engine_slots", "Requests that the engine may run at once", "slots"),
)
ENGINE_COUNTERS = (
    (
        "vllm:prefix_cache_queries",
        "Tokens of prompts: each is looked for among the known ones",
        "prompt_tokens",
    ),
    ("vllm:prefix_cache_hits", "Tokens of prompts that were known and need not be read again", "cached_tokens"),
    ("vllm:num_preemptions", "Answers that made room for others and were computed again", "preemptions"),
    ("vllm:spec_decode_num_draft_tokens", "Tokens that were guessed ahead", "drafts_proposed"),
    ("vllm:spec_decode_num_accepted_tokens", "Tokens that were guessed ahead, and were right", "drafts_accepted"),
    ("switchboard_kv_evictions", "Cached blocks that were given to others", "evictions"),
)


class Measured(Collector):
    """All of one server's measures. `statuses`: how many HTTP requests were answered with which status."""

    def __init__(self, hub: Hub, limiter: RateLimiter, admission: Admission, statuses: Counter[int]) -> None:
        self._hub = hub
        self._limiter = limiter
        self._admission = admission
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        yield from answer_metrics(self._hub.answer_measures.models)
        yield from engine_metrics(self._hub.backends)
        yield from self._server_metrics()

    def _server_metrics(self) -> Iterator[Metric]:
        hub, connections = self._hub, self._hub.connections
        gauges = (
            ("switchboard_connections", "Open connections of any kind", self._admission.open),
            ("switchboard_websockets", "Open WebSockets", len(connections.active_connections)),
            ("switchboard_event_streams", "Open streams of server-sent events of conversations", connections.streams),
            ("switchboard_sessions", "Conversations in memory", len(hub.sessions)),
            ("switchboard_history_off", "1 while conversations are not being saved", not hub.recorder.on),
            ("switchboard_ready", "1 while new work is taken", hub.ready().ok),
            ("switchboard_uptime_seconds", "Since the server started", hub.uptime),
        )
        for name, help_, value in gauges:
            yield GaugeMetricFamily(name, help_, float(value))
        yield CounterMetricFamily(
            "switchboard_snapshots", "Conversations sent whole, to who was new or had missed too much", hub.snapshots
        )
        yield CounterMetricFamily("switchboard_rate_limited", "Requests past RATE_LIMIT", self._limiter.refused)
        requests = CounterMetricFamily("switchboard_http_requests", "HTTP requests answered", labels=["status"])
        for status, count in sorted(self._statuses.items()):
            requests.add_metric([str(status)], count)
        yield requests
        build = GaugeMetricFamily("switchboard_build_info", "Which release this is", labels=["version"])
        build.add_metric([VERSION], 1)
        yield build


def answer_metrics(models: dict[str, ModelMeasures]) -> Iterator[Metric]:
    """What is known of all answers."""
    for name, help_, attribute in DISTRIBUTIONS:
        histogram = HistogramMetricFamily(name, help_, labels=MODEL)
        for model, measures in models.items():
            distribution = getattr(measures, attribute)
            histogram.add_metric([model], distribution.buckets(), distribution.sum)
        yield histogram
    yield from _counters(MODEL_COUNTERS, models.items())
    active = GaugeMetricFamily("switchboard_answers_running", "Answers in the making", labels=MODEL)
    finished = CounterMetricFamily("vllm:request_success", "Choices that ended", labels=[*MODEL, "finished_reason"])
    failed = CounterMetricFamily("switchboard_answers_failed", "Answers that failed", labels=[*MODEL, "code"])
    for model, measures in models.items():
        active.add_metric([model], measures.active)
        reasons: Counter[str] = Counter()
        for reason, count in measures.finished.items():
            reasons[FINISHED.get(reason, "abort")] += count
        for reason, count in reasons.items():
            finished.add_metric([model, reason], count)
        for code, count in measures.failed.items():
            failed.add_metric([model, code], count)
    yield from (active, finished, failed)


def engine_metrics(backends: Iterable[Backend]) -> Iterator[Metric]:
    """What the engines in this process tell of themselves."""
    read = ((backend.name, backend.stats()) for backend in backends)
    engines = [(f"{name}/{stats.model}", stats) for name, stats in read if stats is not None]
    usage = GaugeMetricFamily(
        "vllm:kv_cache_usage_perc", "Part of the KV cache's blocks that answers use, from 0 to 1", labels=MODEL
    )
    for engine, stats in engines:
        usage.add_metric([engine], _used(stats))
    yield usage
    for name, help_, attribute in ENGINE_GAUGES:
        gauge = GaugeMetricFamily(name, help_, labels=MODEL)
        for engine, stats in engines:
            gauge.add_metric([engine], getattr(stats, attribute))
        yield gauge
    yield from _counters(ENGINE_COUNTERS, engines)


def _counters(
    table: Iterable[tuple[str, str, str]], sources: Iterable[tuple[str, ModelMeasures | Stats]]
) -> Iterator[Metric]:
    for name, help_, attribute in table:
        counter = CounterMetricFamily(name, help_, labels=MODEL)
        for model, source in sources:
            counter.add_metric([model], getattr(source, attribute))
        yield counter


def _used(stats: Stats) -> float:
    blocks = stats.blocks_used + stats.blocks_cached + stats.blocks_free
    return stats.blocks_used / blocks if blocks else 0.0
