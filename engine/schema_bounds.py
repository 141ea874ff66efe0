"""JSON that strangers send and that is to be compiled or shown: written out once it is known to be of a sane size.

Knows nothing of schemas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from engine.errors import GrammarError

MAX_LENGTH = 64 << 10  # characters
MAX_NESTING = 64


def bounded_json(value: object) -> str:
    """`value` as JSON in one line. Raises GrammarError for what is too long, nested too deeply, or no JSON."""
    if is_deeper(value, MAX_NESTING):
        raise GrammarError(f"The JSON of the request is nested more than {MAX_NESTING} deep.")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise GrammarError("The schema is no JSON.") from error
    if len(text) > MAX_LENGTH:
        raise GrammarError(f"The JSON of the request is longer than {MAX_LENGTH:,} characters.")
    return text


def is_deeper(value: object, levels: int) -> bool:
    """Whether JSON has more levels than that. Looks no deeper, so it needs no deep stack."""
    level = [value]
    for _ in range(levels + 1):
        level = [item for one in level for item in _children(one)]
        if not level:
            return False
    return True


def _children(value: object) -> Sequence[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list | tuple) else ()
