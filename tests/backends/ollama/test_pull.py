from hypothesis import given
from hypothesis import strategies as st

from backends.ollama.pull import PullProgress

SIZE = 1_000_000

layers = st.lists(st.tuples(st.sampled_from("abc"), st.integers(min_value=0, max_value=SIZE)), max_size=30)


@given(layers)
def test_progress_never_goes_back(steps: list[tuple[str, int]]) -> None:
    progress, share, done = PullProgress("x"), 0.0, 0
    for digest, completed in steps:
        loading = progress.feed({"status": "pulling", "digest": digest, "total": SIZE, "completed": completed})
        assert done <= loading.done <= loading.total
        assert loading.done / loading.total >= share
        share, done = loading.done / loading.total, loading.done


def test_a_download_is_told_in_words() -> None:
    progress = PullProgress("x")
    said = [
        progress.feed({"status": status}).message for status in ("pulling manifest", "verifying sha256 digest", "new")
    ]
    assert said == ["Looking the model up", "Checking the download", "Downloading"]
    assert not progress.succeeded
    progress.feed({"status": "success"})
    assert progress.succeeded
