"""The table of failure cases names tests that exist, and leaves out no case."""

import re

from tests.apps import ROOT

TABLE = (ROOT / "docs" / "architecture" / "ingestion.md").read_text().partition("## Which test proves which case")[2]
ROWS = [line.split("|")[1:-1] for line in TABLE.partition("\n## ")[0].splitlines() if line.startswith("| ")][1:]


def test_no_case_is_left_out() -> None:
    named = set()
    for cases, *_ in ROWS:
        for first, last in re.findall(r"(\d+)(?:–(\d+))?", cases):
            named |= set(range(int(first), int(last or first) + 1))
    assert named == set(range(1, 55))


def source(file: str) -> str:
    """The text of a test file as the table names it."""
    if file == "D":
        file = "tests/unit/ingestion/test_decoders.py"
    return (ROOT / (file if file.startswith("tests/") else f"tests/integration/{file}")).read_text()


def test_every_test_that_is_named_exists() -> None:
    named = 0
    for _, _, proofs in ROWS:
        text = ""
        # A test without a file lies in the file before it.
        for file, test in re.findall(r"`(?:([\w./]+\.py|D)(?:::)?)?(test_\w+)?`", proofs):
            text = source(file) if file else text
            assert not test or f"def {test}(" in text, (file, test)
            named += 1
    assert named > 80
