from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ingestion import replay
from ingestion.management.asked import above_zero
from nova import operators


def moment(text: str) -> datetime:
    """A time as people write it: ISO 8601, UTC when it names no zone."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = (
        "Send waiting dead letters on their way again, each once. Event ids stay the same, so nothing counts twice. "
        "Exits with 1 when Kafka did not take one of them."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("ids", nargs="*", type=int, help="numbers of dead letters; without them: all that match")
        parser.add_argument("--topic", default="", help="only those of this topic")
        parser.add_argument("--reason", default="", help="only those with this reason")
        parser.add_argument("--since", type=moment, help="only those stored at or after this time (ISO 8601, UTC)")
        parser.add_argument("--until", type=moment, help="only those stored before this time")
        parser.add_argument("--all", action="store_true", help="really all that wait, when no filter is given")
        parser.add_argument(
            "--rate", type=above_zero, help="at most so many a second (default: as fast as Kafka takes them)"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are, by topic and reason")

    def handle(self, **options: Any) -> None:
        filters = {name: options[name] for name in ("ids", "topic", "reason", "since", "until") if options[name]}
        if not filters and not options["all"] and not options["dry_run"]:
            raise CommandError("say which: ids, --topic, --reason, --since, --until, or --all")
        letters = replay.matching(**filters)
        if options["dry_run"]:
            kinds = (
                letters.order_by()
                .values_list("topic", "reason")
                .annotate(count=Count("pk"))
                .order_by("topic", "reason")
            )
            for topic, reason, count in kinds:
                self.stdout.write(f"{count:>10,}  {topic}  {reason}")
            self.stdout.write(f"{letters.count():>10,}  would be replayed")
            return
        ids = list(letters.values_list("pk", flat=True))
        with self.bar() as bar:
            task = bar.add_task("replaying", total=len(ids))
            outcome = replay.replay(
                ids,
                by=None,
                detail=f"command line, {operators.name()}",
                rate=options["rate"],
                progress=lambda count: bar.advance(task, count),
            )
        if outcome.failed:
            raise CommandError(str(outcome), returncode=1)
        self.stdout.write(self.style.SUCCESS(str(outcome)))
        if other := set(options["ids"]) - set(ids):
            named = ", ".join(map(str, sorted(other)))
            self.stderr.write(self.style.WARNING(f"left alone, as they do not wait or do not match: {named}"))

    def bar(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        return Progress(*columns, console=console, disable=not console.is_terminal)
