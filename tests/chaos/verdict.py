"""The verdict on a run. Pure: known before Django is set up."""

from dataclasses import dataclass, field


@dataclass
class Verdict:
    """acknowledged: event ids; stored: those of them that ClickHouse holds; doubled: rows too many, of whatever source;
    unknown: events of apps that nobody sent; aggregates and copies: rows that differ, by table; reactions: posts whose
    likes or comments were counted wrong; letters: broken messages that were sent, letters_lost: those not kept."""

    acknowledged: int = 0
    stored: int = 0
    doubled: int = 0
    unknown: int = 0
    aggregates: dict[str, int] = field(default_factory=dict)
    copies: dict[str, int] = field(default_factory=dict)
    reactions: int = 0
    letters: int = 0
    letters_lost: int = 0
    compared: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return self.acknowledged - self.stored + self.letters_lost

    @property
    def drifted(self) -> int:
        return sum(self.aggregates.values()) + sum(self.copies.values()) + self.reactions + self.unknown

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.drifted)


class NotHealed(Exception):
    """Not everything arrived in time: the text says what is missing."""
