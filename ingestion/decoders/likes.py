from dataclasses import dataclass

from ingestion.decoders.base import Row, Timestamp, Uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class LikeRow(Row):
    """Who likes which post, and whose post it was."""

    TABLE = "likes"
    TARGET = "likes_cdc"
    KEY = ("user_id", "post_id")

    id: Uuid
    user_id: Uuid
    post_id: Uuid
    post_author_id: Uuid
    created_at: Timestamp
