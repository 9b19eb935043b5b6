"""The dead-letter sweep: what failed for a reason that passes is sent again, later and later, then left to staff.

A message that fails again is a new letter whose header names the one before. So the tries of a message are the letters
behind it, and those that Kafka did not take.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Q

from ingestion import replay
from ingestion.models import DeadLetter, Replay

# An event from a clock that runs ahead is right once its time has come. All other reasons are in the message itself,
# and sending it again cannot help. (A fault of an engine makes no dead letter: the consumers wait and try again.)
PASSING_REASONS = ("in_future",)
MOST_TRIES = 8
_FIRST = timedelta(minutes=1)
_LONGEST = timedelta(hours=1)
_AT_ONCE = 10_000


def wait(tries: int) -> timedelta:
    """How long to wait after `tries` replays that failed (0: none yet) before the next: 1 min doubling to 1 h."""
    return min(_LONGEST, _FIRST * (1 << min(tries, 30)))


def is_due(tries: int, last: datetime, now: datetime) -> bool:
    """Whether a message that failed `tries` replays, the last one at `last`, is to be sent again now."""
    return tries < MOST_TRIES and now >= last + wait(tries)


@dataclass
class Report:
    """sent, failed: letters that Kafka took and did not take; waiting: not due yet; left: given up, for staff."""

    sent: int = 0
    failed: int = 0
    waiting: int = 0
    left: int = 0
    error: str = ""


def sweep(now: datetime, *, dry_run: bool = False, progress: Callable[[int], None] = lambda count: None) -> Report:
    """Replay what is due. progress: told how many were dealt with after each step; what it raises ends the sweep.

    Raises `django.db.DatabaseError`; a broker that does not answer makes `failed` ones.
    """
    letters = list(
        replay.matching()
        .filter(reason__in=PASSING_REASONS)
        .annotate(
            failures=Count("replays", filter=Q(replays__outcome=Replay.Outcome.FAILED)), last_try=Max("replays__at")
        )
        .only("pk", "headers", "created_at")[:_AT_ONCE]
    )
    before = _replayed_before({letter.pk: letter.headers for letter in letters})
    report, due = Report(), []
    for letter in letters:
        tries = before[letter.pk] + letter.failures
        last = max(letter.created_at, letter.last_try or letter.created_at)
        if tries >= MOST_TRIES:
            report.left += 1
        elif is_due(tries, last, now):
            due.append(letter.pk)
        else:
            report.waiting += 1
    if dry_run:
        report.sent = len(due)
        return report
    outcome = replay.replay(due, by=None, detail="sweep", progress=progress)
    report.sent, report.failed, report.error = outcome.sent, outcome.failed, outcome.error
    return report


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
    number = next((value for name, value in headers if name == replay.HEADER), None)
    return int(number) if isinstance(number, str) and number.isdigit() else None
