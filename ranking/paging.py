"""What follows a cursor: in its snapshot while that is there, else in a new ranking without what was shown."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import compress
from uuid import UUID

from django.db import DatabaseError

from community import selectors
from nova import hidings
from nova.errors import NovaError
from ranking import building, cache, snapshot
from ranking.building import TIME
from ranking.cursor import Cursor
from ranking.entries import Entry
from ranking.ladder import ALL, Found, first
from ranking.snapshot import Missing, Slice, Snapshot


def following(viewer: str, since: Cursor, limit: int, explain: bool, now: datetime) -> Found:
    """The next `limit` entries after a cursor. Raises `nova.errors.Transient` when nothing can answer."""

    def read(name: str) -> Slice | Missing:
        return snapshot.read(
            viewer, algorithm=since.asked, snapshot=name, position=since.position, limit=limit, explain=explain
        )

    part = read(since.snapshot)
    if isinstance(part, Slice):
        return Found(part, building.HIT)
    ids = snapshot.ids(viewer, since.snapshot)
    if ids is None:
        return _go_on(viewer, since, _again(viewer, since, now), None, limit)
    whole = first(viewer, since.asked, ALL, True, now)
    if whole.last_good and whole.part.about.snapshot == since.snapshot:
        head = read(snapshot.LAST_GOOD)
        if isinstance(head, Slice):
            return replace(whole, part=head)
    return _go_on(viewer, since, whole, ids, limit)


def _again(viewer: str, since: Cursor, now: datetime) -> Found:
    """The feed of the cursor's moment, worked out once more: nobody remembers what it was. Kept by nobody. What came
    since takes no room in it."""
    made = snapshot.made_at(since.snapshot)
    at, until = (datetime.fromtimestamp(made, UTC), _end(made)) if made else (now, None)
    # Each once: what is frozen takes its whole time before it fails.
    for algorithm in dict.fromkeys((since.made_by, since.asked, TIME)):
        try:
            again = building.make(viewer, algorithm, at, until=until)
            return Found(again.cut(0, ALL), building.MISS)
        except (NovaError, DatabaseError):
            continue
    return first(viewer, since.asked, ALL, True, now)


def _end(moment: float) -> datetime:
    """The end of a snapshot's moment, which its id tells to the millisecond."""
    return datetime.fromtimestamp(moment + 0.001, UTC)


def _go_on(viewer: str, since: Cursor, whole: Found, ids: Sequence[str] | None, limit: int) -> Found:
    """The rest of a feed whose snapshot is gone, as a snapshot of its own for this reader.

    What was shown is left out. What was still to come is shown, and what ranks below the last post shown; what is new
    above it belongs to the first page of the feed, not in the middle of this one. ids: what the snapshot held, None
    when nobody remembers: then all is to come that was there at its moment.
    """
    about, entries = whole.part.about, whole.part.entries
    had = since.shown_before + since.position
    shown, due = (ids or [])[:had], set((ids or [])[had:])
    past, end = set(shown), _end(snapshot.made_at(since.snapshot) or 0.0)

    def follows(entry: Entry) -> bool:
        if ids is None:
            return entry.created_at <= end
        return entry.id in due or entry.key < since.last or about.algorithm != since.made_by

    new = compress(entries, since.not_shown(entry.id for entry in entries))
    rest = [entry for entry in new if entry.id not in past and follows(entry)]
    ranked_at = datetime.fromtimestamp(about.started, UTC)
    weights = building.weights_of(viewer, about.algorithm, ranked_at)
    made = Snapshot.made(rest, algorithm=about.algorithm, generation=about.generation, weights=weights, now=ranked_at)
    known = replace(made.about, shown=len(shown), version=about.version, experiment=about.experiment)
    kept = replace(made, about=known)
    snapshot.keep_for_pages(viewer, kept, shown)
    # By the viewer's generation of now whoever serves it sees whether somebody was hidden since.
    part = replace(kept.cut(0, limit), generation=whole.part.generation)
    return Found(part, whole.cache, whole.last_good, replaced=True)


def without_hidden(viewer: str, found: Found, limit: int, explain: bool) -> tuple[Sequence[Entry], int]:
    """A page without the authors hidden since, the room filled from what follows; the position after it."""
    part, hidden = found.part, _hidden(viewer, is_postgres_down=found.last_good)
    kept = [entry for entry in part.entries if entry.author_id not in hidden]
    after = part.after
    while len(kept) < limit and after < part.length:
        more = snapshot.read(
            viewer,
            algorithm=part.about.algorithm,
            snapshot=snapshot.LAST_GOOD if found.last_good and not found.replaced else part.about.snapshot,
            position=after,
            limit=limit - len(kept),
            explain=explain,
        )
        if isinstance(more, Missing):
            break
        kept += [entry for entry in more.entries if entry.author_id not in hidden]
        after = more.after
    return kept, after


def _hidden(viewer: str, *, is_postgres_down: bool) -> set[str]:
    """Whom the viewer must not see: of PostgreSQL, or of what Redis knows of the last hours when that is down."""
    if not is_postgres_down:
        with suppress(DatabaseError):
            return {str(author) for author in selectors.hidden_authors(UUID(viewer))}
    nobody: set[str] = set()
    return cache.ask(lambda redis: hidings.lately(redis, viewer), nobody)
