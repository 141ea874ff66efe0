"""Whether documents keep to their schema, and what that costs: `python -m bench.structured [--count 50]`, a minute.

The embedded model, which is too small to write JSON by itself, answers at temperature 1 under a schema whose longest
document fits. Every answer is parsed and validated by another library. Then the same prompts are answered in words. A
token's price is in processor time, which a busy machine disturbs least; what a mask takes of it is measured by itself.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema

from bench.engine import EMBEDDED
from engine.config import EngineConfig
from engine.guide import Guide
from engine.llm_engine import LLMEngine
from engine.sampling_params import SamplingParams
from engine.structured import Grammars, json_grammar

SUBJECTS = (
    "a baker",
    "a sailor",
    "a king",
    "a nurse",
    "a thief",
    "a poet",
    "a farmer",
    "a child",
    "a judge",
    "a robot",
)
PROMPT = "Describe {subject} who lives in {place} as JSON."
PLACES = ("Paris", "a lighthouse", "the desert", "a small village", "space")
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "mood": {"enum": ["happy", "sad", "angry", "calm"]},
        "likes": {"type": "array", "items": {"type": "string", "maxLength": 10}, "maxItems": 3},
        "home": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 16},
                "code": {"type": "string", "pattern": "^[0-9]{5}$"},
            },
            "required": ["city", "code"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "age", "mood", "likes", "home"],
    "additionalProperties": False,
}
# Bytes, and so tokens, of the longest document: a character takes four at most, and two where it is escaped.
LONGEST = len('{"name":"","age":120,"mood":"happy","likes":["","",""],"home":{"city":"","code":"12345"}}') + 4 * 66


@dataclass(slots=True)
class Run:
    """Answers and what they took."""

    texts: dict[str, str] = field(default_factory=dict)
    token_ids: dict[str, list[int]] = field(default_factory=dict)
    reasons: dict[str, str | None] = field(default_factory=dict)
    tokens: int = 0
    steps: int = 0
    cpu_seconds: float = 0.0

    @property
    def milliseconds(self) -> float:
        """Of processor time, a token."""
        return 1000 * self.cpu_seconds / self.tokens


def prompts(count: int) -> list[str]:
    """So many, all different up to 50."""
    every = [PROMPT.format(subject=subject, place=place) for place in PLACES for subject in SUBJECTS]
    return [every[number % len(every)] for number in range(count)]


def answer(engine: LLMEngine, asked: list[str], at_once: int, guide: Guide | None) -> Run:
    """Answer the prompts at temperature 1, so many at once, in the form of `guide` or in words."""
    run = Run()
    for start in range(0, len(asked), at_once):
        for number, prompt in enumerate(asked[start : start + at_once], start):
            ids = engine.tokenizer.encode_chat([{"role": "user", "content": prompt}])
            params = SamplingParams(temperature=1.0, seed=number, max_tokens=LONGEST if guide else 60)
            engine.add_request(str(number), ids, params, guide=guide.fork() if guide else None)
        while engine.has_work():
            before = time.process_time()
            outputs = engine.step()
            reading = any(output.prefilled < output.prompt_tokens or not output.new_token_ids for output in outputs)
            run.cpu_seconds += 0 if reading else time.process_time() - before
            run.tokens += 0 if reading else sum(len(output.new_token_ids) for output in outputs)
            run.steps += not reading
            for output in outputs:
                run.texts[output.request_id] = run.texts.get(output.request_id, "") + output.text
                run.token_ids.setdefault(output.request_id, []).extend(output.new_token_ids)
                run.reasons[output.request_id] = output.finish_reason
    return run


def valid(run: Run) -> int:
    """How many answers ended by themselves and are documents of the schema."""
    count = 0
    for name, text in run.texts.items():
        try:
            jsonschema.validate(json.loads(text), SCHEMA)
        except (ValueError, jsonschema.ValidationError) as error:
            print(f"not valid: {text!r}: {error}")
        else:
            count += run.reasons[name] == "stop"
    return count


def mask_milliseconds(guide: Guide, run: Run, engine: LLMEngine) -> list[float]:
    """The processor time that each of the masks takes which these documents need."""
    taken: list[float] = []
    for tokens in run.token_ids.values():
        place = guide.fork()
        for token in tokens:
            before = time.process_time()
            for _ in place.masks((), engine.tokenizer.vocab_size):
                taken.append(1000 * (time.process_time() - before))
            place.consume(token)
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    engine = LLMEngine.from_gguf(options.model, config=EngineConfig(threads=options.threads))
    before = time.process_time()
    grammars = Grammars(engine.tokenizer)
    guide = grammars.guide(json_grammar({"type": "boolean"}))
    first = time.process_time() - before
    before = time.process_time()
    guide = grammars.guide(json_grammar(SCHEMA))
    print(f"{engine.computing}; vocabulary made ready in {first:.2f} s, schema in {time.process_time() - before:.4f} s")
    for at_once in (1, 16):
        asked = prompts(options.count)
        documents = answer(engine, asked, at_once, guide)
        words = answer(engine, asked, at_once, None)
        masks = mask_milliseconds(guide, documents, engine)
        price = f"{documents.milliseconds:.2f} ms a token in documents, {words.milliseconds:.2f} ms in words"
        ratio = documents.milliseconds / words.milliseconds
        print(
            f"{at_once} at once: {valid(documents)} of {len(asked)} valid; {price}, ratio {ratio:.2f};"
            f" a mask {sum(masks) / len(masks):.3f} ms, at most {max(masks):.1f};"
            f" {documents.tokens / documents.steps:.2f} tokens a step"
        )
    engine.tokenizer.close()


if __name__ == "__main__":
    main()
