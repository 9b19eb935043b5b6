"""Where things lie: the clone, the data folder of one stack, and what all stacks share."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from embedded.errors import StackError

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT / "var" / "packages"
"""Downloads that every stack of this clone uses (jars, a Redis binary), whatever its data folder."""


def default_var() -> Path:
    """The data folder: `NOVA_VAR`, by default `var`; a relative path counts from the clone. Raises StackError for the
    clone itself and what it lies in: `python -m embedded down --wipe` empties that folder."""
    folder = (ROOT / (os.environ.get("NOVA_VAR") or "var")).resolve()
    if ROOT.is_relative_to(folder):
        hint = "Choose a folder of its own: NOVA_VAR=var-mine"
        raise StackError(f"NOVA_VAR is {folder}, where this clone lies", hint)
    return folder


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step with `text`, readable by its owner only (mode 600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes mode 600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`, or an empty one when the file is missing or was never finished. Raises StackError."""
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    except PermissionError:
        raise StackError(
            f"{path} may not be read by this user",
            "Another user (root?) made it. Run as that user, or choose another folder: NOVA_VAR=var-mine",
        ) from None
    return value if isinstance(value, dict) else {}
