"""No tables: only what the page asks of staff before it shows them another member's feed."""

from django.db import models


class Look(models.Model):
    """Carries two permissions of the page at `/`; separate, so that who may look need not be able to act."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("view_as_member", "Can look at the feed through a member's eyes"),
            ("act_as_member", "Can post, follow, like, comment, mute and block as a member"),
        ]

    def __str__(self) -> str:
        return "look"
