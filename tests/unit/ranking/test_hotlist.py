"""A kept post, marked as seen by the viewer who asks."""

import pytest

from ranking.hotlist import _as_seen


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        (b'{"text":"a","seen":false,"score":1.5}', b'{"text":"a","seen":true,"score":1.5}'),
        # What a post says is not what is said of it.
        (rb'{"text":"\"seen\":false","seen":false}', rb'{"text":"\"seen\":false","seen":true}'),
        (b'{"text":"a","seen":true,"score":1.5}', b'{"text":"a","seen":true,"score":1.5}'),
        (b'{"text":"a","score":1.5}', b'{"text":"a","score":1.5}'),
    ],
)
def test_a_kept_post_as_its_viewer_has_seen_it(kept: bytes, shown: bytes) -> None:
    assert _as_seen(kept) == shown
