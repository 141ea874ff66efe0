"""Writes greedy_answers.json: what transformers answers to 20 prompts on the embedded model's dequantized weights.

    python tests/engine/data/make_greedy_answers.py

The weights are dequantized by the `gguf` package, not by ours.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from bench.transformers_model import load_transformers
from engine.loader.gguf import GGUFFile
from engine.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
OUTPUT = Path(__file__).with_name("greedy_answers.json")
TOKENS = 64
PROBED = (0, 1, 2, 198, 260, 1000, 7042, 30_000, 49_151)  # token ids whose logits are kept
PROMPTS = (
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "Explain photosynthesis to a child.",
    "List three uses of a paper clip.",
    "What is 17 times 23?",
    "Translate 'good morning' to Spanish.",
    "Why is the sky blue?",
    "Write a Python function that reverses a string.",
    "Who wrote Romeo and Juliet?",
    "Tell me a joke.",
    "How do I boil an egg?",
    "Summarize the plot of Hamlet in two sentences.",
    "What are the benefits of exercise?",
    "Name the planets of the solar system.",
    "What does HTTP stand for?",
    "Describe a rainy day in a city.",
    "Is a tomato a fruit or a vegetable?",
    "Give me a recipe for pancakes.",
    "Was ist die Hauptstadt von Österreich? 🇦🇹",
    "Continue: Once upon a time, in a land far away,",
)


def load_reference(path: Path) -> LlamaForCausalLM:
    """The model in float32, computed in the plainest way that transformers has."""
    return load_transformers(path, attention="eager")


@torch.inference_mode()
def answer(model: LlamaForCausalLM, prompt: list[int], count: int) -> tuple[list[int], torch.Tensor]:
    """`count` greedy tokens after `prompt`, the end token included as any other, and the logits each came from."""
    ids, cache, logits, fed = [], None, [], torch.tensor([prompt])
    for _ in range(count):
        output = model(input_ids=fed, past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        logits.append(output.logits[0, -1])
        ids.append(int(logits[-1].argmax()))
        fed = torch.tensor([[ids[-1]]])
    return ids, torch.stack(logits)


def main() -> None:
    model = load_reference(MODEL)
    with GGUFFile.open(MODEL) as file:
        tokenizer = Tokenizer.from_gguf(file)
    cases = []
    for text in PROMPTS:
        prompt = tokenizer.encode_chat([{"role": "user", "content": text}])
        ids, logits = answer(model, prompt, TOKENS)
        probes = logits[:: TOKENS // 4][:, list(PROBED)]
        top = logits.topk(2).values
        margin = float((top[:, 0] - top[:, 1]).min())
        cases.append(
            {
                "text": text,
                "prompt": prompt,
                "answer": ids,
                "smallest_margin": round(margin, 5),
                "logits": [[round(value, 5) for value in row] for row in probes.tolist()],
            }
        )
    tokenizer.close()
    lines = ",\n".join(json.dumps(case) for case in cases)
    OUTPUT.write_text(
        f'{{"probed": {list(PROBED)}, "every": {TOKENS // 4}, "cases": [\n{lines}\n]}}\n', encoding="utf-8"
    )


if __name__ == "__main__":
    main()
