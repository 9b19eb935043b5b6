"""Random secrets of one stack, made once and kept in `secrets.json` (mode 600)."""

import json
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from embedded.paths import read_json, write_private


@dataclass(frozen=True)
class Credentials:
    """Every secret of one stack; URL-safe text each."""

    django_secret_key: str
    jwt_secret: str
    postgres_superuser: str
    postgres: str
    redis: str
    staff: str


def load(path: Path) -> Credentials:
    """The secrets in `path`; those that are missing are made and written there."""
    stored = read_json(path)
    names = [field.name for field in fields(Credentials)]
    known = {name: stored[name] for name in names if isinstance(stored.get(name), str)}
    made = {name: secrets.token_urlsafe(12 if name == "staff" else 48) for name in names if name not in known}
    credentials = Credentials(**known, **made)
    if made:
        write_private(path, json.dumps(asdict(credentials), indent=2) + "\n")
    return credentials
