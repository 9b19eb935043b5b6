from dataclasses import dataclass

from ingestion.decoders.base import Row, Timestamp, Uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRow(Row):
    """Who follows whom."""

    TABLE = "follows"
    TARGET = "follows_cdc"
    KEY = ("follower_id", "followee_id")

    id: Uuid
    follower_id: Uuid
    followee_id: Uuid
    created_at: Timestamp
