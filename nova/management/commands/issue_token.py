"""manage.py issue_token: a bearer token for trying things out."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import jwt
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from nova import clock

# Nobody's member id: what a service writes, it writes for the member it names.
SERVICE = uuid5(NAMESPACE_URL, "nova:service")


def issue(subject: UUID, *, hours: float, service: bool = False) -> str:
    """A token signed with `JWT_SECRET`, good from now for so many hours."""
    moment = clock.now()
    claims: dict[str, Any] = {"sub": str(subject), "iat": moment, "exp": moment + timedelta(hours=hours)}
    if service:
        claims["scope"] = "service"
    if settings.JWT_AUDIENCE:
        claims["aud"] = settings.JWT_AUDIENCE
    if settings.JWT_ISSUER:
        claims["iss"] = settings.JWT_ISSUER
    return jwt.encode(claims, settings.JWT_SECRET, algorithm="HS256")


class Command(BaseCommand):
    help = "Print a bearer token for a member, or for a service. Only the token goes to standard output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", nargs="?", help="user name or UUID of a member")
        parser.add_argument("--service", action="store_true", help="a token that may act for others and has no limits")
        parser.add_argument("--hours", type=float, default=24, help="how long it is good for (24)")

    def handle(self, *, user: str | None, service: bool, hours: float, **_: Any) -> None:
        check_issuer()
        if not 0 < hours <= 24 * 366:
            raise CommandError("--hours must be more than 0 and at most 8784 (a year).")
        if not user and not service:
            raise CommandError("Name a member (user name or UUID), or pass --service.")
        self.stdout.write(issue(_member(user) if user else SERVICE, hours=hours, service=service))


def check_issuer() -> None:
    """Raises `CommandError` where `issue` cannot sign: tokens are another's."""
    if settings.JWT_ALGORITHM != "HS256":
        raise CommandError(
            f"Tokens are signed by another issuer here (JWT_ALGORITHM is {settings.JWT_ALGORITHM}); ask that one."
        )


def _member(text: str) -> UUID:
    members = get_user_model()._default_manager
    try:
        found = members.filter(pk=UUID(text)).first()
    except ValueError:
        found = members.filter(username=text).first()
    if found is None:
        known = ", ".join(members.order_by("date_joined").values_list("username", flat=True)[:5])
        hint = f"The first members are: {known}." if known else "There are none yet: run manage.py seed_community."
        raise CommandError(f"There is no member {text!r}. {hint}")
    identifier = found.pk
    assert isinstance(identifier, UUID)
    return identifier
