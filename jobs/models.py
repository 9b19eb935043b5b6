"""What is known of the background jobs: where each stands, and its runs one by one."""

from django.db import models


class Outcome(models.TextChoices):
    """How a run ended, or that it has not."""

    RUNNING = "running"
    DONE = "done"
    RETRIED = "retried"
    FAILED = "failed"
    DIED = "died"


class JobState(models.Model):
    """Where a job stands. The counts are over its whole life, so that they only rise; `/metrics` reads them."""

    name = models.CharField(primary_key=True, max_length=60)
    started_at = models.DateTimeField(null=True, help_text="When the last run began.")
    ended_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True, help_text="When a run last ended well.")
    seconds = models.FloatField(null=True, help_text="What the last run took.")
    items = models.BigIntegerField(null=True, help_text="What the last run dealt with.")
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True, default="")
    summary = models.TextField(blank=True, default="", help_text="What the last run did, or why it failed.")
    memory = models.JSONField(default=dict, help_text="What the job carries from one run to the next.")
    readings = models.JSONField(default=list, help_text="[metric, [labels], value] of the last run, for /metrics.")
    runs_done = models.BigIntegerField(default=0)
    runs_retried = models.BigIntegerField(default=0)
    runs_failed = models.BigIntegerField(default=0)
    runs_skipped = models.BigIntegerField(default=0)
    total_seconds = models.FloatField(default=0)
    total_items = models.BigIntegerField(default=0)

    class Meta:
        db_table = "job_states"
        ordering = ["name"]
        verbose_name = "job"
        permissions = [("run_job", "Can start background jobs")]

    def __str__(self) -> str:
        return self.name


class JobRun(models.Model):
    """One run of a job. A retry is the same run (`ticket`) tried once more; the times are those of its last try."""

    job = models.CharField(max_length=60)
    ticket = models.CharField(max_length=64, unique=True, help_text="The id of the Celery task, or one made by hand.")
    scheduled = models.BooleanField(help_text="Asked for by the schedule, not by a person.")
    by = models.CharField(max_length=150, blank=True, default="", help_text="Who asked for it.")
    dry_run = models.BooleanField(default=False)
    attempt = models.PositiveIntegerField(default=0, help_text="The number of the last try that was begun, from 0 on.")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.RUNNING)
    items = models.BigIntegerField(default=0)
    summary = models.TextField(blank=True, default="")

    class Meta:
        db_table = "job_runs"
        ordering = ["-started_at", "-id"]
        verbose_name = "run"
        indexes = [models.Index(fields=["job", "-started_at"], name="job_runs_by_job")]

    def __str__(self) -> str:
        return f"{self.job} at {self.started_at:%Y-%m-%d %H:%M:%S}"

    @property
    def seconds(self) -> float | None:
        """What it took, None while it goes on."""
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None
