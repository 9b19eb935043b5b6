import ast
import subprocess
from pathlib import Path

import pytest

from embedded import bootstrap


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "requirements").mkdir()
    for name in ("embedded", "dev"):
        (tmp_path / "requirements" / f"{name}.txt").write_text(f"{name}==1\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    return tmp_path


def test_what_is_installed_is_not_installed_again(clone: Path) -> None:
    lock = clone / "requirements" / "embedded.txt"
    assert not bootstrap.is_done(lock)
    (clone / ".venv" / "embedded.installed").write_text(bootstrap.digest(lock))
    assert bootstrap.main(["embedded"]) == 0
    lock.write_text("embedded==2\n")
    assert not bootstrap.is_done(lock)


def test_the_tests_environment_holds_the_demos(clone: Path) -> None:
    dev = clone / "requirements" / "dev.txt"
    (clone / ".venv" / "dev.installed").write_text(bootstrap.digest(dev))
    assert bootstrap.is_done(clone / "requirements" / "embedded.txt")


def test_what_was_installed_before_something_else_is_looked_at_again(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back on the old version, its stamp would stand for packages of the new one."""
    monkeypatch.setenv("NOVA_ANYWAY", "1")
    monkeypatch.setattr(bootstrap, "make_venv", lambda: None)
    monkeypatch.setattr(bootstrap, "install", lambda lock: None)
    locks = [clone / "requirements" / f"{name}.txt" for name in ("embedded", "dev")]
    assert bootstrap.main(["embedded"]) == 0
    old = [lock.read_text() for lock in locks]
    for lock in locks:
        lock.write_text(f"{lock.stem}==2\n")
    assert bootstrap.main(["dev"]) == 0
    assert all(bootstrap.is_done(lock) for lock in locks)
    for lock, text in zip(locks, old, strict=True):
        lock.write_text(text)
    assert not any(bootstrap.is_done(lock) for lock in locks)


def test_an_unknown_lock_file_is_refused(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bootstrap.main(["other"])
    assert ended.value.code == 1
    assert "Known: embedded, dev" in capsys.readouterr().err


def test_an_old_python_can_read_it_and_say_so() -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 6))


def test_an_environment_that_was_moved_with_its_folder_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commands would name a Python that is not there any more."""
    before, after = tmp_path / "before", tmp_path / "after"
    monkeypatch.setattr(bootstrap, "VENV", before / ".venv")
    bootstrap.make_venv()
    made = (before / ".venv" / "pyvenv.cfg").stat().st_mtime_ns
    bootstrap.make_venv()
    assert (before / ".venv" / "pyvenv.cfg").stat().st_mtime_ns == made

    lock = Path(__file__)
    stamp = bootstrap.digest(lock)
    before.rename(after)
    monkeypatch.setattr(bootstrap, "VENV", after / ".venv")
    assert bootstrap.digest(lock) != stamp
    bootstrap.make_venv()
    subprocess.run([after / ".venv" / "bin" / "pip", "--version"], check=True)
