"""The background jobs in the admin: where each stands, its runs, and a button for those who may start one.

Schedules are changed under "Periodic Tasks".
"""

from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django_celery_beat.admin import PeriodicTaskAdmin
from django_celery_beat.models import PeriodicTask
from kombu.exceptions import OperationalError as BrokerError

from jobs import schedule
from jobs.job import Job
from jobs.models import JobRun, JobState
from jobs.registry import BY_NAME, JOBS
from nova import clock
from nova.admin import Dated, ReadOnly
from nova.celery import app

PERMISSION = "jobs.run_job"
# The actions of django-celery-beat ask for no permission.
_NEEDED = {
    **dict.fromkeys(("enable_tasks", "disable_tasks", "toggle_tasks"), "django_celery_beat.change_periodictask"),
    "run_tasks": PERMISSION,
}
admin.site.unregister(PeriodicTask)


@admin.register(PeriodicTask)
class ScheduleAdmin(PeriodicTaskAdmin):  # type: ignore[misc]
    """django-celery-beat's, with its actions for those who may, and jobs started as by their buttons."""

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        found = super().get_actions(request)
        return {name: one for name, one in found.items() if name not in _NEEDED or request.user.has_perm(_NEEDED[name])}

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Theirs asks as beat does: for a run of the present slot, which may have been made already."""
        chosen = set(queryset.values_list("task", flat=True))
        for job in JOBS:
            if job.task in chosen:
                _start(request, job)
        others = queryset.exclude(task__in=[job.task for job in JOBS])
        if others.exists():
            try:
                super().run_tasks(request, others)
            except BrokerError as error:
                messages.error(request, f"The others were not started, since Redis does not answer: {error}")


@admin.register(JobState)
class JobStateAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """One row a job, with when it is due next."""

    list_display = ("name", "does", "last_run", "took", "outcome", "what_it_did", "every", "next_due", "counts", "runs")
    list_display_links = None
    actions = None
    change_list_template = "admin/jobs/jobstate/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        run = path("<str:name>/run", self.admin_site.admin_view(self.run_now), name="jobs_jobstate_run")
        return [run, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._schedules = schedule.of(JOBS)
        context = {"may_run": request.user.has_perm(PERMISSION), "jobs": JOBS, "title": "Background jobs"}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def run_now(self, request: HttpRequest, name: str) -> HttpResponse:
        """POST: hand the job to a worker."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (request.user.has_perm(PERMISSION) and self.has_view_permission(request)):
            raise PermissionDenied
        job = BY_NAME.get(name)
        if job is None:
            raise Http404
        _start(request, job)
        return HttpResponseRedirect(reverse("admin:jobs_jobstate_changelist"))

    @admin.display(description="what it does")
    def does(self, state: JobState) -> str:
        return BY_NAME[state.name].does if state.name in BY_NAME else "no longer a job"

    @admin.display(description="last run")
    def last_run(self, state: JobState) -> datetime | None:
        return state.started_at

    @admin.display(description="took")
    def took(self, state: JobState) -> str:
        return "–" if state.seconds is None else f"{state.seconds:,.1f} s"

    @admin.display(description="what the last run did")
    def what_it_did(self, state: JobState) -> str:
        return state.summary

    @admin.display(description="every")
    def every(self, state: JobState) -> str:
        tasks = self._schedules.get(state.name)
        return _span(schedule.shortest(BY_NAME[state.name], tasks)) if tasks else "switched off"

    @admin.display(description="next due")
    def next_due(self, state: JobState) -> str:
        now = clock.now()
        due = schedule.next_due(self._schedules.get(state.name, ()), state.started_at, now)
        if due is None:
            return "–"
        left = (due - now).total_seconds()
        return f"in {_span(left)}" if left >= 0 else f"{_span(-left)} ago: is beat running, and is a worker free?"

    @admin.display(description="done / retried / failed / skipped")
    def counts(self, state: JobState) -> str:
        return f"{state.runs_done:,} / {state.runs_retried:,} / {state.runs_failed:,} / {state.runs_skipped:,}"

    @admin.display(description="")
    def runs(self, state: JobState) -> str:
        address = reverse("admin:jobs_jobrun_changelist")
        return format_html('<a href="{}?job__exact={}">its runs</a>', address, state.name)


@admin.register(JobRun)
class JobRunAdmin(ReadOnly, Dated):
    list_display = ("job", "started_at", "took", "outcome", "items", "summary", "scheduled", "by", "attempt", "dry_run")
    list_filter = ("job", "outcome", "scheduled", "started_at")
    list_per_page = 100
    show_full_result_count = False
    actions = None

    @admin.display(description="took")
    def took(self, run: JobRun) -> str:
        return "–" if run.seconds is None else f"{run.seconds:,.2f} s"


def _start(request: HttpRequest, job: Job) -> None:
    """Hand it to a worker, in the name of who asks, and say so."""
    try:
        app.send_task(job.task, kwargs={"by": request.user.get_username()}, expires=job.period)
    except BrokerError as error:
        messages.error(request, f"{job.name} was not started, since Redis does not answer: {error}")
    else:
        messages.success(request, f"Handed to a worker: {job.name}. Its run appears once one takes it.")


def _span(seconds: float) -> str:
    """A time in a unit that a person would use."""
    for length, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} s"
