"""Events as the intake writes them, about 300 bytes of JSON each, at a pace that no Python object per event allows."""

import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from confluent_kafka import Producer

from benchmarks.ingest.bench import TOPIC
from community.ids import id_at

_CHUNK = 10_000
_LINE = (
    b'{"event_id":"%b","event_time":"%b","user_id":"%b","post_id":"%b","author_id":"%b","action":"%b",'
    b'"source":"%b","dwell_ms":%d,"device":"%b","app_ver":"3.2.1"}'
)
# What a feed sees: mostly impressions. (action, source) and how many of a hundred.
_MIX: Sequence[tuple[tuple[bytes, bytes], int]] = (
    ((b"impression", b"client"), 70),
    ((b"view", b"client"), 15),
    ((b"click", b"client"), 7),
    ((b"like", b"table"), 5),
    ((b"comment", b"table"), 2),
    ((b"share", b"client"), 1),
)


@dataclass
class Crowd:
    """Who does what with which posts; popularity falls as 1/rank. Repeatable but for the ids and times of events."""

    members: int = 20_000
    posts: int = 5_000
    authors: int = 500
    chance: random.Random = field(default_factory=lambda: random.Random(11))

    def __post_init__(self) -> None:
        self._members = [UUID(int=self.chance.getrandbits(128), version=4) for _ in range(self.members)]
        authors = [str(UUID(int=self.chance.getrandbits(128), version=4)).encode() for _ in range(self.authors)]
        now = datetime.now(UTC)
        ids = [str(id_at(now - timedelta(minutes=n), self.chance.getrandbits(74))).encode() for n in range(self.posts)]
        self._posts = [(post, self.chance.choice(authors)) for post in ids]
        self._weights = [1 / (rank + 10) for rank in range(self.posts)]

    def events(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of `count` new events of the last two minutes."""
        who = [(member.bytes, str(member).encode()) for member in self._members]
        kinds, shares = [kind for kind, _ in _MIX], [share for _, share in _MIX]
        while count > 0:
            size = min(_CHUNK, count)
            count -= size
            now = time.time()
            seconds = [
                datetime.fromtimestamp(now - ago, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode() for ago in range(1, 121)
            ]
            ids = os.urandom(16 * size).hex().encode()
            chosen = zip(
                range(0, 32 * size, 32),
                self.chance.choices(who, k=size),
                self.chance.choices(self._posts, self._weights, k=size),
                self.chance.choices(kinds, shares, k=size),
                self.chance.choices(seconds, k=size),
                self.chance.choices(range(1_000_000), k=size),
                self.chance.choices((b"ios", b"android", b"web"), k=size),
                strict=True,
            )
            for at, (key, member), (post, author), (action, source), second, fraction, device in chosen:
                i = ids[at : at + 32]
                identifier = b"%b-%b-%b-%b-%b" % (i[:8], i[8:12], i[12:16], i[16:20], i[20:])
                moment = b"%b.%06dZ" % (second, fraction)
                dwell = fraction // 300 if action in (b"impression", b"view") else 0
                yield key, _LINE % (identifier, moment, member, post, author, action, source, dwell, device)


def fill(servers: str, count: int, told: Callable[[int], None] = lambda done: None) -> None:
    """Write `count` events to the topic, keyed as the intake keys them. told: how many are handed over so far.

    Raises RuntimeError when the broker has not taken all of them.
    """
    client = Producer(
        {
            "bootstrap.servers": servers,
            "acks": "all",
            "linger.ms": 50,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 200_000,
            "batch.num.messages": 20_000,
        }
    )
    for done, (key, value) in enumerate(Crowd().events(count), 1):
        while True:
            try:
                client.produce(TOPIC, value, key)
                break
            except BufferError:
                client.poll(0.05)
        if not done % _CHUNK:
            client.poll(0)
            told(done)
    if left := client.flush(120):
        raise RuntimeError(f"Kafka did not take {left} events")
    told(count)
