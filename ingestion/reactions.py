"""Likes and comments as events: what a change of their rows counts as. The same for the stream and the backfill."""

from datetime import datetime, timedelta
from uuid import UUID, uuid5

from ingestion.contract import AHEAD, BEHIND, Event, table_event
from ingestion.decoders import CommentRow, Decoded, LikeRow

Reaction = LikeRow | CommentRow
TABLES = (LikeRow.TABLE, CommentRow.TABLE)
# The consumer judges an event's age by when it reached Kafka, which is a little later than now.
_OLDEST = BEHIND["table"] - timedelta(hours=1)


def events_of(decoded: Decoded, *, now: datetime) -> list[Event]:
    """What a change adds to the counts and takes from them; nothing for rows older than 90 days, or for a mere edit."""
    old, new = decoded.old, decoded.new
    if not isinstance(new or old, Reaction):
        return []
    if old is not None and new is not None and identity(old) == identity(new):
        return []
    found = []
    if old is not None:
        found += event(old, taken_back=True, now=now)
    if new is not None:
        found += event(new, taken_back=False, now=now)
    return found


def event(row: Reaction, *, taken_back: bool, now: datetime) -> list[Event]:
    """The one event of a reaction that was made or taken back; none when it is too old to count, or when its time has
    not come yet: `verify_sync --repair` counts it once it has."""
    if not -AHEAD <= now - row.created_at <= _OLDEST:
        return []
    return [
        table_event(
            table=row.TABLE,
            row_id=identity(row),
            deleted=taken_back,
            created_at=row.created_at,
            user_id=row.user_id,
            post_id=row.post_id,
            author_id=row.post_author_id,
        )
    ]


def identity(row: Reaction) -> UUID:
    """Who reacted to what with this row: a row that is moved to another post is another reaction."""
    return identity_of(row.id, row.user_id, row.post_id)


def identity_of(row_id: UUID, user_id: UUID, post_id: UUID) -> UUID:
    return uuid5(row_id, f"{user_id}:{post_id}")
