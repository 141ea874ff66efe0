from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from prometheus_client import CollectorRegistry, Histogram

from server.measures.distribution import Distribution

BOUNDS = (0.1, 1.0, 10.0)


def test_a_value_counts_in_every_bucket_that_it_is_not_above():
    distribution = Distribution(BOUNDS)
    distribution.add(0.1)
    distribution.add(0.5, times=3)
    distribution.add(99)
    assert distribution.buckets() == [("0.1", 1), ("1.0", 4), ("10.0", 4), ("+Inf", 5)]
    assert distribution.sum == pytest.approx(100.6)


@given(st.lists(st.floats(0, 20, allow_nan=False)))
def test_it_counts_as_the_client_librarys_own_histogram(values: list[float]):
    ours, registry = Distribution(BOUNDS), CollectorRegistry()
    theirs = Histogram("h", "values", buckets=BOUNDS, registry=registry)
    for value in values:
        ours.add(value)
        theirs.observe(value)
    told = {bound: registry.get_sample_value("h_bucket", {"le": bound}) for bound, _ in ours.buckets()}
    assert told == dict(ours.buckets())
    assert registry.get_sample_value("h_sum") == pytest.approx(ours.sum)
