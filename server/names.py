"""Conversations that go by a name which a client has chosen, and not by an id that the server made.

A name means something to its owner alone. Knows nothing of sessions, nor of who asks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LIVES = 4


def ids_of(name: str, owner: str) -> Sequence[str]:
    """The ids that a conversation of that name may have, in the order in which they are taken.

    There are several, since a deleted conversation keeps its id for as long as it can be had back, and whoever goes on
    under its name meanwhile begins another one.
    """
    return [
        hashlib.blake2b(f"{life}\0{owner}\0{name}".encode(), digest_size=16, person=b"name").hexdigest()
        for life in range(LIVES)
    ]
