"""The engines, one class per file; each is a Startable."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from embedded.errors import StackError
from embedded.process import Account


def plain_environment(**more: str) -> dict[str, str]:
    """What an engine gets to see: none of our secrets, nothing that would change its behaviour."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC"} | kept | more


def run_tool(
    command: Sequence[str],
    *,
    purpose: str,
    account: Account | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    cwd: Path | str = "/",
    timeout: float = 120.0,
) -> str:
    """Run a program to its end and return what it printed; `purpose` completes "could not …".

    Raises StackError with the program's last lines, and with advice when a shared library is missing.
    """
    who: dict[str, object] = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    try:
        done = subprocess.run(
            list(command),
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            cwd=cwd,
            env=dict(environment or plain_environment()),
            start_new_session=True,
            **who,  # type: ignore[call-overload]
        )
    except subprocess.TimeoutExpired:
        raise StackError(f"could not {purpose}: {command[0]} took more than {timeout:.0f} s") from None
    except OSError as error:
        raise StackError(f"could not {purpose}: {error.strerror}: {command[0]}") from None
    if done.returncode:
        raise StackError(f"could not {purpose}", explain(done.stdout))
    return str(done.stdout)


def explain(output: str) -> str:
    """Advice for a program's last words: which package to install when a library is missing, else the words."""
    missing = re.search(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file", output)
    if missing:
        return (
            f"The system library {missing[1]} is missing. Install the package that holds it with the system's"
            " package manager (libz.so.1: zlib1g on Debian, zlib on Fedora), then try again."
        )
    return "\n".join(output.strip().splitlines()[-12:])
