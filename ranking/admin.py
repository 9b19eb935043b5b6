"""Ranking in the admin: the breaker, with three buttons for those who may force it, and experiments with a history."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from nova import clock
from nova.admin import Dated, ReadOnly
from ranking import breaker, experiments
from ranking.models import BreakerEvent, Experiment, ExperimentVersion

_ACTS = {"open": "held open", "closed": "held closed", "": "released"}


@admin.register(BreakerEvent)
class BreakerEventAdmin(ReadOnly, Dated):
    """The history, newest first; it is written by the breaker and never by hand."""

    list_display = ["at", "breaker", "before", "after", "by", "reason"]
    list_filter = ["breaker", "after", "at"]
    search_fields = ["reason", "by"]
    date_hierarchy = "at"
    change_list_template = "admin/ranking/breakerevent/change_list.html"
    actions = None

    def get_urls(self) -> list[URLPattern]:
        force = path("force", self.admin_site.admin_view(self.force), name="ranking_breakerevent_force")
        return [force, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        verdict = breaker.clickhouse.look()
        context = {
            **(extra_context or {}),
            "title": "Breaker",
            "now": verdict,
            "opened_at": verdict.opened,
            "may_force": request.user.has_perm("ranking.force_breaker"),
        }
        return super().changelist_view(request, context)

    def force(self, request: HttpRequest) -> HttpResponse:
        """POST `state`: open, closed, or empty to let it go."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        state = request.POST.get("state")
        may = request.user.has_perm("ranking.force_breaker") and self.has_view_permission(request)
        if not may or state not in _ACTS:
            raise PermissionDenied
        by = request.user.get_username()
        verdict = breaker.clickhouse.force(state, by=by, reason=f"{_ACTS[state]} in the admin")
        if verdict.shared:
            messages.success(request, f"The breaker for ClickHouse is {_ACTS[state]}.")
        else:
            messages.warning(request, f"Redis does not answer: the breaker is {_ACTS[state]} in one process only.")
        return HttpResponseRedirect(reverse("admin:ranking_breakerevent_changelist"))


class ExperimentVersionInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """What an experiment was, and who made it so."""

    model = ExperimentVersion
    extra = 0
    fields = readonly_fields = ("at", "by", *ExperimentVersion.COPIED)


@admin.register(Experiment)
class ExperimentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Other weights for a share of the viewers. Each save is a version; an experiment ends by not being active."""

    list_display = ("name", "share", "active", "freshness", "engagement", "affinity", "decay", "version", "now")
    list_filter = ("active",)
    search_fields = ("name",)
    inlines = (ExperimentVersionInline,)
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Experiment | None = None) -> tuple[str, ...]:
        return ("name", "version") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Experiment | None = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ValidationError as error:
            # The form was right when it was looked at; meanwhile another was saved.
            messages.error(request, f"Nothing was saved: {' '.join(error.messages)}")
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Experiment, form: Any, change: bool) -> None:
        experiments.save(obj, by=request.user.get_username())

    @admin.display(description="running", boolean=True)
    def now(self, obj: Experiment) -> bool:
        return obj.runs(clock.now())
