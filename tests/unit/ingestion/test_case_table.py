"""The tables of failure cases name tests that exist, and leave out no case."""

import re
from collections.abc import Iterator

import pytest

from tests.apps import ROOT

HEADING = "## Which test proves which case"
# Each document, the cases its table has, and how many tests and files it names at least.
TABLES = [
    ("docs/architecture/ingestion.md", set(range(1, 55)), 80),
    ("docs/architecture/ranking.md", {*range(55, 61), 63}, 40),
    ("docs/operations/jobs.md", {61, 62}, 5),
]


def rows(document: str) -> Iterator[list[str]]:
    """The cells of each row of each table below the heading, without the tables' heads."""
    section = (ROOT / document).read_text().partition(HEADING)[2].partition("\n## ")[0]
    for table in re.split(r"\n\s*\n", section):
        lines = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| ")]
        yield from lines[1:]


def source(file: str) -> str:
    """The text of a test file as a table names it."""
    if file == "D":
        file = "tests/unit/ingestion/test_decoders.py"
    return (ROOT / (file if file.startswith("tests/") else f"tests/integration/{file}")).read_text()


@pytest.mark.parametrize(("document", "cases", "least"), TABLES)
def test_no_case_is_left_out(document: str, cases: set[int], least: int) -> None:
    named = set()
    for cell, *_ in rows(document):
        if re.match(r"\s*\d", cell):
            for first, last in re.findall(r"(\d+)(?:–(\d+))?", cell):
                named |= set(range(int(first), int(last or first) + 1))
    assert named == cases


@pytest.mark.parametrize(("document", "cases", "least"), TABLES)
def test_every_test_that_is_named_exists(document: str, cases: set[int], least: int) -> None:
    named = 0
    for _, *proofs in rows(document):
        text = ""
        # A test without a file lies in the file before it.
        for file, test in re.findall(r"`(?:([\w./]+\.py|D)(?:::)?)?(test_\w+)?(?:\[\w+\])?`", "|".join(proofs)):
            if not file and not test:
                continue
            text = source(file) if file else text
            assert not test or f"def {test}(" in text, (file, test)
            named += 1
    assert named >= least
