"""An invented community with a past: who they are, what they posted, and what ties them. Pure: no database here."""

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from community import invented
from community.ids import id_at
from community.models import Block, Comment, Follow, Like, Post, User

# A few are read by many: the weight of the n-th member is 1 / (n + 3).
_FLATNESS = 3


@dataclass(frozen=True, slots=True)
class Community:
    """Unsaved rows, in an order in which they can be inserted."""

    members: list[User]
    posts: list[Post]
    follows: list[Follow]
    likes: list[Like]
    comments: list[Comment]
    blocks: list[Block]


class _Maker:
    def __init__(self, now: datetime, hours: float, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = now
        self.span = timedelta(hours=hours)

    def moment(self, since: datetime | None = None) -> datetime:
        """A moment between `since` (default: the beginning) and now."""
        start = since or self.now - self.span
        return start + (self.now - start) * self.chance.random()

    def id(self, moment: datetime) -> UUID:
        return id_at(moment, self.chance.getrandbits(74))


def imagine(*, members: int, posts: int, hours: float, seed: int, now: datetime) -> Community:
    """The same community for the same arguments; its posts spread over the last `hours` before `now`."""
    make = _Maker(now, hours, seed)
    chance = make.chance
    joined = now - make.span - timedelta(days=30)
    people = []
    for username, display_name in invented.names(chance, members):
        moment = joined + timedelta(days=30) * chance.random()
        person = User(id=make.id(moment), username=username, display_name=display_name, date_joined=moment)
        person.set_unusable_password()
        people.append(person)
    popularity = [1 / (rank + _FLATNESS) for rank in range(len(people))]
    languages = [chance.choice(("en", "en", "en", *invented.LANGUAGES)) for _ in people]

    written = []
    for _ in range(posts):
        index = chance.choices(range(len(people)), popularity)[0]
        moment = make.moment()
        text, media = invented.post_text(chance, languages[index]), invented.media(chance)
        written.append(Post(id=make.id(moment), author=people[index], created_at=moment, text=text, media=media))
    written.sort(key=lambda post: post.created_at)

    blocks = _blocks(make, people)
    apart = {frozenset((row.blocker_id, row.blocked_id)) for row in blocks if row.kind == Block.Kind.BLOCK}
    follows = _follows(make, people, popularity, apart)
    likes, comments = _reactions(make, people, written, follows, apart)
    return Community(people, written, follows, likes, comments, blocks)


def _blocks(make: _Maker, people: list[User]) -> list[Block]:
    made = {}
    for _ in range(len(people) // 12):
        blocker, blocked = make.chance.sample(people, 2)
        kind = make.chance.choice((Block.Kind.BLOCK, Block.Kind.MUTE))
        moment = make.moment()
        row = Block(id=make.id(moment), blocker=blocker, blocked=blocked, kind=kind, created_at=moment)
        made[blocker.id, blocked.id, kind] = row
    return list(made.values())


def _follows(make: _Maker, people: list[User], popularity: list[float], apart: set[frozenset[UUID]]) -> list[Follow]:
    made = []
    for person in people:
        wanted = min(len(people) - 1, 3 + int(make.chance.expovariate(1 / max(1.0, math.sqrt(len(people))))))
        chosen = {other.id: other for other in make.chance.choices(people, popularity, k=wanted)}
        for other in chosen.values():
            if other.id == person.id or frozenset((person.id, other.id)) in apart:
                continue
            moment = make.moment()
            made.append(Follow(id=make.id(moment), follower=person, followee=other, created_at=moment))
    return made


def _reactions(
    make: _Maker, people: list[User], posts: list[Post], follows: list[Follow], apart: set[frozenset[UUID]]
) -> tuple[list[Like], list[Comment]]:
    readers: dict[UUID, list[User]] = {}
    for follow in follows:
        readers.setdefault(follow.followee_id, []).append(follow.follower)
    likes, comments = [], []
    for post in posts:
        # Mostly followers react, and now and then a passer-by.
        audience = [*readers.get(post.author_id, ()), *make.chance.sample(people, min(2, len(people)))]
        appeal = make.chance.random() ** 2
        for reader in {one.id: one for one in audience}.values():
            if reader.id == post.author_id or frozenset((reader.id, post.author_id)) in apart:
                continue
            if make.chance.random() < appeal * 0.6:
                moment = make.moment(post.created_at)
                likes.append(Like(id=make.id(moment), user=reader, post=post, created_at=moment))
            if make.chance.random() < appeal * 0.15:
                moment = make.moment(post.created_at)
                text = invented.reply(make.chance)
                comments.append(Comment(id=make.id(moment), user=reader, post=post, text=text, created_at=moment))
    return likes, comments
