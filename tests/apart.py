"""A part of the tests runs beside all others: in a second pytest, when the whole suite is asked for.

Most of what tests do is wait for engines, so two at a time take little more than half the time of one. Chosen are those
that start stacks of their own, those that call over HTTP, and as many of ranking and of the jobs as make both parts
take as long. Their output follows at the end when one failed. (pytest-xdist's workers load our plugin only after
pytest-django has read the settings, which must name the engines by then.)
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from embedded.process import Process

ROOT = Path(__file__).resolve().parent.parent
OWN_STACKS = (ROOT / "tests" / "integration" / "alone", ROOT / "tests" / "chaos")
_SOME = (
    "jobs_each",
    "jobs_feeds",
    "jobs_letters",
    "jobs_processes",
    "ranking_building",
    "ranking_candidates",
    "ranking_cursors",
    "ranking_ladder",
    "ranking_news",
    "ranking_outages",
    "ranking_paging",
    "ranking_snapshots",
    "ranking_withheld",
)
APART = (
    *OWN_STACKS,
    ROOT / "tests" / "api",
    ROOT / "tests" / "browser",
    *(ROOT / "tests" / "integration" / f"test_{name}.py" for name in _SOME),
)
# Each test ends by its own timeout; this only bounds what would never end.
_SECONDS = 1800.0
_beside: Process | None = None


def _within(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def only_own_stacks(paths: Sequence[str]) -> bool:
    """Whether the paths named on pytest's command line (may hold `::`) all have stacks of their own."""
    chosen = [Path(path.split("::")[0]).resolve() for path in paths]
    return bool(chosen) and all(_within(path, OWN_STACKS) for path in chosen)


def _whole_suite(config: pytest.Config) -> bool:
    chosen = config.option.keyword or config.option.markexpr or config.option.collectonly
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not chosen


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if _whole_suite(config) and _within(collection_path, APART) else None


def _var() -> str:
    return os.environ.get("NOVA_TEST_VAR", "var-test")


def _log() -> Path:
    return ROOT / _var() / "log" / "apart.log"


def pytest_sessionstart(session: pytest.Session) -> None:
    global _beside
    if not _whole_suite(session.config):
        return
    _log().unlink(missing_ok=True)
    from tests.engines import GIVEN, OURS

    # It starts engines of its own, and must know none of ours.
    environment = {name: value for name, value in GIVEN.items() if name not in OURS}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, APART)]
    environment["NOVA_TEST_VAR"] = f"{_var()}-apart"
    _beside = Process(command, environment=environment, log=_log(), death_signal=signal.SIGTERM)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _beside is None:
        return
    if session.exitstatus == pytest.ExitCode.INTERRUPTED:
        _beside.signal(signal.SIGINT)
    code = _beside.wait(_SECONDS)
    if code is None:
        _beside.signal_all(signal.SIGKILL)
    if code != 0 and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _beside is None:
        return
    terminalreporter.section("the tests beside")
    said = _log().read_text(errors="replace")
    if _beside.exit_code() == 0:
        # Who keeps only the end of an output shall find our own failures there.
        summaries = [line for line in said.splitlines() if line.startswith("=")]
        terminalreporter.write_line(summaries[-1] if summaries else said)
        return
    terminalreporter.write(said)
    terminalreporter.write_line("Of these, some failed; the line below counts the others.", red=True)
