"""One run on a stack that is up: load and strikes, healing, verdict. To be imported when Django is set up."""

import threading
import time
from argparse import Namespace
from collections.abc import Callable
from random import Random

from rich.progress import Progress, TaskID

from embedded.testing import Stack
from nova import kafka, topics
from tests.chaos import clients, judge, plan
from tests.chaos.havoc import Havoc
from tests.chaos.report import Findings
from tests.chaos.stack import DIARY, Supervision
from tests.chaos.town import Town
from tests.chaos.verdict import NotHealed
from tests.client import Api

_POISON_PER_SECOND = 0.5
_PATIENCE = 10.0


class Run:
    """Fills `found` as it goes. given: the command line."""

    def __init__(self, stack: Stack, given: Namespace, found: Findings, progress: Progress) -> None:
        self._given, self._found, self._progress = given, found, progress
        chance = Random(given.seed)
        strikes = plan.draw(chance, given.seconds, given.every)
        secret = stack.env["JWT_SECRET"]
        self._town = Town(stack.env["DATABASE_URL"], Random(chance.random()))
        self._senders = clients.Senders(stack.url, secret, self._town, Random(chance.random()))
        self._reader = (Api(stack.url, secret, timeout=_PATIENCE), self._town, Random(chance.random()))
        self._broken: set[bytes] = set()
        self._supervision = Supervision(stack)
        self._havoc = Havoc(stack, strikes, stack.var / DIARY, self._say)
        found.toll = self._havoc.toll

    def whole(self) -> None:
        """All of it. Raises StackError; nothing of the load is left when this returns."""
        end, sent_all = threading.Event(), threading.Event()
        threads = [*self._load(end), *self._senders.threads(sent_all)]
        with self._supervision:
            try:
                for thread in threads:
                    thread.start()
                self._havoc.begin()
                self._supervision.each = self._havoc.beat
                self._strike()
                self._havoc.heal()
                end.set()
                self._heal()
                self._judge()
            except NotHealed as reason:
                self._found.not_healed = str(reason)
            finally:
                self._havoc.heal()
                end.set()
                sent_all.set()
                for thread in threads:
                    if thread.is_alive():
                        thread.join(_PATIENCE + 5)
                self._town.close()

    def _load(self, end: threading.Event) -> list[threading.Thread]:
        given = self._given

        def write(line: bytes) -> None:
            kafka.send(topics.EVENTS, [(None, line, None)], timeout=5)

        works: list[tuple[Callable[..., None], tuple[object, ...]]] = [
            (self._town.live, (given.changes_per_second, end)),
            (self._senders.live, (given.events_per_second, end)),
            (clients.read_feeds, (*self._reader, self._found.feeds, end)),
            (clients.poison, (write, _POISON_PER_SECOND, end, self._broken)),
        ]
        return [threading.Thread(target=work, args=arguments, daemon=True) for work, arguments in works]

    def _say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, soft_wrap=True)

    def _strike(self) -> None:
        seconds = self._given.seconds
        bar = self._progress.add_task("load and strikes", total=seconds)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            self._supervision.check()
            self._progress.update(bar, completed=passed)
            time.sleep(0.2)
        self._progress.update(bar, completed=seconds)

    def _heal(self) -> None:
        """Until every event is acknowledged and everything has arrived. Raises `NotHealed`."""
        found, senders = self._found, self._senders
        bar = self._progress.add_task("healing", total=None)
        began = time.monotonic()
        try:
            while senders.unanswered or not self._havoc.over:
                self._wait_for("every event acknowledged", bar)
                if time.monotonic() - began > self._given.heal:
                    raise NotHealed(f"{senders.unanswered} batches of events were not acknowledged in time")
                time.sleep(0.2)
            left = self._given.heal - (time.monotonic() - began)
            judge.settle(self._town, left, lambda what: self._wait_for(what, bar))
        finally:
            found.healed_in = time.monotonic() - began
            found.sent, found.rejected = len(senders.made), senders.rejected
            found.answers, found.changes = dict(senders.answers), self._town.changes
            self._progress.update(bar, total=1, completed=1)

    def _wait_for(self, what: str, bar: TaskID) -> None:
        self._supervision.check()
        self._progress.update(bar, description=f"healing: {what}")

    def _judge(self) -> None:
        bar = self._progress.add_task("judging", total=None)
        made, acknowledged = self._senders.made, self._senders.acknowledged
        if self._given.spoil:
            judge.spoil(acknowledged)
        self._found.verdict = judge.judge(made, acknowledged, self._broken)
        if self._found.verdict.clean:
            self._progress.update(bar, description="judging the judge")
            judge.spoil(acknowledged)
            self._found.control = judge.judge(made, acknowledged, self._broken)
        self._progress.update(bar, total=1, completed=1)
