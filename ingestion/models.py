"""What ingestion keeps in PostgreSQL: the offset ledger, the dead letters and who replayed them."""

from django.conf import settings
from django.db import models


class Offset(models.Model):
    """How far a consumer has come in one partition. The authority: Kafka's own committed offsets only feed lag tools.

    `pending_*`: a batch that may be half inserted, with the offsets that were kept of it (ingestion/kept.py); it is
    sent again, exactly, before anything else. `epoch` rises with every claim, so that a former owner can write nothing.
    """

    consumer = models.CharField(max_length=100)
    topic = models.CharField(max_length=249)
    topic_id = models.CharField(
        max_length=36, help_text="The cluster's id of the topic: another one after it was made again."
    )
    partition = models.PositiveIntegerField()
    epoch = models.BigIntegerField(default=0)
    next_offset = models.BigIntegerField()
    pending_lo = models.BigIntegerField(null=True, blank=True)
    pending_hi = models.BigIntegerField(null=True, blank=True)
    pending_kept = models.BinaryField(null=True, blank=True)
    pending_token = models.CharField(max_length=200, blank=True, default="")
    claims_since = models.DateTimeField(
        null=True, blank=True, help_text="Redis may lack claims that were due before: it did not answer."
    )
    high_watermark = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "consumer_offsets"
        ordering = ["consumer", "topic", "partition"]
        constraints = [
            models.UniqueConstraint(fields=["consumer", "topic_id", "partition"], name="consumer_offsets_natural_key")
        ]

    def __str__(self) -> str:
        return f"{self.consumer} {self.topic}[{self.partition}] @ {self.next_offset}"

    @property
    def lag(self) -> int:
        """Messages that were in Kafka and not yet stored when this row was written."""
        return max(0, self.high_watermark - self.next_offset)


class DeadLetter(models.Model):
    """A message that could not be stored, as it came. Its row is the truth; the DLQ topic is published from it."""

    class State(models.TextChoices):
        WAITING = "waiting"
        REPLAYED = "replayed"
        DISMISSED = "dismissed"

    consumer = models.CharField(max_length=100)
    topic = models.CharField(max_length=249)
    topic_id = models.CharField(max_length=36)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    key = models.BinaryField(null=True, blank=True)
    raw = models.BinaryField(
        null=True, blank=True, help_text="The message's value, byte for byte; null for a tombstone."
    )
    headers = models.JSONField(
        default=list, help_text='[name, value] pairs in order; a value that is not UTF-8 is {"base64": "…"}.'
    )
    message_time = models.DateTimeField(null=True, blank=True, help_text="Kafka's timestamp of the message.")
    reason = models.CharField(max_length=40, db_index=True)
    field = models.CharField(max_length=100, blank=True, default="")
    detail = models.TextField(blank=True, default="")
    decoded = models.JSONField(
        null=True, blank=True, help_text="The message as JSON where it is that; for reading only."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True, help_text="When it was written to the DLQ topic.")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    replay_count = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "dead_letters"
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["topic_id", "partition", "offset"], name="dead_letters_coordinate")
        ]
        indexes = [
            models.Index(fields=["topic", "-created_at"], name="dead_letters_by_topic"),
            models.Index(fields=["state", "-created_at"], name="dead_letters_by_state"),
            models.Index(
                fields=["consumer", "id"],
                name="dead_letters_unpublished",
                condition=models.Q(published_at__isnull=True),
            ),
        ]
        permissions = [("replay_deadletter", "Can replay dead letters")]

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] @ {self.offset}: {self.reason}"


class Replay(models.Model):
    """One try to send a dead letter on its way again: by whom, when, and what came of it."""

    class Outcome(models.TextChoices):
        SENT = "sent"
        REFUSED = "refused"
        FAILED = "failed"

    letter = models.ForeignKey(DeadLetter, on_delete=models.CASCADE, related_name="replays")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(auto_now_add=True)
    outcome = models.CharField(max_length=10, choices=Outcome)
    detail = models.TextField(blank=True, default="")
    target_topic = models.CharField(max_length=249, blank=True, default="")
    target_partition = models.PositiveIntegerField(null=True, blank=True)
    target_offset = models.BigIntegerField(null=True, blank=True)

    class Meta:
        db_table = "dead_letter_replays"
        ordering = ["-at", "-id"]

    def __str__(self) -> str:
        return f"{self.outcome} at {self.at:%Y-%m-%d %H:%M:%S}"


class BackfillProgress(models.Model):
    """How far `manage.py backfill` has come with a source table; its next run goes on there unless it finished."""

    table = models.CharField(max_length=63, unique=True)
    last_id = models.UUIDField(null=True, blank=True, help_text="Rows up to this id, in PostgreSQL's order, are done.")
    rows = models.BigIntegerField(default=0)
    events = models.BooleanField(default=False, help_text="Whether likes and comments are published as events too.")
    started_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "backfill_progress"
        verbose_name_plural = "backfill progress"

    def __str__(self) -> str:
        return f"{self.table}: {self.rows} rows"
