from dataclasses import dataclass

from ingestion.decoders.base import Row, Text, Timestamp, Uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentRow(Row):
    """Who said what about which post, and whose post it was."""

    TABLE = "comments"
    TARGET = "comments_cdc"
    KEY = ("id",)

    id: Uuid
    user_id: Uuid
    post_id: Uuid
    post_author_id: Uuid
    text: Text
    created_at: Timestamp
    updated_at: Timestamp
