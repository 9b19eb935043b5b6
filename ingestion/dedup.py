"""Which events of a batch are new: claims in Redis say so at once, ClickHouse where claims cannot be believed.

An event is claimed for its coordinate in Kafka (`topic id:partition:offset`), so whoever reads the same message again
finds its own claim and keeps it. That nobody had claimed an id proves that it is new only if a claim of its first copy
would have to be there still. The first copy cannot be older than the event, give or take `_MARGIN`, so that holds for
events that are younger than the claims' life and than the last moment at which claims may have been lost: Redis was
emptied or restarted (the sentinel), or did not answer (`Partition.claims_since`). The others are looked up.
"""

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import numpy.typing as npt
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from ingestion import ledger
from ingestion.columns import Columns, Int64s
from ingestion.contract import AHEAD
from ingestion.ledger import Partition
from nova import clickhouse, clock, redis

log = structlog.get_logger(__name__)

Mask = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.void]
Coordinate = tuple[str, int, int]

# The usual consumer group.
GROUP = "events"
SENTINEL = "dedup-sentinel"
# So few that Redis finds in its processor's cache on writing what it has just looked up.
_IDS_PER_CALL = 500
# One batch of a process after the other: side by side all would end late, and ClickHouse have nothing to do till then.
_claiming = threading.Lock()
_REDIS_SECONDS = 2.0
_SECOND = 1_000_000
# How far an event's time may lie ahead of its first copy (µs), and a minute for clocks that disagree.
_MARGIN = int(AHEAD.total_seconds() + 60) * _SECOND

# Claims lie in a hash for each span of time as long as their life (`dedup:N`: event id → coordinate). They are looked
# for in this span's and the last one's, so each lives for one to two spans. A key for each would cost Redis far more.
_SPAN = """
local function spans(life)
  local now = redis.call('TIME')[1]
  local span = math.floor(now / life)
  return now, 'dedup:' .. span, 'dedup:' .. span - 1, 'dedup:' .. span - 2, (span + 3) * life
end
"""
# KEYS: sentinel. ARGV: the run id of this Redis, ids (16 bytes each), offsets (8 bytes each), the coordinate up to the
# offset, life in seconds. Returns since when no claim was lost and the time now (both in s), then for each id that
# another coordinate claimed its position (from 1) and that coordinate.
_CLAIM = f"""{_SPAN}
local ids, offsets, prefix, life = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local now, current, last, past, ends = spans(life)
local sentinel = redis.call('HMGET', KEYS[1], 'run', 'since', 'life')
if sentinel[1] ~= ARGV[1] or sentinel[3] ~= life then
  sentinel[2] = now
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'since', now, 'life', life)
end
local fields, sub = {{}}, string.sub
for i = 1, #ids / 16 do fields[i] = sub(ids, i * 16 - 15, i * 16) end
local owners = redis.call('HMGET', current, unpack(fields))
local older = redis.call('HMGET', last, unpack(fields))
local answer, fresh, n = {{sentinel[2], now}}, {{}}, 0
for i, field in ipairs(fields) do
  local owner, mine = owners[i] or older[i], prefix .. sub(offsets, i * 8 - 7, i * 8)
  if not owner then
    fresh[n + 1], fresh[n + 2], n = field, mine, n + 2
  elseif owner ~= mine then
    answer[#answer + 1] = i
    answer[#answer + 1] = owner
  end
end
if n > 0 then
  redis.call('HSET', current, unpack(fresh))
  -- For the case that nobody comes any more: freeing so much at once, as an expiry does, would stop Redis for long.
  redis.call('EXPIREAT', current, ends)
end
redis.call('UNLINK', past)
return answer
"""
# ARGV: an event id, the owner that was found, the new owner, life in seconds. Returns 1 when the claim is the new
# owner's.
_TAKE_OVER = f"""{_SPAN}
local now, current, last, past, ends = spans(ARGV[4])
local owner = redis.call('HGET', current, ARGV[1]) or redis.call('HGET', last, ARGV[1])
if owner and owner ~= ARGV[2] and owner ~= ARGV[3] then return 0 end
redis.call('HSET', current, ARGV[1], ARGV[3])
redis.call('EXPIREAT', current, ends)
return 1
"""


