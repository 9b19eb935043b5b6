import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jobs import runner, schedule
from jobs.job import TRANSIENT, Job
from jobs.models import JobState
from jobs.registry import BY_NAME, JOBS
from jobs.runner import Skipped, Ticket
from nova import clock, operators
from nova.errors import NovaError


class Command(BaseCommand):
    help = (
        "Run one background job now, here. "
        "Exits with 1 when it failed, with 3 when it was not run because another run of it goes on, with 143 or 130 "
        "when SIGTERM or Ctrl-C ended it; the next run is not hindered by that."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("name", nargs="?", choices=sorted(BY_NAME), metavar="NAME", help="see --list")
        parser.add_argument("--dry-run", action="store_true", help="only say what it would do")
        parser.add_argument("--list", action="store_true", help="all jobs, and where each stands")

    def handle(self, **options: Any) -> None:
        if options["list"]:
            wide = None if self.stdout.isatty() else 160
            Console(file=self.stdout, width=wide).print(self._table())  # type: ignore[arg-type]
            return
        if not options["name"]:
            raise CommandError("say which job, or --list")
        self._run(BY_NAME[options["name"]], dry_run=options["dry_run"])

    def _run(self, job: Job, *, dry_run: bool) -> None:
        ticket = Ticket(number=f"by-hand-{uuid.uuid4()}", by=operators.name(), dry_run=dry_run)
        with self._bar() as bar:
            line = bar.add_task(job.name, total=None)
            try:
                done = runner.run(job, ticket, lambda count, of: bar.update(line, completed=count, total=of))
            except Skipped as reason:
                raise CommandError(f"{job.name} was not run: {reason}", returncode=3) from None
            except (NovaError, *TRANSIENT) as error:
                raise CommandError(f"{job.name} failed: {error}", returncode=1) from error
            except KeyboardInterrupt:
                raise CommandError(f"{job.name} was stopped", returncode=130) from None
        said = f"{job.name}{' (dry run, nothing was changed)' if dry_run else ''}: {done.summary}"
        self.stdout.write(self.style.SUCCESS(said))

    def _table(self) -> Table:
        table = Table("job", "does", "every", "last run", "took", "outcome", "what it did")
        states = {state.name: state for state in JobState.objects.all()}
        periods = schedule.periods(JOBS)
        for job in JOBS:
            state = states.get(job.name, JobState(name=job.name))
            period = periods.get(job.name)
            table.add_row(
                job.name,
                job.does,
                f"{period:,.0f} s" if period else "switched off",
                f"{state.started_at:%Y-%m-%d %H:%M:%S}" if state.started_at else "never",
                f"{state.seconds:,.1f} s" if state.seconds is not None else "",
                state.outcome,
                state.summary,
            )
        table.caption = f"times in UTC, now {clock.now():%Y-%m-%d %H:%M:%S}"
        return table

    def _bar(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        return Progress(*columns, console=console, disable=not console.is_terminal)
