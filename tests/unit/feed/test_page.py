"""What the page says of a feed, and how it is asked, without any engine."""

import json
import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.template.loader import render_to_string
from django.test import RequestFactory

from feed.page import directory, reads, views
from feed.page.cards import Relations, short_text, stranger
from ranking import pipeline

POST = {
    "id": str(uuid4()),
    "author": {"id": str(uuid4()), "username": "gita", "display_name": "Gita"},
    "created_at": "2026-11-29T09:00:00Z",
    "text": "Good morning",
    "media": [],
    "counts": {},
    "seen": False,
}


@pytest.fixture(autouse=True)
def _no_engines(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.DEMO = True
    page = pipeline.Page(
        items=(json.dumps(POST).encode(),),
        cursor=None,
        has_more=False,
        cache_hit=True,
        algorithm=pipeline.TIME,
        snapshot="0" * 20,
        snapshot_replaced=False,
        generated_at="2026-11-29T09:00:00Z",
        stale=False,
    )
    monkeypatch.setattr(pipeline, "page", lambda *_, **__: page)
    monkeypatch.setattr(pipeline, "breaker_state", lambda: "closed")
    monkeypatch.setattr(directory, "relations", lambda *_: Relations())
    monkeypatch.setattr(directory, "search", lambda _: [])


def shown(member: UUID) -> str:
    context = {"member": stranger(member), "may_act": False, **reads.read(member)}
    return render_to_string("feed/_feed.html", context) + render_to_string("feed/_status.html", context)


@pytest.mark.parametrize(("percent", "fails"), [(100, True), (0, False)])
def test_order_of_time_is_an_outage_only_for_whom_feeds_are_ranked(settings: Any, percent: int, fails: bool) -> None:
    settings.FEED_CH_PERCENT = percent
    page = shown(uuid4())
    assert ("ClickHouse does not answer" in page) is fails
    assert ('<div class="warn" title="ch: ' in page) is fails


def test_a_pulse_asks_for_no_more_posts_than_it_is_told_of() -> None:
    """Whoever has read on for long would ask by an address that no proxy takes."""
    bound = re.search(r'hx-include="#shown, ([^"]*)"', shown(uuid4()))
    assert bound
    assert f"li:nth-child(-n+{reads.MOST_LIVE}) " in bound[1]


@pytest.mark.parametrize("view", [views.home, views.members])
def test_a_head_is_answered_as_a_get(view: Any) -> None:
    answer = view(RequestFactory().head("/", {"q": "gita"}))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("one two", "one two"),
        ("one two three", "one two …"),
        ("one two\nthree", "one two …"),
        ("ok 東京は夜の七時です", "ok 東京は夜の七時 …"),
        ("ok thisisonewordonly", "ok thisiso …"),
        # A family of three with joiners, a thumb with a colour, a flag of two letters, an accent of its own.
        ("abcdefg👩‍👩‍👧", "abcdefg …"),
        ("abcdefghi👍🏽", "abcdefghi …"),
        ("abcde🇩🇪🇫🇷🇮🇹", "abcde🇩🇪🇫🇷 …"),
        ("abcdefghie\N{COMBINING ACUTE ACCENT}f", "abcdefghi …"),
        ("e" + "\N{COMBINING ACUTE ACCENT}" * 20, "e" + "\N{COMBINING ACUTE ACCENT}" * 9 + " …"),
    ],
)
def test_a_text_is_cut_between_words_or_at_least_between_characters(text: str, short: str) -> None:
    assert short_text(text, 10) == short
