"""What a run's exit code means."""

import json

import pytest
from rich.console import Console

from tests.chaos import report
from tests.chaos.report import Findings
from tests.chaos.verdict import Verdict

CLEAN = Verdict(acknowledged=10, stored=10)
SEEN = Verdict(acknowledged=10, stored=9, doubled=1, aggregates={"post_counters": 1}, copies={"follows_cdc": 1})


@pytest.mark.parametrize(
    ("verdict", "control", "code"),
    [
        (CLEAN, SEEN, report.EXIT_CLEAN),
        (CLEAN, None, report.EXIT_CLEAN),
        (None, None, report.EXIT_NOT_HEALED),
        (Verdict(acknowledged=10, stored=9), None, report.EXIT_FOUND),
        (Verdict(acknowledged=10, stored=10, letters=3, letters_lost=1), None, report.EXIT_FOUND),
        (Verdict(acknowledged=10, stored=10, doubled=1), None, report.EXIT_FOUND),
        (Verdict(acknowledged=10, stored=10, unknown=1), None, report.EXIT_FOUND),
        (Verdict(acknowledged=10, stored=10, aggregates={"seen_posts": 1}), None, report.EXIT_FOUND),
        (Verdict(acknowledged=10, stored=10, copies={"posts_cdc": 1}), None, report.EXIT_FOUND),
        (Verdict(acknowledged=10, stored=10, reactions=1), None, report.EXIT_FOUND),
        (CLEAN, CLEAN, report.EXIT_BLIND),
        (CLEAN, Verdict(acknowledged=10, stored=9, doubled=1), report.EXIT_BLIND),
    ],
)
def test_the_exit_code_follows_from_the_verdict(verdict: Verdict | None, control: Verdict | None, code: int) -> None:
    found = Findings(seed=1, seconds=10, verdict=verdict, control=control)
    assert found.exit_code == code
    assert json.loads(json.dumps(report.figures(found)))["exit_code"] == code
    report.show(found, Console(quiet=True))
