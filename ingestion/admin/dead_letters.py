"""What could not be stored, and sending it again. Acting is a permission of its own: "Can replay dead letters"."""

import json
from codecs import utf_8_decode
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.core.exceptions import PermissionDenied
from django.db.models import BinaryField, QuerySet
from django.db.models.functions import Substr
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from ingestion import replay
from ingestion.dead_letters import REPLAY_OF
from ingestion.models import DeadLetter, Replay
from nova import clock
from nova.admin import Dated, ReadOnly

# More than this in one request would outlast it; the rest is one more click, or the command.
MOST_AT_ONCE = 2000
_SHOWN = 20_000
# In a list, characters; a character has four bytes at most.
_BEGINNING = 80
# Of a message all that may be long.
_MESSAGE = ("key", "raw", "headers", "decoded")
_PRE = '<pre style="white-space: pre-wrap; overflow-wrap: anywhere; max-width: 100%; margin: 0">{}</pre>'


class AgeFilter(admin.SimpleListFilter):
    """When a letter was stored."""

    title = "stored"
    parameter_name = "stored"
    _HOURS = {"1h": 1, "24h": 24, "7d": 24 * 7, "30d": 24 * 30}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1h", "in the last hour"), ("24h", "in the last 24 hours"), ("7d", "in 7 days"), ("30d", "in 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
        hours = self._HOURS.get(self.value() or "")
        return queryset.filter(created_at__gte=clock.now() - timedelta(hours=hours)) if hours else queryset


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly, Dated):
    list_display = (
        "id",
        "created_at",
        "topic",
        "partition",
        "offset",
        "reason",
        "field",
        "payload",
        "state",
        "replay_count",
    )
    list_filter = ("topic", "reason", "state", AgeFilter)
    search_fields = ("detail", "field")
    date_hierarchy = "created_at"
    show_full_result_count = False
    actions = ("replay_selected",)
    change_list_template = "admin/ingestion/deadletter/change_list.html"
    change_form_template = "admin/ingestion/deadletter/change_form.html"
    fieldsets = (
        (None, {"fields": ("state", "reason", "field", "detail", "created_at", "replay_count", "published_at")}),
        ("Where it was", {"fields": ("consumer", "topic", "partition", "offset", "topic_id", "message_time")}),
        ("The message", {"fields": ("came_from", "decoded_pretty", "raw_text", "key_text", "headers_list")}),
        ("Replays", {"fields": ("history",)}),
    )
    readonly_fields = ("came_from", "decoded_pretty", "raw_text", "key_text", "headers_list", "history")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("replay-matching/", view(self.replay_matching), name="ingestion_deadletter_replay_matching"),
            path("<int:letter_id>/replay/", view(self.replay_one), name="ingestion_deadletter_replay"),
            *super().get_urls(),
        ]

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ingestion.replay_deadletter")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """Without the messages, which would be a hundred megabytes in a list: the page of a letter reads its own."""
        beginning = Substr("raw", 1, 4 * _BEGINNING, output_field=BinaryField())
        letters: QuerySet[DeadLetter] = super().get_queryset(request).defer(*_MESSAGE)
        return letters.annotate(beginning=beginning)

    # Looking -----------------------------------------------------------------------------------------------------

    @admin.display(description="message")
    def payload(self, letter: DeadLetter) -> str:
        text = _readable(letter.beginning, is_whole=False)  # type: ignore[attr-defined]
        return text if len(text) <= _BEGINNING else f"{text[: _BEGINNING - 1]}…"

    @admin.display(description="replay of")
    def came_from(self, letter: DeadLetter) -> str | SafeString:
        number = next((value for name, value in letter.headers if name == REPLAY_OF), None)
        if not (isinstance(number, str) and number.isdecimal()):
            return "–"
        return format_html(
            '<a href="{}">dead letter {}</a>', reverse("admin:ingestion_deadletter_change", args=[number]), number
        )

    @admin.display(description="as JSON")
    def decoded_pretty(self, letter: DeadLetter) -> str | SafeString:
        if letter.decoded is None:
            return "it is no JSON"
        return format_html(_PRE, json.dumps(letter.decoded, indent=2, ensure_ascii=False)[:_SHOWN])

    @admin.display(description="as it came")
    def raw_text(self, letter: DeadLetter) -> SafeString:
        return format_html(_PRE, _readable(letter.raw))

    @admin.display(description="key")
    def key_text(self, letter: DeadLetter) -> SafeString:
        return format_html(_PRE, _readable(letter.key))

    @admin.display(description="headers")
    def headers_list(self, letter: DeadLetter) -> str | SafeString:
        lines = ((name, json.dumps(value, ensure_ascii=False)) for name, value in letter.headers)
        return format_html_join("", "<div><code>{}</code>: {}</div>", lines) or "none"

    @admin.display(description="history")
    def history(self, letter: DeadLetter) -> str | SafeString:
        lines = (
            (
                f"{one.at:%Y-%m-%d %H:%M:%S}",
                one.by or "command line",
                one.get_outcome_display(),
                _target(one),
                one.detail,
            )
            for one in letter.replays.select_related("by")
        )
        return format_html_join("", "<div>{} by {}: {} {} {}</div>", lines) or "never replayed"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {"may_replay": self.has_replay_permission(request)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"may_replay": self.has_replay_permission(request)}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    # Acting ------------------------------------------------------------------------------------------------------

    @admin.action(description="Replay the selected dead letters", permissions=["replay"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        self._replay(request, queryset.order_by("pk"))

    def replay_one(self, request: HttpRequest, letter_id: int) -> HttpResponse:
        """POST: replay one letter and show it again."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self._check(request)
        self._replay(request, DeadLetter.objects.filter(pk=letter_id))
        return HttpResponseRedirect(reverse("admin:ingestion_deadletter_change", args=[letter_id]))

    def replay_matching(self, request: HttpRequest) -> HttpResponse:
        """GET: how many letters match the filters in the address. POST: replay those that were there at the GET."""
        self._check(request)
        if "p" in request.GET:
            # All pages of the list are meant, whichever the link stood on, and that one may be gone.
            asked = request.GET.copy()
            del asked["p"]
            return HttpResponseRedirect(f"{request.path}?{asked.urlencode()}")
        try:
            matching = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{reverse('admin:ingestion_deadletter_changelist')}?{ERROR_FLAG}=1")
        waiting = matching.filter(state=DeadLetter.State.WAITING)
        last = waiting.order_by("-pk").values_list("pk", flat=True).first() or 0
        listing = reverse("admin:ingestion_deadletter_changelist")
        back = f"{listing}?{request.GET.urlencode()}"
        if request.method == "POST":
            upto = request.POST.get("upto", "")
            known = int(upto) if upto.isdecimal() and len(upto) < 19 else 0
            self._replay(request, waiting.filter(pk__lte=known).order_by("pk"))
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "title": "Replay all dead letters that match",
            "opts": self.model._meta,
            "count": waiting.count(),
            "most": MOST_AT_ONCE,
            "upto": last,
            "filters": [(name, value) for name, value in request.GET.items() if value],
            "back": back,
        }
        return TemplateResponse(request, "admin/ingestion/deadletter/replay_matching.html", context)

    def _check(self, request: HttpRequest) -> None:
        if not (self.has_replay_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied

    def _replay(self, request: HttpRequest, letters: QuerySet[DeadLetter]) -> None:
        """Replay and say what became of it. Any second click finds the letters replayed, and says so."""
        ids = list(letters.values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
        outcome = replay.replay(ids[:MOST_AT_ONCE], by=request.user, detail="admin")  # type: ignore[arg-type]
        level = messages.ERROR if outcome.failed else messages.SUCCESS if outcome.sent else messages.WARNING
        more = f" More are left: only {MOST_AT_ONCE:,} are sent at once." if len(ids) > MOST_AT_ONCE else ""
        self.message_user(request, f"{outcome}.{more}", level)


@admin.register(Replay)
class ReplayAdmin(ReadOnly, Dated):
    list_display = ("at", "letter", "by", "outcome", "target", "detail")
    list_filter = ("outcome", "at")
    list_select_related = ("letter", "by")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Replay]:
        return super().get_queryset(request).defer(*(f"letter__{name}" for name in _MESSAGE))

    @admin.display(description="to")
    def target(self, one: Replay) -> str:
        return _target(one) or "–"


def _target(one: Replay) -> str:
    if one.target_offset is None:
        return ""
    return f"{one.target_topic}[{one.target_partition}] @ {one.target_offset}"


def _readable(value: Any, *, is_whole: bool = True) -> str:
    """Bytes as text, or in hex where they are none; a long one is cut. is_whole: their last character is, too."""
    if value is None:
        return "(none)"
    raw = bytes(value)
    try:
        text = utf_8_decode(raw, "strict", is_whole)[0]
    except UnicodeDecodeError:
        text = raw[: _SHOWN // 3].hex(" ")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(raw):,} bytes)"
