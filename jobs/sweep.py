"""The dead-letter sweep: what failed for a reason that passes is sent again, later and later, then left to staff.

A message that fails again is a new letter whose header names the one before. So the tries of a message are the letters
behind it, and those that Kafka did not take.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Any

from django.db.models import Count, Max, Q

from ingestion import replay
from ingestion.dead_letters import REPLAY_OF
from ingestion.models import DeadLetter, Replay

# An event from a clock that runs ahead is right once its time has come. All other reasons are in the message itself,
# and sending it again cannot help. (A fault of an engine makes no dead letter: the consumers wait and try again.)
PASSING_REASONS = ("in_future",)
MOST_TRIES = 8
_FIRST = timedelta(minutes=1)
_LONGEST = timedelta(hours=1)
# Letters looked at together, and those sent together: between two of the latter the clock is looked at.
_AT_ONCE = 1000
_SENT_AT_ONCE = 100


def wait(tries: int) -> timedelta:
    """How long to wait after `tries` replays that failed (0: none yet) before the next: 1 min doubling to 1 h."""
    return min(_LONGEST, _FIRST * (1 << min(tries, 30)))


def is_due(tries: int, last: datetime, now: datetime) -> bool:
    """Whether a message that failed `tries` replays, the last one at `last`, is to be sent again now."""
    return tries < MOST_TRIES and now >= last + wait(tries)


@dataclass
class Report:
    """sent, failed: letters that Kafka took and did not take; waiting: not due yet; left: given up, for staff; after:
    the last letter that there was time for, None when all had their turn."""

    sent: int = 0
    failed: int = 0
    waiting: int = 0
    left: int = 0
    error: str = ""
    after: int | None = None


def sweep(
    now: datetime,
    *,
    after: int = 0,
    left: Callable[[], float] = lambda: inf,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda count: None,
) -> Report:
    """Replay what is due, oldest first, from the letter behind `after` on, until no seconds are `left`: letters that
    were given up stay, and must not keep the others away however many they are.

    progress: told how many were sent since it was last told. Raises `django.db.DatabaseError`; a broker that does not
    answer makes `failed` ones.
    """
    report = Report()
    while letters := _some(after):
        due = _due(letters, now, report)
        for start in range(0, len(due), _SENT_AT_ONCE):
            some = due[start : start + _SENT_AT_ONCE]
            if dry_run:
                report.sent += len(some)
                continue
            outcome = replay.replay(some, by=None, detail="sweep", progress=progress)
            report.sent, report.failed = report.sent + outcome.sent, report.failed + outcome.failed
            report.error = outcome.error or report.error
            if left() <= 0 and some[-1] != due[-1]:
                report.after = some[-1]
                return report
        after = letters[-1].pk
        if left() <= 0:
            report.after = after
            break
    return report


def _some(after: int) -> list[Any]:
    """The next letters that may pass, each with how often Kafka did not take it, and when it was last tried."""
    failed = Count("replays", filter=Q(replays__outcome=Replay.Outcome.FAILED))
    letters = replay.matching().filter(reason__in=PASSING_REASONS, pk__gt=after)
    tried = letters.annotate(failures=failed, last_try=Max("replays__at"))
    return list(tried.only("pk", "headers", "created_at")[:_AT_ONCE])


def _due(letters: Sequence[Any], now: datetime, report: Report) -> list[int]:
    """Those to send now; the others are counted."""
    before = _replayed_before({letter.pk: letter.headers for letter in letters})
    due = []
    for letter in letters:
        tries = before[letter.pk] + letter.failures
        last = max(letter.created_at, letter.last_try or letter.created_at)
        if tries >= MOST_TRIES:
            report.left += 1
        elif is_due(tries, last, now):
            due.append(letter.pk)
        else:
            report.waiting += 1
    return due


def _replayed_before(headers: Mapping[int, Sequence[Sequence[str]]]) -> dict[int, int]:
    """For each letter, how many earlier letters the same message was; counted up to `MOST_TRIES`."""
    counts = dict.fromkeys(headers, 0)
    # letter → the earlier letter that its chain has led to so far
    at = {letter: earlier for letter, said in headers.items() if (earlier := _earlier(said))}
    for _ in range(MOST_TRIES):
        if not at:
            break
        for letter in at:
            counts[letter] += 1
        said_by = dict(DeadLetter.objects.filter(pk__in=set(at.values())).values_list("pk", "headers"))
        at = {letter: further for letter, earlier in at.items() if (further := _earlier(said_by.get(earlier, ())))}
    return counts


def _earlier(headers: Iterable[Sequence[str]]) -> int | None:
    """The letter that a message was before, by its headers."""
    number = next((value for name, value in headers if name == REPLAY_OF), None)
    # Whoever writes to Kafka may write any number there; Python refuses to read very long ones.
    if not isinstance(number, str) or len(number) >= 19:
        return None
    return int(number) if number.isascii() and number.isdigit() else None
