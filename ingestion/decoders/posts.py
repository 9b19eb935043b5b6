from dataclasses import dataclass
from typing import Any

from ingestion.decoders.base import JsonList, Row, Text, Timestamp, Uuid
from nova.content import content_key


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRow(Row):
    """A post. Its key holds the author and the time too, because posts_by_author is ordered by them."""

    TABLE = "posts"
    TARGET = "posts_cdc"
    KEY = ("author_id", "created_at", "id")

    id: Uuid
    author_id: Uuid
    text: Text
    media: JsonList
    created_at: Timestamp
    updated_at: Timestamp

    def derived(self) -> dict[str, Any]:
        """The key by which ranking knows posts that say the same."""
        return {"content_key": content_key(self.text, self.media)}