@dataclass
class Verdict:
    """`keep`: which rows are new. `duplicates`: how many were dropped, by why (batch, claim, stored)."""

    keep: Mask
    duplicates: dict[str, int] = field(default_factory=dict)

    def drop(self, rows: Sequence[int] | Int64s, why: str) -> None:
        if len(rows):
            self.keep[rows] = False
            self.duplicates[why] = self.duplicates.get(why, 0) + len(rows)


@dataclass
class _Claims:
    """What Redis said. since, now: seconds of Redis's clock; foreign: row → the coordinate that claimed its id."""

    since: int
    now: int
    foreign: dict[int, bytes]


def decide(part: Partition, columns: Columns, stored_up_to: int) -> Verdict:
    """Which of these events are new. stored_up_to: rows of this partition up to this offset may stand in ClickHouse.

    When Redis does not answer, `part.claims_since` is set; the ledger must store it with this batch. Raises `Transient`
    when ClickHouse or PostgreSQL is needed and does not answer. Safe to repeat: claims are ours by then.
    """
    verdict = Verdict(np.ones(len(columns), bool))
    ids = np.frombuffer(columns.ids, "V16")
    rows = _first_of_each(ids)
    repeats = np.ones(len(ids), bool)
    repeats[rows] = False
    verdict.drop(np.flatnonzero(repeats), "batch")
    try:
        claims = _claim(part, ids, columns.offsets, rows)
    except RedisError as error:
        log.warning("claims_unavailable", partition=str(part), error=str(error))
        part.claims_since = clock.now()
        verdict.drop(_stored(columns, ids, rows), "stored")
        return verdict
    doubtful = _doubtful(part, columns, claims) | (columns.offsets <= stored_up_to)
    doubtful[list(claims.foreign)] = False
    orphaned = _orphaned(part, claims.foreign)
    verdict.drop([row for row in claims.foreign if row not in orphaned], "claim")
    asked = np.array(sorted({*np.flatnonzero(doubtful & verdict.keep).tolist(), *orphaned}), np.int64)
    stored = _stored(columns, ids, asked)
    verdict.drop(stored, "stored")
    left = np.array([row for row in sorted(orphaned) if verdict.keep[row]], np.int64)
    # The first copy may say another time than this one (no honest resend does).
    stored = _stored(columns, ids, left, every_day=True)
    verdict.drop(stored, "stored")
    verdict.drop(
        [row for row in orphaned if verdict.keep[row] and not _take_over(part, columns, ids, row, claims.foreign[row])],
        "claim",
    )
    return verdict


def _first_of_each(ids: Ids) -> Int64s:
    """The row of the first copy of each id, ascending."""
    # Their last halves are random: ids that differ there, as almost always, differ.
    halves = np.sort(ids.view(np.uint64)[1::2])
    if (halves[1:] != halves[:-1]).all():
        return np.arange(len(ids))
    seen: dict[bytes, int] = {}
    for row, identifier in enumerate(ids.tolist()):
        seen.setdefault(identifier, row)
    return np.fromiter(seen.values(), np.int64, len(seen))


def _topic(part: Partition) -> str:
    """The topic as claims name it. Another group reads the same messages: of its claims, like those of a topic that is
    no more, only ClickHouse knows what came."""
    return part.topic_id if part.consumer == GROUP else f"{part.topic_id}@{part.consumer.encode().hex()}"


def _prefix(part: Partition) -> bytes:
    return f"{_topic(part)}:{part.partition}:".encode()


