"""The settings as mypy's Django plugin reads them: the real ones, with addresses where nobody listens."""

import os

from tests.engines import NOWHERE, SECRETS

for _name, _value in {**NOWHERE, **SECRETS}.items():
    os.environ.setdefault(_name, _value)

from nova.settings import *  # noqa: E402, F403
