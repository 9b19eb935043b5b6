from dataclasses import dataclass

from ingestion.decoders.base import Row, Text, Timestamp, Uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow(Row):
    """Who blocked or muted whom (`kind`: block or mute)."""

    TABLE = "blocks"
    TARGET = "blocks_cdc"
    KEY = ("blocker_id", "blocked_id", "kind")

    id: Uuid
    blocker_id: Uuid
    blocked_id: Uuid
    kind: Text
    created_at: Timestamp