def _claim(part: Partition, ids: Ids, offsets: Int64s, rows: Int64s) -> _Claims:
    """Claim the ids of these rows. Raises `RedisError`."""
    client = redis.durable(_REDIS_SECONDS)
    run = _run_id()
    packed_ids, packed_offsets = ids[rows].tobytes(), offsets[rows].astype(">i8").tobytes()
    # All calls are sent at once, so that not each of them waits for this thread's turn; Redis serves others in between.
    calls = client.pipeline(transaction=False)
    starts = range(0, len(rows), _IDS_PER_CALL)
    for start in starts:
        end = start + _IDS_PER_CALL
        calls.eval(
            _CLAIM,
            1,
            SENTINEL,
            run,
            packed_ids[start * 16 : end * 16],
            packed_offsets[start * 8 : end * 8],
            _prefix(part),
            settings.DEDUP_TTL_SECONDS,
        )
    since, now, foreign = 0, 0, {}
    with _claiming:
        answers = calls.execute()
    for start, answer in zip(starts, answers, strict=True):
        since, now = max(since, int(answer[0])), int(answer[1])
        for position, owner in zip(answer[2::2], answer[3::2], strict=True):
            foreign[int(rows[start + position - 1])] = owner
    if _run_id() != run:
        # Restarted meanwhile: what the old one had not written to disk is gone.
        since = now
    return _Claims(since, now, foreign)


def _run_id() -> str:
    """Another one after each start of Redis, which may have lost the claims of its last second. Raises `RedisError`."""
    return str(redis.durable(_REDIS_SECONDS).info("server")["run_id"])


def _doubtful(part: Partition, columns: Columns, claims: _Claims) -> Mask:
    """The rows for which 'not claimed before' proves nothing."""
    since = claims.since * _SECOND
    if part.claims_since is not None:
        since = max(since, round(part.claims_since.timestamp() * _SECOND))
    now = claims.now * _SECOND
    oldest = max(since + _MARGIN, now - settings.DEDUP_TTL_SECONDS * _SECOND + _MARGIN)
    doubtful: Mask = (columns.times < oldest) | (columns.times > now + _MARGIN)
    return doubtful


def _orphaned(part: Partition, foreign: dict[int, bytes]) -> set[int]:
    """The rows whose claim is left over, so that only ClickHouse knows whether anything came of it: its topic is no
    more, its coordinate was passed, or it is of this partition, which nobody else reads. One of this partition may even
    lie ahead: Kafka has lost its last messages, and got them again."""
    owners = {row: coordinate(owner) for row, owner in foreign.items()}
    others = {
        partition for topic, partition, _ in owners.values() if topic == _topic(part) and partition != part.partition
    }
    passed = ledger.behind(part.consumer, {(part.topic_id, partition) for partition in others}) if others else {}
    return {
        row
        for row, (topic, partition, offset) in owners.items()
        if topic != _topic(part) or partition not in others or offset < passed.get((part.topic_id, partition), 2**63)
    }


def coordinate(claim: bytes) -> Coordinate:
    """Topic (as `_topic` names it), partition and offset of a claim's value."""
    topic_id, partition, offset = claim.split(b":", 2)
    return topic_id.decode(), int(partition), struct.unpack(">q", offset)[0]


def _take_over(part: Partition, columns: Columns, ids: Ids, row: int, owner: bytes) -> bool:
    """Make a left-over claim ours, unless somebody else just did."""
    mine = _prefix(part) + struct.pack(">q", int(columns.offsets[row]))
    client = redis.durable(_REDIS_SECONDS)
    try:
        taken = client.eval(_TAKE_OVER, 0, ids[row].tobytes(), owner, mine, settings.DEDUP_TTL_SECONDS)
    except RedisError:
        part.claims_since = clock.now()
        return True
    return bool(taken)


_LOOK_UP = "SELECT event_id FROM event_ids WHERE event_id IN asked"


def _stored(columns: Columns, ids: Ids, rows: Int64s, *, every_day: bool = False) -> list[int]:
    """Those of these rows whose id stands in ClickHouse already, under the row's day. Raises `Transient`."""
    if not len(rows):
        return []
    by_id = {UUID(bytes=identifier): row for identifier, row in zip(ids[rows].tolist(), rows.tolist(), strict=True)}
    days = np.unique(columns.days[rows]).astype("datetime64[D]").tolist()
    asked = ([("id", "UUID")], [(identifier,) for identifier in by_id])
    of_days = "" if every_day else " AND day IN ({days:Array(Date)})"
    found = clickhouse.query(_LOOK_UP + of_days, {"days": days}, tables={"asked": asked})
    return [by_id[identifier] for (identifier,) in found]
