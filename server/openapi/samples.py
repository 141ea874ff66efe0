"""The objects that the examples are made of. Each stands for what the server really gives; a test reads them all."""

from __future__ import annotations

SESSION = "4f1c0e6a9b7d42c58e3f6a1b2c3d4e5f"
USER, ANSWER = "01a1ff09-be5c-7736-9832-688bfe41587e", "01a1ff09-be5c-7736-9832-688bfe41587f"
MODEL = "pytorch/smollm2-135m-instruct"
SAID = [{"role": "user", "content": "What is the capital of France?"}]
WHEN = "2026-01-01T12:00:00Z"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 0}}
DURATIONS = {
    "total_duration": 255_442_000,
    "load_duration": 0,
    "prompt_eval_count": 14,
    "prompt_eval_duration": 110_011_000,
    "eval_count": 2,
    "eval_duration": 145_431_000,
}
OLLAMA_MODEL = {
    "name": f"{MODEL}:latest",
    "model": f"{MODEL}:latest",
    "size": 98_873_056,
    "digest": "2288bf9fd1be4ca66298b8b59e18b4c0bf15cb32c4aeed2644b4403146936996",
    "details": {"format": "gguf", "family": "", "parameter_size": "", "quantization_level": "Q4_1"},
    "capabilities": ["completion"],
}
MODEL_LINE = {
    "name": MODEL,
    "backend": "pytorch",
    "kind": "autoregressive",
    "state": "ready",
    "size": 98_873_056,
    "quantization": "Q4_1",
    "context_length": 8192,
    "capabilities": ["completion", "continue"],
}
OPENAI_MODEL = {"id": MODEL, "object": "model", "created": 1795280191, "owned_by": "pytorch"}
SESSION_LINE = {
    "id": SESSION,
    "title": "Tea",
    "pinned": False,
    "created": 1795280191.5,
    "updated": 1795280260.0,
    "running": False,
}

EXPORTED = {
    "format": "switchboard",
    "version": 1,
    "exported_at": 1795280300.0,
    "sessions": [
        {
            "id": SESSION,
            "title": "Tea",
            "titled": False,
            "pinned": False,
            "created": 1795280191.5,
            "updated": 1795280260.0,
            "settings": {},
            "head": 4,
            "messages": [
                {"id": USER, "role": "user", "message": "Tea?", "selected": True, "at": 1795280191.5},
                {
                    "id": ANSWER,
                    "parent_id": USER,
                    "role": "ai",
                    "message": "Yes.",
                    "finish_reason": "stop",
                    "selected": True,
                    "model": MODEL,
                    "at": 1795280260.0,
                },
            ],
        }
    ],
}
TRANSCRIPT = "# Tea\n\n## Person\n\nTea?\n\n## Answer\n\nYes.\n"
HEALTH = {
    "status": "healthy",
    "engine": "ready",
    "is_ready": True,
    "uptime_seconds": 69.5,
    "request_count": 12,
    "active_requests": 0,
    "tokens_generated": 340,
    "sessions": 1,
    "backends": {"pytorch": {"ok": True}},
}
COMPLETION = {
    "id": f"cmpl-{ANSWER}",
    "object": "text_completion",
    "created": 1795280191,
    "model": MODEL,
    "choices": [{"text": " Paris.", "index": 0, "logprobs": None, "finish_reason": "length"}],
    "usage": USAGE,
}
CHAT_COMPLETION = {
    "id": f"chatcmpl-{ANSWER}",
    "object": "chat.completion",
    "created": 1795280191,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Paris.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE,
}
GENERATED = {
    "model": MODEL,
    "created_at": WHEN,
    "response": "Paris.",
    "done": True,
    "done_reason": "stop",
    **DURATIONS,
}
SHOWN = {
    "modelfile": f"FROM {MODEL}:latest\n",
    "parameters": "",
    "template": "",
    "details": OLLAMA_MODEL["details"],
    "model_info": {"general.architecture": "unknown"},
}
MEASURES = "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running 0.0\n"
ME = {"authentication": True, "name": "laptop", "key": "4f1c0e6a", "owner": "ada", "admin": False}
