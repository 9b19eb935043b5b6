"""The stream's address in an ASGI process: who may open one, the answer's head, and its end. The rest is Django's.

Not a Django view: behind Django's middleware each open answer would keep a thread, and with a session a connection to
PostgreSQL, for as long as it lasts.
"""

import asyncio
import logging
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache as once
from functools import partial
from importlib import import_module
from io import BytesIO
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from redis.exceptions import RedisError
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, ValidationError

from feed.stream import places, tickets
from feed.stream.hub import hub
from feed.stream.protocol import Told
from feed.stream.reader import Reader
from nova import limits, metrics, postgres
from nova.errors import Overloaded
from nova.identity import Viewer, viewer_of
from nova.middleware import identified
from nova.rest import JSON, Code, Problem, describe, request_id, to_json
from ranking import pipeline

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# How long PostgreSQL is waited for to say whose session it is.
_SESSION_SECONDS = 2.0
PATHS = ("/api/feed/stream", "/api/v1/feed/stream")
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    # Nobody on the way may keep it, compress it or collect it before passing it on.
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}


class _Refused(Exception):
    """The stream is not opened; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Streams:
    """An ASGI application: streams at `PATHS`, everything else by `django`."""

    def __init__(self, django: App) -> None:
        self._django = django

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http" and scope["path"] in PATHS and scope["method"] == "GET":
            await _serve(scope, receive, send)
        else:
            await self._django(scope, receive, send)


async def _live(receive: Receive, send: Send) -> None:
    """Until the server ends. It waits for every answer before it says so here, hence the signals are heard directly."""
    loop = asyncio.get_running_loop()
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            metrics.STREAM_OPEN.set(0)
            for number in (signal.SIGTERM, signal.SIGINT):
                # The server's own handler, which the loop calls, is called too.
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(lambda: hub().end()))
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    request = ASGIRequest(scope, BytesIO())
    request.request_id = identified(request)  # type: ignore[attr-defined]
    by_ticket = False
    try:
        by_ticket = bool(_ticket(request))
        reader = await _entered(request)
    except Exception as error:
        await _refuse(request, send, _problem(error), by_ticket)
        return
    gone = asyncio.create_task(_close_when_gone(receive, reader))
    try:
        await _begin(send, 200, {**_HEADERS, **_headers(request, by_ticket)})
        await reader.run(lambda chunk: send({"type": "http.response.body", "body": chunk, "more_body": True}))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except Exception:
        # The answer has begun: to end it is all that can be said. The reader comes back.
        log.exception("a stream was broken off")
        raise
    finally:
        hub().leave(reader)
        gone.cancel()


async def _close_when_gone(receive: Receive, reader: Reader) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    reader.close()


async def _entered(request: ASGIRequest) -> Reader:
    """The reader of a new stream, who is in the hub. Raises what `describe` knows, or `_Refused`."""
    request.get_host()
    _look_for_room()
    told, look = _told(request), partial(hub().look, algo=_algo(request))
    viewer, place = await _placed(request)
    try:
        # Others came in meanwhile. From here on nothing is waited for until this one is in too.
        _look_for_room()
        if place:
            _look_for_place(viewer)
    except (Overloaded, _Refused):
        hub().give_back(viewer.id, place)
        raise
    reader = Reader(viewer.id, place, told, look)
    hub().enter(reader)
    return reader


def _look_for_room() -> None:
    if hub().ending or len(hub()) >= settings.STREAMS_PER_PROCESS:
        raise Overloaded("no more streams here")


async def _placed(request: ASGIRequest) -> tuple[Viewer, str]:
    """What `_let_in` finds, in a thread. A call that is cancelled meanwhile gives back the place that it then takes."""
    threads = _sessions() if _by_session(request) else None
    letting_in = asyncio.get_running_loop().run_in_executor(threads, _let_in, request)
    try:
        return await asyncio.shield(letting_in)
    except asyncio.CancelledError:
        letting_in.add_done_callback(_give_back)
        raise


@once
def _sessions() -> ThreadPoolExecutor:
    """Threads of their own: while PostgreSQL hangs those who come with a session wait for it, and nobody else."""
    return ThreadPoolExecutor(4, thread_name_prefix="stream-session")


def _by_session(request: ASGIRequest) -> bool:
    return not _ticket(request) and "Authorization" not in request.headers


def _give_back(let_in: "asyncio.Future[tuple[Viewer, str]]") -> None:
    if not let_in.cancelled() and let_in.exception() is None:
        viewer, place = let_in.result()
        hub().give_back(viewer.id, place)


def _ticket(request: ASGIRequest) -> str:
    """The ticket in the address; "" when there is none. Raises `SuspiciousOperation` when its query cannot be read."""
    return request.GET.get("ticket", "")


def _told(request: ASGIRequest) -> Told:
    """What the reader knows: by the last event they got, else by the snapshot they name, else nothing."""
    last = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id", "")
    if known := Told.of_id(last):
        return known
    since = request.GET.get("since", "")
    if since and not pipeline.is_snapshot(since):
        raise ValidationError({"since": ["This is no snapshot's id."]})
    return Told.holding(since)


def _algo(request: ASGIRequest) -> str | None:
    """The algorithm of the feed that the reader reads, when they name it: another one has other snapshots."""
    algo = request.GET.get("algo", "")
    if algo not in ("", pipeline.CH, pipeline.TIME):
        raise ValidationError({"algo": ["This must be ch or time."]})
    return algo or None


def _let_in(request: ASGIRequest) -> tuple[Viewer, str]:
    """Who opens the stream, and the place it takes among theirs. Blocks."""
    viewer = _viewer(request)
    if viewer.is_service:
        return viewer, ""
    if not _ticket(request):  # a ticket was counted when it was issued
        limits.enforce(request, viewer, "stream")
    place = secrets.token_hex(8)
    try:
        if not places.take(viewer.id, place):
            raise _no_place()
    except RedisError:
        log.debug("this process alone says who may open a stream: Redis does not answer")
    return viewer, place


def _look_for_place(viewer: Viewer) -> None:
    """What this process knows for itself: all there is to go by without Redis."""
    if hub().places_of(viewer.id) >= settings.STREAMS_PER_VIEWER:
        raise _no_place()


def _no_place() -> _Refused:
    message = f"{settings.STREAMS_PER_VIEWER} streams are open already: close one."
    wait = {"Retry-After": str(round(settings.STREAM_LEASE_SECONDS))}
    return _Refused(Problem(429, Code.RATE_LIMITED, message, headers=wait))


def _viewer(request: ASGIRequest) -> Viewer:
    if ticket := _ticket(request):
        holder = tickets.redeem(ticket)
        if holder is None:
            raise AuthenticationFailed("The ticket is forged, has expired or was used before. Get another.")
        return holder
    return _member_of_session(request) if _by_session(request) else viewer_of(request)


def _member_of_session(request: ASGIRequest) -> Viewer:
    cookie = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    try:
        with postgres.within(_SESSION_SECONDS):
            request.session = import_module(settings.SESSION_ENGINE).SessionStore(cookie)
            user = get_user(request)
    finally:
        connection.close()
    if not user.is_authenticated:
        raise NotAuthenticated("Send the header Authorization: Bearer TOKEN, a ticket, or the cookie of a session.")
    return Viewer(user.id)


def _problem(error: Exception) -> Problem:
    problem = error.problem if isinstance(error, _Refused) else describe(error)
    if problem is None:
        log.error("a stream could not be opened", exc_info=error)
        return Problem(500, Code.INTERNAL, "Something went wrong here. It was noted.")
    return problem


def _headers(request: ASGIRequest, by_ticket: bool) -> dict[str, str]:
    said = {"X-Request-ID": request_id(request), **limits.headers(limits.verdict_of(request))}
    if by_ticket:
        # The page may have another port than this process. The ticket is all that lets in: no cookie comes along.
        said["Access-Control-Allow-Origin"] = "*"
    return said


async def _refuse(request: ASGIRequest, send: Send, problem: Problem, by_ticket: bool) -> None:
    body = to_json(problem.body(request_id(request)))
    headers = {**_headers(request, by_ticket), "Content-Type": JSON, **problem.headers}
    await _begin(send, problem.status, headers)
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _begin(send: Send, status: int, headers: dict[str, str]) -> None:
    metrics.STREAM_ANSWERS.labels(str(status)).inc()
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
