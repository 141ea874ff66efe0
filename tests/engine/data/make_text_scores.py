"""Writes text_scores.json: what the reference path thinks of each token of public_domain.txt.

    python tests/engine/data/make_text_scores.py

All logits would be 250 MB. Kept for each position are the log-probability of the token that comes, the likeliest token,
and by how much its logit leads: enough for a perplexity, and to tell which disagreements are near-ties.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from engine.config import EngineConfig
from engine.llm_engine import LLMEngine
from engine.step import Span, StepInput, blocks_for

HERE = Path(__file__).parent
MODEL = HERE.parents[2] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
TEXT, OUTPUT = HERE / "public_domain.txt", HERE / "text_scores.json"


def log_probabilities(logits: Tensor, token_ids: list[int]) -> Tensor:
    """Of the tokens that come: logits [tokens, vocabulary] -> [tokens - 1]."""
    return logits[:-1].log_softmax(1).gather(1, torch.tensor(token_ids[1:])[:, None])[:, 0]


def main() -> None:
    engine = LLMEngine.from_gguf(MODEL, config=EngineConfig(dtype_path="reference", threads=1, device="cpu"))
    ids = engine.tokenizer.encode(TEXT.read_text(encoding="utf-8"))
    model = engine._runner._model
    step = StepInput(ids, [Span(0, len(ids), range(blocks_for(len(ids))))], list(range(len(ids))))
    with torch.inference_mode():
        logits = model.forward(step, model.make_cache(blocks_for(len(ids))))
    top = logits.topk(2)
    scores = {
        "ids": ids,
        "log_probabilities": [round(value, 5) for value in log_probabilities(logits, ids).tolist()],
        "likeliest": top.indices[:, 0].tolist(),
        "lead": [round(value, 4) for value in (top.values[:, 0] - top.values[:, 1]).tolist()],
    }
    lines = ",\n".join(f'"{name}": {json.dumps(values)}' for name, values in scores.items())
    OUTPUT.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
