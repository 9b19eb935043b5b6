import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("consumer", models.CharField(max_length=100)),
                ("topic", models.CharField(max_length=249)),
                ("topic_id", models.CharField(max_length=36)),
                ("partition", models.PositiveIntegerField()),
                ("offset", models.BigIntegerField()),
                ("key", models.BinaryField(blank=True, null=True)),
                (
                    "raw",
                    models.BinaryField(
                        blank=True, help_text="The message's value, byte for byte; null for a tombstone.", null=True
                    ),
                ),
                (
                    "headers",
                    models.JSONField(
                        default=list,
                        help_text='[name, value] pairs in order; a value that is not UTF-8 is {"base64": "…"}.',
                    ),
                ),
                (
                    "message_time",
                    models.DateTimeField(blank=True, help_text="Kafka's timestamp of the message.", null=True),
                ),
                ("reason", models.CharField(db_index=True, max_length=40)),
                ("field", models.CharField(blank=True, default="", max_length=100)),
                ("detail", models.TextField(blank=True, default="")),
                (
                    "decoded",
                    models.JSONField(
                        blank=True, help_text="The message as JSON where it is that; for reading only.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "published_at",
                    models.DateTimeField(blank=True, help_text="When it was written to the DLQ topic.", null=True),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("replayed", "Replayed"), ("dismissed", "Dismissed")],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("replay_count", models.PositiveIntegerField(default=0)),
            ],
            options={
                "db_table": "dead_letters",
                "ordering": ["-created_at", "-id"],
                "permissions": [("replay_deadletter", "Can replay dead letters")],
                "indexes": [
                    models.Index(fields=["topic", "-created_at"], name="dead_letters_by_topic"),
                    models.Index(fields=["state", "-created_at"], name="dead_letters_by_state"),
                    models.Index(
                        condition=models.Q(("published_at__isnull", True)),
                        fields=["consumer", "id"],
                        name="dead_letters_unpublished",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("topic_id", "partition", "offset"), name="dead_letters_coordinate")
                ],
            },
        ),
        migrations.CreateModel(
            name="Offset",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("consumer", models.CharField(max_length=100)),
                ("topic", models.CharField(max_length=249)),
                (
                    "topic_id",
                    models.CharField(
                        help_text="The cluster's id of the topic: another one after it was made again.", max_length=36
                    ),
                ),
                ("partition", models.PositiveIntegerField()),
                ("epoch", models.BigIntegerField(default=0)),
                ("next_offset", models.BigIntegerField()),
                ("pending_lo", models.BigIntegerField(blank=True, null=True)),
                ("pending_hi", models.BigIntegerField(blank=True, null=True)),
                ("pending_kept", models.BinaryField(blank=True, null=True)),
                ("pending_token", models.CharField(blank=True, default="", max_length=200)),
                (
                    "claims_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="Redis may lack claims that were due before: it did not answer.",
                        null=True,
                    ),
                ),
                ("high_watermark", models.BigIntegerField(default=0)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "db_table": "consumer_offsets",
                "ordering": ["consumer", "topic", "partition"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("consumer", "topic_id", "partition"), name="consumer_offsets_natural_key"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Replay",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(auto_now_add=True)),
                (
                    "outcome",
                    models.CharField(
                        choices=[("sent", "Sent"), ("refused", "Refused"), ("failed", "Failed")], max_length=10
                    ),
                ),
                ("detail", models.TextField(blank=True, default="")),
                ("target_topic", models.CharField(blank=True, default="", max_length=249)),
                ("target_partition", models.PositiveIntegerField(blank=True, null=True)),
                ("target_offset", models.BigIntegerField(blank=True, null=True)),
                (
                    "by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "letter",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="replays", to="ingestion.deadletter"
                    ),
                ),
            ],
            options={
                "db_table": "dead_letter_replays",
                "ordering": ["-at", "-id"],
            },
        ),
    ]
