"""What ranking keeps in PostgreSQL: the history of its breaker, and experiments with other weights."""

import secrets
from datetime import datetime

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from ranking.split import BUCKETS

# Each is the value of a metric's label.
MOST_ACTIVE = 10
_SHARE_OF_ONE = [MinValueValidator(0), MaxValueValidator(1)]


class BreakerEvent(models.Model):
    """One change of a breaker's state. `by`: the member of staff who forced it, empty when it changed by itself."""

    breaker = models.CharField(max_length=40)
    at = models.DateTimeField(db_index=True)
    before = models.CharField("from", max_length=10)
    after = models.CharField("to", max_length=10)
    reason = models.CharField(max_length=500, blank=True)
    by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        permissions = [("force_breaker", "Can force the breaker open or closed")]

    def __str__(self) -> str:
        return f"{self.breaker}: {self.before} → {self.after}"


def _salt() -> str:
    return secrets.token_hex(8)


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-6


class WeightSet(models.Model):
    """The numbers of a score, and for how many viewers, of the whole, they hold."""

    freshness = models.FloatField("weight of freshness", validators=_SHARE_OF_ONE)
    engagement = models.FloatField("weight of engagement", validators=_SHARE_OF_ONE)
    affinity = models.FloatField("weight of affinity", validators=_SHARE_OF_ONE)
    decay = models.FloatField(
        "decay of freshness per hour", default=0.1, validators=[MinValueValidator(0.0001), MaxValueValidator(10)]
    )
    share = models.FloatField("share of viewers, percent", validators=[MinValueValidator(0), MaxValueValidator(100)])
    active = models.BooleanField(default=False)
    starts_at = models.DateTimeField(null=True, blank=True, help_text="Empty: as soon as it is active.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Empty: it goes on.")
    version = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        abstract = True


class Experiment(WeightSet):
    """Other weights for a share of the viewers, always the same ones: those in its `buckets` (split.py), which its
    `salt` mixes. While it is not active others may take them; it has them again as far as they are free."""

    name = models.SlugField(max_length=40, unique=True)
    salt = models.CharField(max_length=16, default=_salt, editable=False, unique=True)
    buckets = models.BinaryField(default=bytes, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def label(self) -> str:
        """Names these very numbers, in explanations and snapshots."""
        return f"{self.name}:{self.version}"

    def runs(self, now: datetime) -> bool:
        return (
            self.active
            and (self.starts_at is None or self.starts_at <= now)
            and (self.ends_at is None or now < self.ends_at)
        )

    def clean(self) -> None:
        """Raises `ValidationError` when the weights do not add up to 1, or all active shares to more than 100."""
        weights = [self.freshness, self.engagement, self.affinity]
        if None not in weights and abs(sum(weights) - 1) > 1e-6:
            raise ValidationError({"freshness": f"The three weights add up to {sum(weights):g}, not to 1."})
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": "It would end before it starts."})
        if self.share is not None and not _is_whole(self.share * BUCKETS / 100):
            raise ValidationError({"share": f"It is given in steps of {100 / BUCKETS:g} percent."})
        if self.active and self.share is not None:
            others = Experiment.objects.filter(active=True).exclude(id=self.id)
            shares = list(others.values_list("share", flat=True))
            if sum(shares) + self.share > 100 + 1e-6:
                raise ValidationError({"share": f"Other active experiments have {sum(shares):g} percent already."})
            if len(shares) >= MOST_ACTIVE:
                raise ValidationError({"active": f"{MOST_ACTIVE} experiments are active already."})


class ExperimentVersion(WeightSet):
    """An experiment as it was from `at` on, until the next version. Written once, never changed."""

    COPIED = ("version", "freshness", "engagement", "affinity", "decay", "share", "active", "starts_at", "ends_at")

    experiment = models.ForeignKey(Experiment, models.PROTECT, related_name="versions")
    at = models.DateTimeField()
    by = models.CharField(max_length=150)

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [models.UniqueConstraint(fields=["experiment", "version"], name="one_row_a_version")]

    def __str__(self) -> str:
        return f"{self.experiment}:{self.version}"
