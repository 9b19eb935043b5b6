"""The page at `/`: a member's feed through their eyes, and why each post is there. Reads; actions.py writes."""

import hashlib
import re
from contextlib import suppress
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_safe
from django_htmx.http import trigger_client_event
from redis.exceptions import RedisError

from community.serializers import LONGEST_COMMENT, LONGEST_POST
from feed.page import directory, reads
from feed.page.access import Notice, looking, may_act
from feed.page.actions import POSTED, hid
from feed.page.cards import Person, stranger
from feed.stream import tickets

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@cache
def _version() -> str:
    """Changes with the page's own files, so that a browser never mixes an old style with a new page."""
    digest = hashlib.sha256()
    for name in ("feed/page.css", "feed/page.js"):
        if path := finders.find(name):
            with open(path, "rb") as file:
                digest.update(file.read())
    return digest.hexdigest()[:12]


def _context(request: HttpRequest, member: Person, **more: Any) -> dict[str, Any]:
    limits = {"longest_post": LONGEST_POST, "longest_comment": LONGEST_COMMENT}
    return {"member": member, "may_act": may_act(request), "known": True, **limits, **more}


def _asked(request: HttpRequest) -> str:
    return request.GET.get("q", "").strip()[:100]


def _members(query: str) -> dict[str, Any]:
    try:
        return {"members": directory.search(query), "q": query}
    except directory.DOWN:
        return {"members": [], "q": query, "notice": Notice("Members cannot be read at the moment.", "bad")}


@require_safe
@looking
def home(request: HttpRequest) -> HttpResponse:
    """`?as=` names the member; in the demo somebody is chosen at once. For those without JavaScript are `?cursor=`,
    `?open=` (a post to be shown with its comments), and what was done: `?posted=`, `?hid=` (a member)."""
    asked = request.GET.get("as", "")
    query = _asked(request)
    try:
        member = directory.member(UUID(asked)) if asked else None
    except ValueError:
        member = None
    if member is None:
        if settings.DEMO and not asked and not query and (usual := directory.usual_member()):
            return redirect(f"{reverse('page')}?as={usual.id}")
        found = _members(query)
        if asked:
            found["notice"] = Notice("There is no such member. Choose another.", "bad")
        return render(request, "feed/page.html", {"version": _version(), **found}, status=404 if asked else 200)
    context = _context(request, member, version=_version(), **_members(query))
    context.update(reads.read(member.id, request.GET.get("cursor", "")))
    if _UUID.fullmatch(post := request.GET.get("open", "")):
        context["opened"] = reads.detail(member.id, UUID(post))
        context["apart"] = all(card.id != UUID(post) for card in context.get("cards", ()))
    if "posted" in request.GET:
        context["notice"] = POSTED
    if (who := request.GET.get("hid")) and context["may_act"]:
        context["notice"] = _hid(member.id, who) or context.get("notice")
    return render(request, "feed/page.html", context)


def _hid(member: UUID, who: str) -> Notice | None:
    """That this member is hidden, as long as it is so."""
    with suppress(*directory.DOWN):
        return next((hid(member, one) for one in directory.hidden(member) if str(one.person.id) == who), None)
    return None


@require_safe
@looking
def members(request: HttpRequest) -> HttpResponse:
    """The chooser's list while one types."""
    return render(request, "feed/_members.html", _members(_asked(request)))


@require_safe
@looking
def feed(request: HttpRequest, member: UUID) -> HttpResponse:
    """The first page of posts, or with `?cursor=` those that follow."""
    person = directory.member(member) or stranger(member)
    cursor = request.GET.get("cursor", "")
    context = _context(request, person, **reads.read(member, cursor))
    return render(request, "feed/_posts.html" if cursor else "feed/_feed.html", context)


@require_safe
@looking
def pulse(request: HttpRequest, member: UUID) -> HttpResponse:
    """Asked every two seconds: how the feed is made now, what the first posts count, and whether the feed changed."""
    found = reads.pulse(member, request.GET.get("snapshot", ""), _posts_shown(request))
    context = {"member": stranger(member), "status": found.status, "counts": found.counts}
    response = render(request, "feed/_status.html", context)
    if found.changed:
        trigger_client_event(response, "feed:changed", {"newer": found.newer})
    return response


@require_GET
@looking
def stream(request: HttpRequest, member: UUID) -> HttpResponse:
    """Leads to the member's event stream, with a ticket that opens it once. It takes none of the places that the member
    has for their own."""
    last = request.headers.get("Last-Event-ID", "")
    try:
        ticket = tickets.issue(member, is_service=True)
    except RedisError:
        return HttpResponse(status=503, headers={"Retry-After": "2"})
    return redirect(tickets.address(ticket, since=request.GET.get("since", ""), last_event_id=last))


def _posts_shown(request: HttpRequest) -> list[UUID]:
    given = request.GET.getlist("post")[: reads.MOST_LIVE]
    return [UUID(text) for text in given if _UUID.fullmatch(text)]


@require_safe
@looking
def trending(request: HttpRequest, member: UUID) -> HttpResponse:
    context = {"member": stranger(member), "trending": reads.trending(member)}
    return render(request, "feed/_trending.html", context)


@require_safe
@looking
def why(request: HttpRequest, member: UUID, post: UUID) -> HttpResponse:
    """Whether a post is in the feed, why not, and what would bring it in."""
    return render(request, "feed/_place.html", reads.why(member, post))


@require_safe
@looking
def people(request: HttpRequest, member: UUID) -> HttpResponse:
    """Members to follow, by name or a few that the viewer does not follow yet."""
    query = _asked(request)
    context = _context(request, stranger(member), q=query)
    try:
        context["people"] = directory.people(member, query)
    except directory.DOWN:
        context["known"] = False
    return render(request, "feed/_people.html", context)


@require_safe
@looking
def hidden(request: HttpRequest, member: UUID) -> HttpResponse:
    """Whom the viewer muted or blocked."""
    context = _context(request, stranger(member))
    try:
        context["hidden"] = directory.hidden(member)
    except directory.DOWN:
        context["known"] = False
    return render(request, "feed/_hidden_people.html", context)
