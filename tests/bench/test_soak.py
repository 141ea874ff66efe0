"""A short day in the life of the real server, a twentieth of the long one: nothing stays behind."""

from __future__ import annotations

import statistics

from bench.soak import soak


def test_after_fifty_thousand_messages_and_a_thousand_connects_the_server_holds_what_it_held() -> None:
    samples = soak(messages=50_000, connects=1_000, samples=10)
    assert samples[-1].messages >= 50_000
    assert samples[-1].connects >= 1_000
    late = samples[-3:]  # one of them may have been taken while the last visitor was leaving
    assert min(sample.descriptors for sample in late) <= samples[0].descriptors, "every connection's is given back"
    assert min(sample.tasks for sample in late) <= samples[0].tasks, "no task is left on the event loop"
    settled, last = samples[4].rss_mib, statistics.fmean(sample.rss_mib for sample in late)
    assert last < 1.25 * settled, "half a day more takes next to nothing; all of it is judged by bench.soak"
