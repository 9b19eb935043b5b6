"""Tokens, sessions and errors as a client sees them."""

import re
import time
from uuid import uuid4

import jwt
import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import OperationalError
from rest_framework.test import APIClient
from structlog.contextvars import get_contextvars

from community import selectors
from nova.identity import Viewer, authenticate_header

pytestmark = pytest.mark.django_db


def call(path="/api/posts", method="get", body=None, **headers):
    client = APIClient(raise_request_exception=False)
    answer = getattr(client, method)(path, body, headers=headers)
    if answer.status_code >= 400:
        error = answer.json()
        assert set(error) - {"field"} == {"error", "message", "request_id"}
        assert error["request_id"] == answer["X-Request-ID"]
        assert answer["Content-Type"] == "application/json"
    return answer


def bearer(settings, **changes):
    claims = {"sub": str(uuid4()), "exp": time.time() + 60} | changes
    return {"Authorization": f"Bearer {jwt.encode(claims, settings.JWT_SECRET, algorithm='HS256')}"}


def test_without_a_token():
    answer = call()
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert answer.json()["error"] == "not_authenticated"


@pytest.mark.parametrize(
    ("changes", "word"), [({"exp": 1}, "expired"), ({"sub": "me"}, "UUID"), ({"nbf": 9999999999}, "not valid yet")]
)
def test_with_a_bad_token(settings, changes, word):
    headers = bearer(settings, **changes)
    answer = call(**headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == "Bearer"
    assert word in answer.json()["message"]
    assert headers["Authorization"].split()[1] not in answer.content.decode()


def test_with_an_unsigned_token():
    forged = jwt.encode({"sub": str(uuid4()), "exp": 9999999999}, "", algorithm="none")
    assert call(Authorization=f"Bearer {forged}").status_code == 401


def test_a_token_asks_no_database(settings, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert call("/api/posts?limit=0", **bearer(settings)).status_code == 400


def test_a_service_acts_for_members(settings, make_member):
    member = make_member()
    service = bearer(settings, scope="service")
    made = call("/api/posts", "post", {"text": "for you"}, **service, **{"X-Act-For": str(member)})
    assert made.status_code == 201
    assert made.json()["author_id"] == str(member)
    assert call(**service, **{"X-Act-For": "x"}).json()["field"] == "X-Act-For"
    assert call(**bearer(settings), **{"X-Act-For": str(member)}).status_code == 403


@pytest.mark.parametrize("nobody", ["", " "])
def test_a_service_that_names_nobody_is_told_so(settings, nobody):
    answer = call(**bearer(settings, scope="service"), **{"X-Act-For": nobody})
    assert (answer.status_code, answer.json()["field"]) == (400, "X-Act-For")


@pytest.mark.parametrize("key", [r"\000aaaaaaaaaaaa", r"aaaaaaaaaaaa\000", "a" * 4000, "ä" * 12])
def test_a_cookie_that_no_session_has(key):
    answer = APIClient().get("/api/posts", headers={"Cookie": f'sessionid="{key}"'})
    assert (answer.status_code, answer.json()["error"]) == (401, "not_authenticated")


def test_a_session_needs_a_csrf_token_to_write(make_member):
    member = get_user_model().objects.get(id=make_member())
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(member)
    assert client.get("/api/blocks").status_code == 200
    refused = client.post("/api/posts", {"text": "x"})
    assert (refused.status_code, refused.json()["error"]) == (403, "permission_denied")


# The one shape of errors


def test_unknown_addresses_and_methods(settings):
    headers = bearer(settings)
    for method, path, status, code in (
        ("get", "/api/nothing", 404, "not_found"),
        ("get", "/api/v1/nothing", 404, "not_found"),
        ("get", "/api/posts/not-a-uuid", 404, "not_found"),
        ("put", "/api/posts", 405, "method_not_allowed"),
    ):
        answer = call(path, method, **headers)
        assert (answer.status_code, answer.json()["error"]) == (status, code), path


def test_bodies_that_cannot_be_read(settings):
    client, headers = APIClient(), bearer(settings)
    for body, kind, status, code in (
        (b"{", "application/json", 400, "invalid_json"),
        (b"a=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"kind": ' + b"[" * 900 + b"]" * 900 + b"}", "application/json", 400, "invalid_json"),
        (b'"' + b"x" * 2_000_000 + b'"', "application/json", 413, "too_large"),
    ):
        answer = client.generic("POST", "/api/posts", body, kind, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_a_chunked_body_is_refused_and_not_taken_for_an_empty_one(settings):
    answer = APIClient().post("/api/posts", {"text": "x"}, CONTENT_LENGTH="", HTTP_TRANSFER_ENCODING="chunked")
    assert (answer.status_code, answer.json()["error"]) == (411, "invalid_request")
    assert answer.json()["request_id"] == answer["X-Request-ID"]


def test_an_answer_format_that_is_not_there(settings):
    assert call(**bearer(settings), Accept="text/csv").json()["error"] == "not_acceptable"


def test_an_unexpected_error_leaks_nothing(settings, monkeypatch):
    def broken(**_):
        raise ValueError("inner workings")

    monkeypatch.setattr(selectors, "posts", broken)
    answer = call(**bearer(settings))
    assert (answer.status_code, answer.json()["error"]) == (500, "internal")
    assert b"inner workings" not in answer.content


def test_a_database_that_is_down_is_said(settings, monkeypatch):
    def down(**_):
        raise OperationalError("connection to server at 10.0.0.1 failed")

    monkeypatch.setattr(selectors, "posts", down)
    answer = call(**bearer(settings))
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert int(answer["Retry-After"]) > 0
    assert b"10.0.0.1" not in answer.content


# The id of a request


@pytest.mark.parametrize("given", ["abc-1_2.3", "x" * 64])
@pytest.mark.parametrize("path", ["/api/posts", "/livez", "/nowhere", "/admin/login/"])
def test_a_sane_request_id_is_kept(given, path):
    assert APIClient().get(path, headers={"X-Request-ID": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\nb", "<script>", "é"])
def test_another_request_id_is_replaced(given):
    answer = APIClient().get("/api/posts", headers={"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer["X-Request-ID"])
    assert answer.json()["request_id"] == answer["X-Request-ID"]


def test_log_lines_carry_the_same_request_id(settings, monkeypatch):
    seen = []
    real = selectors.posts
    monkeypatch.setattr(
        selectors, "posts", lambda **asked: (seen.append(get_contextvars()["request_id"]), real(**asked))[1]
    )
    ids = [call(**bearer(settings), **given)["X-Request-ID"] for given in ({}, {"X-Request-ID": "mine"})]
    assert seen == ids
    assert ids[1] == "mine"


# manage.py issue_token


def test_issue_token_for_a_member(make_member, capsys):
    member = make_member(username="ann")
    for user in ("ann", str(member)):
        call_command("issue_token", user)
        token = capsys.readouterr().out.strip()
        assert call("/api/blocks", Authorization=f"Bearer {token}").status_code == 200
        assert jwt.decode(token, options={"verify_signature": False})["sub"] == str(member)


def test_issue_token_for_a_service(capsys):
    call_command("issue_token", "--service", "--hours", "1")
    member = uuid4()
    viewer = authenticate_header(f"Bearer {capsys.readouterr().out.strip()}", str(member))
    assert viewer == Viewer(member, is_service=True)


@pytest.mark.parametrize("arguments", [["nobody"], [str(uuid4())], [], ["--service", "--hours", "0"]])
def test_issue_token_says_what_to_do(arguments):
    with pytest.raises(CommandError, match=r"seed_community|--service|--hours"):
        call_command("issue_token", *arguments)


def test_issue_token_makes_no_tokens_for_another_issuer(settings):
    settings.JWT_ALGORITHM = "RS256"
    with pytest.raises(CommandError, match="another issuer"):
        call_command("issue_token", "--service")
