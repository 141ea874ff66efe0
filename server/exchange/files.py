"""What exported files are called: for any file system, and in the header that tells a browser.

Knows nothing of what is in them.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote

from server.titles import one_line

NAME_BYTES = 120  # with its ending it must fit what file systems and headers take
_FORBIDDEN = re.compile(r'[\\/:*?"<>|%]')
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)


def file_name(title: str, ending: str) -> str:
    """A name made of `title`, with `ending`, such as `.json`."""
    name = " ".join(_FORBIDDEN.sub(" ", one_line(title)).split())
    name = name.encode("utf-8", "ignore")[:NAME_BYTES].decode("utf-8", "ignore").strip(" .")
    if not name or _RESERVED.fullmatch(name):
        name = f"chat {name}".strip()
    return name + ending


def content_disposition(name: str) -> str:
    """The header (RFC 6266) that saves an answer as `name`: plain for old programs, exact (RFC 8187) for others."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    simple = re.sub(r"[^A-Za-z0-9 ._()+,=-]", "", ascii_only).strip()
    if simple == name:
        return f'attachment; filename="{name}"'
    if simple.startswith(".") or not simple:
        simple = f"chat{simple}"
    return f"attachment; filename=\"{simple}\"; filename*=UTF-8''{quote(name, safe='')}"
