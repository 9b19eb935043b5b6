"""The web application with a sampler beside it: which layer a request is in, a hundred times a second.

Only for `make bench-ingest`; BENCH_PROFILE names the file that gets the counts (layer → samples) twice a second.
"""

import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from nova.wsgi import application

ROOT = Path(__file__).resolve().parent.parent.parent

__all__ = ["application"]

_EVERY = 0.005
# The innermost frame that one of these knows says where the request is. (file part, function or "", layer); a thread
# whose layer is "" serves no request.
_LAYERS = (
    (f"{ROOT}/nova/kafka.py", "_poll", ""),
    (f"{ROOT}/nova/kafka.py", "send", "Kafka: hand over and wait for the broker"),
    (f"{ROOT}/nova/kafka.py", "_accepted", "Kafka: hand over and wait for the broker"),
    (f"{ROOT}/ingestion/contract.py", "line", "write each event as a line"),
    (f"{ROOT}/ingestion/contract.py", "", "judge each event (shape, times, rules)"),
    (f"{ROOT}/ingestion/intake.py", "remember_seen", "note what was seen (Redis)"),
    (f"{ROOT}/ingestion/intake.py", "of", "authors of the posts"),
    (f"{ROOT}/ingestion/intake.py", "_judged", "judge each event (shape, times, rules)"),
    (f"{ROOT}/ingestion/intake.py", "", "intake: the rest"),
    (f"{ROOT}/nova/limits.py", "", "rate limit (Redis)"),
    (f"{ROOT}/nova/identity.py", "", "token"),
    ("site-packages/rest_framework/", "", "Django and REST framework"),
    ("site-packages/django", "", "Django and REST framework"),
    (f"{ROOT}/nova/", "", "Django and REST framework"),
)


def _layer(frame: FrameType | None) -> str | None:
    while frame is not None:
        file, function = frame.f_code.co_filename, frame.f_code.co_name
        for part, name, layer in _LAYERS:
            if part in file and name in ("", function):
                return layer
        frame = frame.f_back
    return None


def _sample(path: Path) -> None:
    counts: Counter[str] = Counter()
    me, told = threading.get_ident(), time.monotonic()
    while True:
        time.sleep(_EVERY)
        for thread, frame in sys._current_frames().items():
            if thread != me and (layer := _layer(frame)):
                counts[layer] += 1
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            path.write_text(json.dumps(counts))


threading.Thread(target=_sample, args=(Path(os.environ["BENCH_PROFILE"]),), daemon=True).start()
