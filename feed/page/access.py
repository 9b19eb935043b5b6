"""Who may see the page at `/`, whose eyes it looks through, and what a refused or failed request is told."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from nova.rest import Problem, describe

LOOK, ACT = "feed.view_as_member", "feed.act_as_member"
# Nothing of another origin but the event stream, nothing inline: a text that slipped through the escaping could still
# not run.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{stream};"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Notice:
    """A line above the feed. kind: good or bad. `undo`: where to post `fields` to take back what was done."""

    text: str
    kind: str = "good"
    undo: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


def may_look(request: HttpRequest) -> bool:
    """In the demo anyone, else staff with the permission. A demo never asks the database who somebody is."""
    return settings.DEMO or (request.user.is_staff and request.user.has_perm(LOOK))


def may_act(request: HttpRequest) -> bool:
    return settings.DEMO or (request.user.is_staff and request.user.has_perm(ACT))


def looking(view: View) -> View:
    """Only for who may look. A stranger who asks for a page is sent to log in; anyone else finds nothing here."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not may_look(request):
            if request.user.is_authenticated or request.method not in {"GET", "HEAD"} or is_fragment(request):
                raise Http404
            return redirect_to_login(request.get_full_path(), reverse(settings.LOGIN_URL))
        response = view(request, *args, **kwargs)
        response.headers.setdefault("Content-Security-Policy", _policy())
        add_never_cache_headers(response)
        return response

    return guarded


def acting(view: View) -> View:
    """A write as a member (POST only); what goes wrong is said in the notice line instead of breaking the page."""
    return _posted(view, may_act)


def opening(view: View) -> View:
    """The same for what is asked by POST, and open to who may only look."""
    return _posted(view, may_look)


def _posted(view: View, may: Callable[[HttpRequest], bool]) -> View:

    @wraps(view)
    def answered(request: HttpRequest, member: UUID, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST" or not may(request):
            raise Http404
        try:
            response = view(request, member, *args, **kwargs)
        except Exception as error:
            problem = describe(error)
            if problem is None:
                raise
            return refused(request, problem)
        if is_fragment(request) or response.status_code == HTTPStatus.FOUND:
            return response
        return back(request, member, kwargs.get("post"))

    return looking(answered)


def back(
    request: HttpRequest, member: UUID, post: UUID | None = None, *, opened: bool = False, **did: str
) -> HttpResponse:
    """Where an act without JavaScript leads: the page it was done on, at the post it was about, perhaps opened. did:
    what the page is to say of the act."""
    asked = {"as": str(member), **did}
    with suppress(ValueError):
        came_from = dict(parse_qsl(urlsplit(request.headers.get("Referer", "")).query, max_num_fields=10))
        if cursor := came_from.get("cursor"):
            asked["cursor"] = cursor
    if opened:
        asked["open"] = str(post)
    return redirect(f"{reverse('page')}?{urlencode(asked)}{f'#post-{post}' if post else ''}")


def _policy() -> str:
    stream = urlsplit(settings.STREAM_URL)
    return _POLICY.format(stream=f" {stream.scheme}://{stream.netloc}" if stream.netloc else "")


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of the page."""
    return bool(getattr(request, "htmx", False))


def refused(request: HttpRequest, problem: Problem) -> HttpResponse:
    """What went wrong, for the notice line, wherever the answer was meant to go."""
    context = {"notice": Notice(problem.message, "bad")}
    response = render(request, "feed/_notice.html", context, status=problem.status)
    for name, value in {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML", **problem.headers}.items():
        response[name] = value
    return response
