"""What a recording holds beside the stack's own messages. No I/O, no clock, no randomness."""

from __future__ import annotations

from common import codec
from common.codec import value
from common.errors import ProtocolError
from common.messages import (
    ChunkRecord,
    ChunkVerdict,
    CommandResult,
    LogEvent,
    NodeScores,
    SchedulerStatus,
    SessionStatus,
    Transfer,
)


@value
class Header:
    """The first record: when the viewer asked for what. All times of the recording count from that instant."""

    started_unix_sec: float
    video_id: str
    output: str
    paced: bool
    policy: str
    on_missing: str


@value
class ChunkChanges:
    """How the chunk map of the session differs from what the records before made of it."""

    session_id: str
    total_chunks: int
    changed: tuple[ChunkRecord, ...]
    gone: tuple[int, ...]


@value
class Lost:
    """So many records that belong here were left out: they came faster than they may, or than the disk took them."""

    count: int


@value
class End:
    """The last record: how the viewer's command ended; `error` is empty unless it failed outside the session."""

    session_id: str
    outcome: str
    exit_code: int
    error: str


Snapshot = SessionStatus | SchedulerStatus | NodeScores
Item = (
    Snapshot
    | Transfer
    | ChunkVerdict
    | LogEvent
    | CommandResult
    | ChunkChanges
    | Header
    | Lost
    | End
)

_OWN: dict[str, type[Header | ChunkChanges | Lost | End]] = {
    "header": Header,
    "chunks": ChunkChanges,
    "lost": Lost,
    "end": End,
}
_OWN_TAGS: dict[type, str] = {kind: tag for tag, kind in _OWN.items()}
_MESSAGES: frozenset[str] = frozenset(
    codec.tag_of(kind)
    for kind in (
        *(SessionStatus, SchedulerStatus, NodeScores),
        *(Transfer, ChunkVerdict, LogEvent, CommandResult),
    )
)


def encode(item: Item) -> tuple[str, bytes]:
    """Return tag and body."""
    own = _OWN_TAGS.get(type(item))
    if own is not None:
        return own, codec.pack_value(item)
    tag, body = codec.encode(item)
    return tag.decode(), body


def decode(tag: str, body: bytes) -> Item | None:
    """Return what `encode` was given, None for a kind we do not know; raise ProtocolError for a misfit."""
    own = _OWN.get(tag)
    if own is not None:
        return codec.unpack_value(own, body, tag)
    if tag not in _MESSAGES:
        return None
    item = codec.decode([tag.encode(), body])
    if not isinstance(item, Item):
        raise ProtocolError(f"{tag}: does not belong into a recording")
    return item
