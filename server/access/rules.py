"""Which paths are open to everybody, and which are an administrator's: two tables, and nothing else.

The page's own files say nothing that is not in the program's source, and somebody has to show the log-in; probes are
asked by machines that have no key. Everything else needs one, paths that do not exist included.
"""

from __future__ import annotations

OPEN = frozenset({"/", "/health", "/health/live", "/health/ready", "/version", "/api/login", "/api/logout"})
OPEN_FOLDER = "/static/"
ADMINS = frozenset({("POST", "/api/pull")})


def is_open(path: str) -> bool:
    """Whether that path asks for no key."""
    return path in OPEN or path.startswith(OPEN_FOLDER)


def is_admins(method: str, path: str) -> bool:
    """Whether that changes what is everybody's: the models that lie where the server keeps them."""
    return (method, path) in ADMINS
