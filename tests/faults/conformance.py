"""Runs the WebSocket protocol's conformance cases against a server, and prints how each of them ended.

A program of its own: the cases come from another age of Python, and what they change in it is best kept from the tests.
Its arguments are the server's host and port, and the cases to run, such as `9.*`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from kosoku import FailureError, run_fuzzingclient

AT_ONCE = 8


async def verdicts(address: str, cases: list[str]) -> dict[str, str]:
    """By case: how the exchange and the close were found to be; `OK` is short for both."""
    try:
        results = await run_fuzzingclient(address, cases, None, concurrency=AT_ONCE)
    except FailureError as failure:
        results = failure.results
    return {
        result.case_id: "OK" if result.passed else f"{result.behavior.value}, {result.behavior_close.value}"
        for result in results
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(verdicts(sys.argv[1], sys.argv[2:]))), flush=True)  # noqa: T201
    os._exit(0)  # the runner's own threads may abort a process that takes its time to leave
