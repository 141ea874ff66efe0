"""Finding conversations by words of their titles and messages.

The databases say where words are; what a word is, and which conversation comes first, is the same for all of them. Of
what is said everywhere ("the"), the newest places are looked at, so that a question takes no longer in a long history.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.history.records import About, Found
from server.history.rows import about_of
from server.history.snippets import Snippet, snippet
from server.history.tables import TITLE_MARK, sessions
from server.history.words import Term, terms_of

TITLES = 200  # places that are looked at, the newest
MESSAGES = 1_000
SPARE = 20  # conversations more than are wanted whose texts are compared, since what promised much may be worse
TRIED = 3  # messages of a conversation that are compared for the best snippet

# CROSS JOIN keeps SQLite to this order: down the index from its newest end, until there are enough.
_PLACES = {
    "sqlite": text(
        """
        SELECT entries.session_id, entries.message_id, sessions.updated_at
        FROM entries_index
        CROSS JOIN entries ON entries.id = entries_index.rowid
        CROSS JOIN sessions ON sessions.owner = entries.owner AND sessions.id = entries.session_id
        WHERE entries_index MATCH :words AND entries.owner = :owner AND sessions.deleted_at IS NULL
        ORDER BY entries_index.rowid DESC LIMIT :most
        """
    ),
    "postgresql": text(
        """
        SELECT entries.session_id, entries.message_id, sessions.updated_at
        FROM entries
        JOIN sessions ON sessions.owner = entries.owner AND sessions.id = entries.session_id
        WHERE entries.words @@ CAST(:words AS tsquery) AND entries.owner = :owner AND sessions.deleted_at IS NULL
        ORDER BY entries.id DESC LIMIT :most
        """
    ),
}
_ABOUT = select(sessions).where(
    sessions.c.owner == bindparam("owner"), sessions.c.id.in_(bindparam("ids", expanding=True))
)
# The keys lead, so that each is looked up in the messages' own key.
_TEXTS = {
    "sqlite": text(
        """
        SELECT messages.session_id, messages.id, messages.text
        FROM json_each(:keys) AS keys
        CROSS JOIN messages ON messages.owner = :owner
            AND messages.session_id = json_extract(keys.value, '$[0]')
            AND messages.id = json_extract(keys.value, '$[1]')
        """
    ),
    "postgresql": text(
        """
        SELECT messages.session_id, messages.id, messages.text
        FROM json_array_elements(CAST(:keys AS json)) AS keys
        JOIN messages ON messages.owner = :owner
            AND messages.session_id = keys.value ->> 0 AND messages.id = keys.value ->> 1
        """
    ),
}


@dataclass(slots=True)
class _Candidate:
    """A conversation with hits: in its title or not, and in which messages, the newest first."""

    updated_at: float
    in_title: bool = False
    message_ids: list[str] = field(default_factory=list)

    @property
    def promise(self) -> tuple[bool, int, float]:
        """What is known of its rank before its texts are."""
        return self.in_title, len(self.message_ids).bit_length(), self.updated_at


async def find(connection: AsyncConnection, owner: str, question: str, limit: int) -> Sequence[Found]:
    """The conversations that hold every word of `question` in their title, or in one message, the best first."""
    terms = terms_of(question)
    if not terms or limit < 1:
        return []
    candidates = await _candidates(connection, owner, terms)
    likely = dict(sorted(candidates.items(), key=lambda item: item[1].promise, reverse=True)[: limit + SPARE])
    abouts = await connection.execute(_ABOUT, {"owner": owner, "ids": list(likely)})
    keys = [(session_id, name) for session_id, candidate in likely.items() for name in candidate.message_ids[:TRIED]]
    texts = await connection.execute(_TEXTS[connection.dialect.name], {"owner": owner, "keys": json.dumps(keys)})
    said = {(session_id, name): content for session_id, name, content in texts}
    ranking = asyncio.to_thread(_ranked, [about_of(row) for row in abouts.mappings()], likely, said, terms)
    return (await ranking)[:limit]


async def _candidates(connection: AsyncConnection, owner: str, terms: Sequence[Term]) -> dict[str, _Candidate]:
    places = _PLACES[connection.dialect.name]
    candidates: dict[str, _Candidate] = {}
    for mark, most in ((TITLE_MARK, TITLES), ("", MESSAGES)):
        words = _question(terms, mark, connection.dialect.name)
        for place in await connection.execute(places, {"words": words, "owner": owner, "most": most}):
            candidate = candidates.setdefault(place.session_id, _Candidate(place.updated_at))
            if mark:
                candidate.in_title = True
            else:
                candidate.message_ids.append(place.message_id)
    return candidates


def _question(terms: Sequence[Term], mark: str, dialect: str) -> str:
    """The words that must all be there, as the database is asked. They hold no character that it would act upon."""
    words = [(mark + word, term.exact) for term in terms for word in term.words]
    if dialect == "sqlite":
        return " AND ".join(f'"{word}"' if exact else f'"{word}"*' for word, exact in words)
    return " & ".join(f"'{word}'" if exact else f"'{word}':*" for word, exact in words)


def _ranked(
    abouts: Sequence[About],
    candidates: dict[str, _Candidate],
    said: dict[tuple[str, str], str],
    terms: Sequence[Term],
) -> list[Found]:
    """What was found, the best first, and what changed last before equals."""
    ranked: list[tuple[tuple[float, float], Found]] = []
    for about in abouts:
        candidate = candidates[about.id]
        texts = [(name, said[about.id, name]) for name in candidate.message_ids[:TRIED] if (about.id, name) in said]
        best = max(
            ((snippet(content, terms), name) for name, content in texts),
            key=lambda tried: (tried[0].found, tried[0].near, tried[0].whole),
            default=None,
        )
        title = snippet(about.title, terms, length=len(about.title)) if candidate.in_title else None
        in_title = title is not None and title.found == len(terms)
        if best and best[0].found == len(terms):
            points = _points(best[0], terms, in_title=in_title) + 0.25 * math.log2(len(candidate.message_ids))
            found = Found(about, best[1], best[0].text, best[0].marks)
        elif in_title and title:
            points = _points(title, terms, in_title=True)
            found = Found(about, None, title.text, title.marks)
        else:
            continue  # its pairs of characters are there, but not next to each other
        ranked.append(((points, about.updated_at), found))
    return [found for _, found in sorted(ranked, key=lambda item: item[0], reverse=True)]


def _points(best: Snippet, terms: Sequence[Term], *, in_title: bool) -> float:
    """A title counts most, then whole words over beginnings of longer ones, then words that stand near each other."""
    return 4.0 * in_title + best.whole / len(terms) + 0.5 * best.near / len(terms)
