"""How long a page's main thread was at work, in processor time: what others do on the machine does not count."""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

from playwright.sync_api import Page

CATEGORIES = ["toplevel", "disabled-by-default-devtools.timeline"]


class Traced:
    """Traces what a page does inside the `with`. Afterwards `tasks_ms` has the time of each task."""

    def __init__(self, page: Page) -> None:
        self.tasks_ms: list[float] = []
        self._page = page
        browser = page.context.browser
        assert browser
        self._browser = browser

    def __enter__(self) -> Traced:
        self._browser.start_tracing(page=self._page, categories=CATEGORIES)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.tasks_ms = _main_thread_tasks(json.loads(self._browser.stop_tracing()))


def _main_thread_tasks(trace: dict[str, list[dict[str, Any]]]) -> list[float]:
    events = trace["traceEvents"]
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    main = {key for key, name in names.items() if name == "CrRendererMain"}
    tasks = [event for event in events if event["name"] == "RunTask" and (event["pid"], event["tid"]) in main]
    assert tasks, "The trace holds the page's tasks."
    return [float(event.get("tdur", 0)) / 1000 for event in tasks]
