"""The row classes, one per source table."""

from ingestion.decoders.base import Decoded, Row, encode
from ingestion.decoders.blocks import BlockRow
from ingestion.decoders.comments import CommentRow
from ingestion.decoders.follows import FollowRow
from ingestion.decoders.likes import LikeRow
from ingestion.decoders.posts import PostRow

ROWS: dict[str, type[Row]] = {row.TABLE: row for row in (PostRow, FollowRow, LikeRow, CommentRow, BlockRow)}

__all__ = ["ROWS", "BlockRow", "CommentRow", "Decoded", "FollowRow", "LikeRow", "PostRow", "Row", "encode"]
