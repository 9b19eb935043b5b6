"""The content key of a post: equal for posts that say the same thing with the same media.

Written once by ingestion beside each post, compared by ranking, so it lives below both.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

# Letters, marks, digits and symbols of any script count; spaces, punctuation and controls do not.
_KEPT = frozenset("LMNS")


def normalised(text: str) -> str:
    """`text` in NFKC, lower case, with only letters, marks, numbers and symbols left (emoji are symbols)."""
    folded = unicodedata.normalize("NFKC", text).lower()
    return "".join(char for char in folded if unicodedata.category(char)[0] in _KEPT)


def content_key(text: str, media: Sequence[Mapping[str, Any]]) -> int:
    """64 bits that tell contents apart; 0 for a post with nothing in it, which is nobody's duplicate.

    media: the post's attachments in order; each is known by its `hash`, or by its `url` when it has none.
    """
    words = normalised(text)
    attachments = [str(item.get("hash") or item.get("url") or "") for item in media]
    if not words and not any(attachments):
        return 0
    digest = hashlib.blake2b(digest_size=8)
    digest.update(words.encode("utf-8", "surrogatepass"))
    for attachment in attachments:
        digest.update(b"\0" + attachment.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "big") or 1
