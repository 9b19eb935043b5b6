"""One of several processes around one breaker: `python -m tests.integration.breaker_process NAME`.

Each line of its input is a call to make, "good" or "bad"; each line of its output says what became of it, "called" or
"refused", and the state that the breaker is in afterwards. A process with no calls left ends.
"""

import sys

import django

django.setup()

from nova.errors import Transient  # noqa: E402
from ranking import breaker_history  # noqa: E402
from ranking.breaker import Breaker, Refused  # noqa: E402


def fail() -> None:
    raise Transient("nobody answers")


def main(name: str) -> None:
    # The history goes to PostgreSQL, which is not what is tried here.
    breaker_history.note = lambda *given, **named: None  # type: ignore[assignment]
    breaker = Breaker(name)
    print("ready", flush=True)
    for line in sys.stdin:
        said = "called"
        try:
            breaker.call(fail if line.strip() == "bad" else lambda: None)
        except Refused:
            said = "refused"
        except Transient:
            pass
        print(said, breaker.look().after.value, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
