"""Other weights for some of the viewers: which experiment a viewer is in, and how staff change one.

Each process remembers the running experiments and asks PostgreSQL again every few seconds, beside the calls and never
in their way. Without PostgreSQL the last ones known go on; a process that never knew any uses the settings.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache as once
from time import monotonic

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction

from nova import clock, postgres
from ranking import split
from ranking.models import Experiment, ExperimentVersion
from ranking.scoring import Weights

log = logging.getLogger(__name__)

REMEMBER_SECONDS = 5.0
# The first reading of a process is waited for.
_PATIENCE_SECONDS = 1.0
_lock = threading.Lock()
_known: list[Experiment] | None = None
_again_at = 0.0


def weights_of(viewer: str, now: datetime) -> Weights:
    """What the parts of the viewer's scores weigh: by their experiment, else by the settings."""
    one = _of(viewer, now)
    if one is None:
        return Weights.configured()
    return Weights(one.freshness, one.engagement, one.affinity, one.decay, one.label, experiment=one.name)


def version_of(viewer: str, now: datetime) -> str:
    """The version of the viewer's weights, without the weights."""
    one = _of(viewer, now)
    return str(settings.RANKING_VERSION) if one is None else one.label


def _of(viewer: str, now: datetime) -> Experiment | None:
    active = _active()
    if not active:
        return None
    bucket = split.bucket_of(viewer)
    return next((one for one in active if split.holds(one.buckets, bucket) and one.runs(now)), None)


def save(experiment: Experiment, by: str) -> None:
    """Keep an experiment as its next version, and in the history who made it. Raises `ValidationError`."""
    with transaction.atomic():
        # One change at a time: the shares of all are checked together, those of the first two as well.
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {Experiment._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")
        experiment.full_clean()
        kept = Experiment.objects.filter(id=experiment.id).first()
        experiment.version = kept.version + 1 if kept else 1
        held = kept.buckets if kept else b""
        experiment.buckets = _allotted(experiment, held) if experiment.active else held
        experiment.save()
        numbers = {name: getattr(experiment, name) for name in ExperimentVersion.COPIED}
        ExperimentVersion.objects.create(experiment=experiment, at=clock.now(), by=by, **numbers)
    forget()


def _allotted(experiment: Experiment, held: Sequence[int]) -> bytes:
    others = Experiment.objects.filter(active=True).exclude(id=experiment.id)
    return split.allot(experiment.share, held, others.values_list("buckets", flat=True), experiment.salt)


def forget() -> None:
    """Ask PostgreSQL at the next call, and wait for its answer."""
    global _known
    with _lock:
        _known = None


def _active() -> list[Experiment]:
    global _again_at, _known
    known = _known
    if known is not None and monotonic() < _again_at:
        return known
    with _lock:
        if _known is None:
            _again_at = monotonic() + REMEMBER_SECONDS
            _known = _read() or []
        elif monotonic() >= _again_at:
            _again_at = monotonic() + REMEMBER_SECONDS
            _reader().submit(_renew)
        return _known


def _read() -> list[Experiment] | None:
    """What runs, by PostgreSQL; None when it does not say."""
    held = connection.connection is not None
    try:
        with postgres.within(_PATIENCE_SECONDS), transaction.atomic():
            return list(Experiment.objects.filter(active=True).order_by("id"))
    except (DatabaseError, InterfaceError) as error:
        log.warning("the experiments cannot be read, the last known go on: %s", error)
        return None
    finally:
        if not held:
            # The short way to a feed and our own thread have no request whose end would give it back to the pool.
            connection.close()


def _renew() -> None:
    global _known
    found = _read()
    if found is not None:
        with _lock:
            _known = found


@once
def _reader() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="experiments")
