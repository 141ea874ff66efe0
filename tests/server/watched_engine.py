"""The engine with the tiny model, as a test watches it: when it rests, what its steps gave, and held in mid-step."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from backends.base import Notice, Stats, StatsChanged
from backends.pytorch.adapter import PyTorchBackend
from engine.llm_engine import LLMEngine
from engine.output import StepOutput
from tests.tiny_model import write_tiny_model

PATIENCE_S = 30.0


class Watched(PyTorchBackend):
    """The engine with the tiny model. Says when its numbers have changed."""

    def __init__(self, folder: Path, context: int = 1024, **options: Any) -> None:
        model = write_tiny_model(folder / "tiny.gguf", context_length=context)
        super().__init__(model, folder, threads=1, **options)
        self._news = asyncio.Event()

    async def rest(self) -> Stats:
        """Wait until nothing runs, waits, or holds memory."""
        while (stats := self.stats()) is None or stats.running or stats.waiting or stats.blocks_used:
            await self._news.wait()
            self._news.clear()
        return stats

    def hear(self) -> None:
        """From now on, note the changes, which the hub hears of as before."""
        told = self.notify

        def listen(notice: Notice) -> None:
            if isinstance(notice, StatsChanged):
                self._news.set()
            told(notice)

        self.notify = listen


class Steps:
    """Counts the steps that worked on a request, and holds the engine between two of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.outputs: list[StepOutput] = []
        self.held = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._hold_after: int | None = None
        step = LLMEngine.step

        def counted(engine: LLMEngine) -> list[StepOutput]:
            outputs = step(engine)
            self.outputs += outputs
            if self._hold_after is not None and len(self.outputs) >= self._hold_after:
                self._hold_after = None
                self._going.clear()
                self.held.set()
                self._going.wait(PATIENCE_S)
            return outputs

        monkeypatch.setattr(LLMEngine, "step", counted)

    def of(self, request_id: str) -> int:
        return sum(output.request_id == request_id for output in self.outputs)

    def hold_after(self, outputs: int) -> None:
        """Hold the engine at the end of the step that gives that many outputs in all, until it is released."""
        self._hold_after = outputs

    def release(self) -> None:
        """Let it go on."""
        self._going.set()
