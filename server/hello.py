"""The first thing a client is told, over whatever it comes: which conversation this is, and where it stands."""

from __future__ import annotations

from server.hub import Hub
from server.protocol import Hello
from server.session import Session
from server.subscriber import Subscriber


def hello(hub: Hub, session: Session, subscriber: Subscriber) -> Hello:
    """What `subscriber`, who has just come to `session`, needs in order to come back."""
    return Hello(
        session=session.id,
        epoch=session.epoch,
        head=session.head,
        recovered=subscriber.recovered,
        title=session.about.title,
        model=hub.current,
        max_message_chars=hub.options.max_message_chars,
        max_frame_bytes=hub.options.max_frame_bytes,
    )
