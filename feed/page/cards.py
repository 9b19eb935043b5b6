"""What the page shows of a post, worked out from the feed's answer. Pure: relations and the time are passed in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from unicodedata import category
from uuid import UUID

SHORT_TEXT = 400
_SOURCES = {
    "followees": ("Following", "By someone this member follows"),
    "trending": ("Trending", "Among what the whole community reacts to now"),
    "affinity": ("Affinity", "By an author this member often reacted to"),
    "newest": ("Newest", "One of the newest posts of all, since nothing else is there for this member"),
}
COUNTS = ("likes", "comments", "shares", "impressions")
PARTS = ("freshness", "engagement", "affinity")
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))
_JOINER = "\N{ZERO WIDTH JOINER}"
# Accents, joiners, the colours of skins: what belongs to the character before it.
_BELONGS = {"Mn", "Mc", "Me", "Cf", "Sk"}
# Two of them are a flag.
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))


@dataclass(frozen=True, slots=True)
class Part:
    """One addend of a score. scale: the share that fills a bar. `width`: how long its bar is, 0 to 100."""

    name: str
    value: float
    weight: float
    scale: float = 1.0

    @property
    def share(self) -> float:
        return self.value * self.weight

    @property
    def width(self) -> float:
        return round(100 * min(1.0, max(0.0, self.share / (self.scale or 1.0))), 1)


@dataclass(frozen=True, slots=True)
class Source:
    """Why a post was a candidate, in a word and in a sentence."""

    name: str
    label: str
    why: str


@dataclass(frozen=True, slots=True)
class Person:
    """A member as the page names them."""

    id: UUID
    name: str
    username: str

    @property
    def initials(self) -> str:
        words = [word for word in self.name.split() if word[0].isalnum()]
        return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper() or "?"

    @property
    def hue(self) -> int:
        """One of eight colours, always the same for the same member."""
        return self.id.int % 8


def stranger(identifier: UUID) -> Person:
    """A member whose name cannot be read at the moment, or who is gone."""
    short = str(identifier)[-6:]
    return Person(identifier, f"Member {short}", short)


@dataclass(frozen=True, slots=True)
class Relations:
    """What ties the viewer to the posts of a page, and the posts' reactions of now: post id → likes and comments.
    `known` is false while PostgreSQL does not answer."""

    known: bool = True
    following: Collection[UUID] = frozenset()
    liked: Collection[UUID] = frozenset()
    reactions: Mapping[UUID, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Card:
    """A post as the page shows it."""

    id: UUID
    author: Person
    text: str
    created_at: datetime
    age: str
    media: int
    counts: Mapping[str, int]
    seen: bool
    sources: Sequence[Source]
    parts: Sequence[Part]
    final: float | None
    moved: int
    liked: bool
    following: bool

    @property
    def short(self) -> str:
        return short_text(self.text, SHORT_TEXT)

    @property
    def long(self) -> bool:
        return len(self.text) > SHORT_TEXT

    @property
    def moved_down(self) -> int:
        """How many places diversity moved it down; what moved up into the gap broke no rule."""
        return max(0, self.moved)


def short_text(text: str, length: int) -> str:
    """The text, cut at a word when it is longer than that; in the middle of one that has more than half of the length,
    as there are in scripts without spaces, but of no character that is several code points."""
    if len(text) <= length:
        return text
    places = range(length, length // 2, -1)
    between_words = (place for place in places if text[place].isspace())
    elsewhere = (place for place in places if not _is_within(text, place))
    end = next(between_words, None) or next(elsewhere, length)
    return text[:end].rstrip() + " …"


def _is_within(text: str, place: int) -> bool:
    """Whether a cut before `place` divides what is one character to a reader."""
    before = text[:place]
    if text[place] in _FLAG_LETTERS:
        return (place - len(before.rstrip(_FLAG_LETTERS))) % 2 == 1
    return before.endswith(_JOINER) or category(text[place]) in _BELONGS


def moment_text(seconds: float) -> str:
    """How old a snapshot is, to the second while that is worth knowing: `now`, `12 s old`, `4 min old`."""
    if seconds < 1:
        return "now"
    return f"{int(seconds)} s old" if seconds < 120 else f"{age_text(seconds)} old"


def age_text(seconds: float) -> str:
    """How old something is, as one would say it: `just now`, `4 min`, `3 h`, `2 d`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "just now"


def source(name: str) -> Source:
    label, why = _SOURCES.get(name, (name.capitalize(), "A source of candidates"))
    return Source(name, label, why)


def author_of(item: Mapping[str, Any]) -> Person:
    """The author of a post; their names are null while PostgreSQL does not answer."""
    author = item["author"]
    identifier = UUID(author["id"])
    if not author.get("username"):
        return stranger(identifier)
    return Person(identifier, author.get("display_name") or author["username"], author["username"])


def scale_of(items: Collection[Mapping[str, Any]]) -> float:
    """The largest share of any score on a page: with it the bars of the page compare."""
    weighed = (item for item in items if item.get("weights"))
    return max((float(item[name]) * item["weights"][name] for item in weighed for name in PARTS), default=1.0)


def card(item: Mapping[str, Any], *, relations: Relations, now: datetime, scale: float = 1.0) -> Card:
    """A post of an explained feed as a card for this viewer. A feed in order of time has no score."""
    identifier, author = UUID(item["id"]), author_of(item)
    created = datetime.fromisoformat(item["created_at"])
    counts = {**(item.get("counts") or {}), **relations.reactions.get(identifier, {})}
    weights = item.get("weights")
    return Card(
        id=identifier,
        author=author,
        text=item.get("text") or "",
        created_at=created,
        age=age_text((now - created).total_seconds()),
        media=len(item.get("media") or ()),
        counts={name: int(counts.get(name) or 0) for name in COUNTS},
        seen=bool(item.get("seen")),
        sources=[source(name) for name in item.get("sources") or ()],
        parts=[Part(name, item[name], weights[name], scale) for name in PARTS] if weights else (),
        final=item.get("final"),
        moved=int(item.get("moved_by_diversity") or 0),
        liked=identifier in relations.liked,
        following=author.id in relations.following,
    )
