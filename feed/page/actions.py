"""What one can do on the page as the chosen member. Every write goes through the community's services, as REST does."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import structlog
from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django_htmx.http import trigger_client_event
from rest_framework.exceptions import ValidationError

from community import services
from community.serializers import LONGEST_COMMENT, LONGEST_POST
from feed.page import directory, reads
from feed.page.access import Notice, acting, back, is_fragment, may_act, opening
from feed.page.cards import Person, stranger
from feed.page.directory import Hidden
from ingestion import intake
from nova import clock
from nova.errors import NovaError

log = structlog.get_logger(__name__)
POSTED = Notice("Posted. It travels to the followers’ feeds now; one’s own posts are not in one’s own feed.")


class _Switch(forms.Form):
    on = forms.TypedChoiceField(choices=[("1", "on"), ("0", "off")], coerce=lambda value: value == "1")


class _Hide(_Switch):
    kind = forms.ChoiceField(choices=[("mute", "mute"), ("block", "block")])


class _PostText(forms.Form):
    text = forms.CharField(max_length=LONGEST_POST)


class _CommentText(forms.Form):
    text = forms.CharField(max_length=LONGEST_COMMENT)


def _tell_view(member: UUID, post: UUID) -> None:
    """A view that cannot be told is lost, like that of any client which gives up; the post is shown all the same."""
    now = clock.now()
    event = {
        "event_id": str(uuid4()),
        "event_time": now.isoformat(),
        "user_id": str(member),
        "post_id": str(post),
        "action": "view",
        "device": "web",
    }
    try:
        intake.accept([event], member, now)
    except (NovaError, *directory.DOWN) as error:
        log.warning("view_not_told", error=str(error))


def _checked(form: forms.Form) -> dict[str, Any]:
    if not form.is_valid():
        raise ValidationError({name: [str(error) for error in errors] for name, errors in form.errors.items()})
    return form.cleaned_data


def _person(identifier: UUID) -> Person:
    return directory.member(identifier) or stranger(identifier)


def _apply(on: bool, do: Callable[[], object], undo: Callable[[], object]) -> None:
    do() if on else undo()


@acting
def post(request: HttpRequest, member: UUID) -> HttpResponse:
    text = _checked(_PostText(request.POST))["text"]
    services.do_create_post(author_id=member, text=text)
    if not is_fragment(request):
        return back(request, member, posted="1")
    context = {"member": _person(member), "longest_post": LONGEST_POST, "notice": POSTED}
    return render(request, "feed/_posted.html", context)


@acting
def follow(request: HttpRequest, member: UUID, author: UUID) -> HttpResponse:
    on = _checked(_Switch(request.POST))["on"]
    pair = {"follower_id": member, "followee_id": author}
    _apply(on, lambda: services.do_follow(**pair), lambda: services.do_unfollow(**pair))
    person = _person(author)
    text = f"Following {person.name}. Their posts appear in a moment." if on else f"No longer following {person.name}."
    context = {"member": _person(member), "author": person, "following": on, "notice": Notice(text)}
    return render(request, "feed/_followed.html", context)


@acting
def hide(request: HttpRequest, member: UUID, author: UUID) -> HttpResponse:
    """Mute or block, or take it back."""
    asked = _checked(_Hide(request.POST))
    on, kind = asked["on"], asked["kind"]
    pair = {"blocker_id": member, "blocked_id": author, "kind": kind}
    _apply(on, lambda: services.do_block(**pair), lambda: services.do_unblock(**pair))
    if not is_fragment(request):
        return back(request, member, hid=str(author))
    hidden = Hidden(_person(author), kind)
    person = hidden.person
    notice = hid(member, hidden) if on else Notice(f"{person.name} is no longer {hidden.done}.")
    response = render(request, "feed/_hid.html", {"author": person, "hidden": on, "notice": notice})
    return trigger_client_event(response, "hidden:changed")


def hid(member: UUID, hidden: Hidden) -> Notice:
    """That somebody is muted or blocked, with the way back."""
    undo = reverse("page-hide", args=[member, hidden.person.id])
    return Notice(f"{hidden.person.name} is {hidden.done}.", undo=undo, fields={"kind": hidden.kind, "on": "0"})


@acting
def like(request: HttpRequest, member: UUID, post: UUID) -> HttpResponse:
    on = _checked(_Switch(request.POST))["on"]
    pair = {"user_id": member, "post_id": post}
    _apply(on, lambda: services.do_like(**pair), lambda: services.do_unlike(**pair))
    card = reads.liked(member, post, on)
    return render(request, "feed/_like.html", {"member": _person(member), "card": card})


@acting
def comment(request: HttpRequest, member: UUID, post: UUID) -> HttpResponse:
    services.do_comment(user_id=member, post_id=post, text=_checked(_CommentText(request.POST))["text"])
    return trigger_client_event(_detail(request, member, post), "pulse:soon")


@opening
def open_post(request: HttpRequest, member: UUID, post: UUID) -> HttpResponse:
    """The whole text and the comments; the view is told to the intake as any client would tell it. Who may only look
    leaves no trace."""
    if may_act(request):
        _tell_view(member, post)
    return _detail(request, member, post)


def _detail(request: HttpRequest, member: UUID, post: UUID) -> HttpResponse:
    if not is_fragment(request):
        return back(request, member, post, opened=True)
    context = {"may_act": may_act(request), "longest_comment": LONGEST_COMMENT, **reads.detail(member, post)}
    return render(request, "feed/_detail.html", context)
