"""Make `.venv` and install what is locked. Standard library only: it runs on the system's Python, before all else.

    python3 -m embedded.bootstrap [embedded|dev]

Exit codes: 0 ready, 1 something is missing (the message says what to do). Written so that Pythons too old for
Nova can still read it and say so.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11", "python3.14")
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
DISK_GB = 4.0
MEMORY_GB = 2.5
RETRIES = "5"


def say(text):  # type: (str) -> None
    """Print a line at once."""
    print(text, flush=True)


def stop(message, advice):  # type: (str, str) -> None
    """Say what is wrong and what to do, and end."""
    sys.stdout.flush()
    sys.stderr.write(f"{message}\n{advice}\n")
    sys.exit(1)


def use_new_enough_python():  # type: () -> None
    """Go on with a newer Python of this machine when this one is too old."""
    if sys.version_info >= OLDEST:
        return
    test = f"import sys; sys.exit(sys.version_info < {OLDEST})"
    for name in NEWER:
        path = shutil.which(name)
        # Asked, not trusted: a version manager may have put a name there that leads nowhere.
        if path and subprocess.call([path, "-c", test], stderr=subprocess.DEVNULL) == 0:
            os.execv(path, [path, "-m", "embedded.bootstrap", *sys.argv[1:]])
    stop(
        "Python {}.{} or newer is needed; this is {}.{}".format(*OLDEST, *sys.version_info[:2]),
        "Install one with the system's package manager, then: make PYTHON=/path/to/python3.11 demo",
    )


def check_venv_module():  # type: () -> None
    """Debian ships Python without the part that makes virtual environments."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = "{}.{}".format(*sys.version_info[:2])
        stop(
            "this Python cannot make virtual environments: its modules venv and ensurepip are missing",
            f"Install them (Debian, Ubuntu: apt install python{version}-venv), then try again.",
        )


def digest(lock):  # type: (Path) -> str
    """What the stamp holds: the lock file, the Python that it was installed for, and the place."""
    return hashlib.sha256(lock.read_bytes() + (sys.version + str(VENV.resolve())).encode()).hexdigest()


def is_done(lock):  # type: (Path) -> bool
    """Whether exactly this lock file, or dev.txt, which holds all of embedded.txt, has been installed."""
    for candidate in (lock, ROOT / "requirements" / "dev.txt"):
        stamp = VENV / (candidate.stem + ".installed")
        if (VENV / "bin" / "python").exists() and stamp.exists() and stamp.read_text() == digest(candidate):
            return True
    return False


def is_in_place():  # type: () -> bool
    """Whether `.venv` lies where it was made: its commands name their Python by the whole path."""
    pip = VENV / "bin" / "pip"
    said = pip.read_bytes() if pip.exists() else b""
    return any(str(place / "bin").encode() in said for place in (VENV, VENV.resolve()))


def make_venv():  # type: () -> None
    """Create `.venv`, anew when it was made by another Python or elsewhere, or broke off half-way."""
    python = VENV / "bin" / "python"
    works = (
        is_in_place()
        and python.exists()
        and subprocess.call([str(python), "-c", "import pip"], stderr=subprocess.DEVNULL) == 0
    )
    version = f"import sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
    if works and subprocess.call([str(python), "-c", version]) == 0:
        return
    say(f"creating {VENV}")
    if subprocess.call([sys.executable, "-m", "venv", "--clear", str(VENV)]) != 0:
        stop("the virtual environment could not be made", "The lines above say why.")


def install(lock):  # type: (Path) -> None
    """Install the lock file with its hashes; pip keeps what it has downloaded, so a second try goes on from there."""
    wanted = sum("==" in line for line in lock.read_text().splitlines())
    say(f"installing up to {wanted} packages from {lock.relative_to(ROOT)} (about 700 MB)")
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--retries", RETRIES]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "-r", str(lock)]
    last = []  # type: list[str]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, errors="replace"
    ) as pip:
        assert pip.stdout is not None
        found = 0
        for line in pip.stdout:
            last = [*last[-25:], line.rstrip()]
            words = line.split()
            if line.startswith(("Collecting ", "Requirement already satisfied")):
                found += 1
            elif words and words[0] in ("Downloading", "Using"):  # "Using cached FILE (SIZE)"
                show("{}/{}  {}".format(found, wanted, line.strip().rpartition("/")[2]))
            elif line.startswith("Installing collected packages"):
                show("unpacking (about half a minute)")
    show("")
    if pip.returncode != 0:
        say("\n".join(last))
        stop(
            "not every package could be installed; the lines above name the one that failed",
            "Check the network (HTTPS_PROXY and pip's own settings are honoured), then run the same command again:"
            " what has been downloaded is kept.",
        )


def show(text):  # type: (str) -> None
    """Put `text` in the place of the line before, on a terminal; elsewhere there is no such place."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        sys.stdout.write("\r\x1b[K" + text[:width])
        sys.stdout.flush()


def main(arguments):  # type: (list[str]) -> int
    """Bring `.venv` up to the lock file that the argument names (embedded by default)."""
    use_new_enough_python()
    name = arguments[0] if arguments else "embedded"
    lock = ROOT / "requirements" / (name + ".txt")
    if not lock.exists():
        stop(f"there is no {lock}", "Known: embedded, dev")
    if is_done(lock):
        return 0

    from embedded import preflight  # now that this Python is known to understand it
    from embedded.errors import StackError

    if not sys.platform.startswith("linux"):
        stop("the engines' packages exist for Linux only", "Point Nova at outside engines instead, see README.md")
    check_venv_module()
    try:
        preflight.check(ROOT, disk=DISK_GB, memory=MEMORY_GB)
    except StackError as error:
        stop(error.message, error.hint)
    started = time.monotonic()
    for stamp in VENV.glob("*.installed"):
        stamp.unlink()  # what it stands for changes now; this may break off, or be the way back to an older lock file
    make_venv()
    install(lock)
    (VENV / (name + ".installed")).write_text(digest(lock))
    say(f"installed in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
