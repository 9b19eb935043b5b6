"""What ranking keeps in PostgreSQL: the history of its breaker."""

from django.db import models


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
