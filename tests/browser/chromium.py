"""Chromium for the browser tests: found, or installed from Debian when it is missing and may be.

NOVA_CHROMIUM names a browser of one's own; NOVA_INSTALL_CHROMIUM=0 forbids the installation.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import BrowserContext, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-noto-color-emoji")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


class Unavailable(Exception):
    """There is no Chromium here; the text says why, and what to do."""


def find() -> str | None:
    """The path of a Chromium: NOVA_CHROMIUM, /usr/bin/chromium, or one on the PATH."""
    if chosen := os.environ.get("NOVA_CHROMIUM"):
        return shutil.which(chosen)
    return next((path for name in NAMES if (path := shutil.which(f"/usr/bin/{name}") or shutil.which(name))), None)


def ensure() -> str:
    """The path of a Chromium, installed first when need be. Raises `Unavailable`."""
    if path := find():
        return path
    if os.environ.get("NOVA_CHROMIUM"):
        raise Unavailable(f"NOVA_CHROMIUM={os.environ['NOVA_CHROMIUM']} is no program that can be started")
    prefix = _may_install()
    say = "Chromium is missing: installing it from the system's packages (NOVA_INSTALL_CHROMIUM=0 forbids it) …"
    print(f"\n{say}", file=sys.__stderr__, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES],
    ):
        done = subprocess.run([*prefix, *command], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
            raise Unavailable(f"{' '.join(command)} failed: {said[0]}. {_BY_HAND}")
    if path := find():
        return path
    raise Unavailable(f"the packages {' '.join(PACKAGES)} brought no Chromium. {_BY_HAND}")


_BY_HAND = (
    f"To run the browser tests: apt-get install {' '.join(PACKAGES)} (Debian), or set NOVA_CHROMIUM to the path of"
    " a Chromium or Chrome"
)


def _may_install() -> list[str]:
    """What to put before apt-get: nothing for root, sudo where it asks for no password. Raises `Unavailable`."""
    if os.environ.get("NOVA_INSTALL_CHROMIUM") == "0":
        raise Unavailable(f"there is no Chromium, and NOVA_INSTALL_CHROMIUM=0. {_BY_HAND}")
    if not Path("/etc/debian_version").exists() or shutil.which("apt-get") is None:
        raise Unavailable(f"there is no Chromium, and this is no Debian. {_BY_HAND}")
    if os.geteuid() == 0:
        return []
    if (sudo := shutil.which("sudo")) and not subprocess.run(
        [sudo, "-n", "true"], capture_output=True, check=False
    ).returncode:
        return [sudo, "-n", "--preserve-env=DEBIAN_FRONTEND"]
    raise Unavailable(f"there is no Chromium, and we may not install it. {_BY_HAND}")


@contextmanager
def opened(playwright: Playwright, path: str, **options: object) -> Iterator[BrowserContext]:
    """A browser with an empty profile of its own, closed and forgotten at the end.

    options: those of Playwright's contexts, like `viewport` and `color_scheme`.
    """
    with TemporaryDirectory(prefix="nova-chromium-") as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, headless=True, args=list(ARGUMENTS), **options
        )
        try:
            yield context
        finally:
            context.close()
