"""How far the consumers and the backfills are."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ingestion import backfill, lag, source
from ingestion.models import BackfillProgress, Offset
from nova.admin import ReadOnly


@admin.register(Offset)
class OffsetAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    list_filter = ("consumer", "topic")
    list_per_page = 500
    change_list_template = "admin/ingestion/offset/change_list.html"

    def get_list_display(self, request: HttpRequest) -> list[str | Callable[[Offset], Any]]:
        """The columns; the lag is Kafka's present one, asked once for the whole page."""
        live = self._ends(request)

        @admin.display(description="lag")
        def behind(row: Offset) -> str:
            return f"{lag.lag(row, live):,}"

        @admin.display(description="end")
        def end(row: Offset) -> int:
            return lag.end(row, live)

        @admin.display(description="pending")
        def pending(row: Offset) -> str:
            return "–" if row.pending_lo is None else f"{row.pending_lo} to {row.pending_hi}"

        return ["consumer", "topic", "partition", "next_offset", end, behind, pending, "epoch", "updated_at"]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        live = self._ends(request)
        context = {"summaries": lag.summaries(Offset.objects.all(), live), "live": bool(live)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def _ends(self, request: HttpRequest) -> lag.Ends:
        known: lag.Ends | None = getattr(request, "kafka_ends", None)
        if known is None:
            known = lag.ends(Offset.objects.all())
            request.kafka_ends = known  # type: ignore[attr-defined]
        return known


@admin.register(BackfillProgress)
class BackfillProgressAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    ordering = ("table",)
    list_display_links = None

    def get_list_display(self, request: HttpRequest) -> list[str | Callable[[BackfillProgress], Any]]:
        """The columns; who is at work is asked once for the whole page."""
        running = backfill.running()

        @admin.display(description="state")
        def state(row: BackfillProgress) -> str:
            if row.table in running:
                return "running"
            return "finished" if row.finished_at else "stopped: the next run goes on here"

        @admin.display(description="done")
        def done(row: BackfillProgress) -> SafeString:
            of = row.rows if row.finished_at else row.rows + source.estimate(row.table, row.last_id)
            share = row.rows / of if of else 1.0
            return format_html(
                '<progress max="1" value="{}"></progress> {} of about {} rows ({})',
                f"{share:.3f}",
                f"{row.rows:,}",
                f"{of:,}",
                f"{share:.0%}",
            )

        return ["table", state, done, "last_id", "events", "started_at", "updated_at", "finished_at"]
