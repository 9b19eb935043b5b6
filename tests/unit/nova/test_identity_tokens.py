"""Tokens: what passes, what does not, and what the caller is told."""

import base64
import hashlib
import hmac
import json
import threading
import time
from uuid import UUID, uuid4

import jwt
import pytest
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied, ValidationError

from nova import identity
from nova.errors import Transient
from nova.jwks import KeySet

MEMBER = UUID("01920000-0000-7000-8000-000000000001")


def claims(**changes):
    made = {"sub": str(MEMBER), "exp": time.time() + 60, **changes}
    return {name: value for name, value in made.items() if value is not None}


@pytest.fixture
def sign(settings):
    return lambda *, key=None, alg="HS256", **changes: jwt.encode(
        claims(**changes), settings.JWT_SECRET if key is None else key, algorithm=alg
    )


def refused(token: str, scheme: str = "Bearer") -> str:
    with pytest.raises(AuthenticationFailed) as caught:
        identity.authenticate_header(f"{scheme} {token}")
    message = str(caught.value.detail)
    assert token not in message or not token
    return message


def test_a_good_token_names_its_member(sign):
    viewer = identity.authenticate_header(f"Bearer {sign()}")
    assert viewer == identity.Viewer(MEMBER)
    assert viewer.is_authenticated
    assert not viewer.is_staff


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "no exp claim"),
        ({"sub": None}, "no sub claim"),
        ({"sub": "somebody"}, "must be a UUID"),
        ({"nbf": time.time() + 3600}, "not valid yet"),
        ({"key": "another secret, as long as the right one"}, "signature is wrong"),
        ({"key": "", "alg": "none"}, "algorithm"),
        ({"alg": "HS512", "key": "x" * 64}, "algorithm"),
    ],
)
def test_what_is_wrong_with_a_token_is_said(sign, changes, message):
    assert message in refused(sign(**changes))


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "token"])
def test_a_header_without_a_bearer_token(value):
    with pytest.raises(AuthenticationFailed):
        identity.authenticate_header(value)


@pytest.mark.parametrize("token", ["x", "a.b.c", "é.é.é", "..", "x" * 9000])
def test_what_is_no_token(token):
    refused(token)


@pytest.mark.parametrize("exp", ["soon", [1], {}, True, 1e300, 10**400, float("inf"), float("nan")])
def test_an_exp_that_is_no_time(settings, exp):
    body = json.dumps({"sub": str(MEMBER), "exp": exp}).encode()
    token = jwt.api_jws.encode(body, settings.JWT_SECRET, algorithm="HS256")
    try:
        assert identity.authenticate_header(f"Bearer {token}").id == MEMBER
    except AuthenticationFailed:
        assert exp != 1e300


def test_a_sub_that_is_no_text(settings):
    token = jwt.api_jws.encode(b'{"sub": 5, "exp": 99999999999}', settings.JWT_SECRET, algorithm="HS256")
    assert "must be a UUID" in refused(token)


def test_the_leeway_is_given_and_ends(sign, settings):
    settings.JWT_LEEWAY_SECONDS = 30
    assert identity.authenticate_header(f"Bearer {sign(exp=time.time() - 10)}").id == MEMBER
    assert "expired" in refused(sign(exp=time.time() - 40))


def test_audience_and_issuer_are_checked_when_set(sign, settings):
    settings.JWT_AUDIENCE, settings.JWT_ISSUER = "nova", "https://issuer.example"
    good = {"aud": "nova", "iss": "https://issuer.example"}
    assert identity.authenticate_header(f"Bearer {sign(**good)}").id == MEMBER
    assert "audience" in refused(sign(**good | {"aud": "other"}))
    assert "issuer" in refused(sign(**good | {"iss": "https://other.example"}))
    assert "no aud claim" in refused(sign(iss="https://issuer.example"))


def test_an_audience_is_ignored_when_none_is_set(sign):
    assert identity.authenticate_header(f"Bearer {sign(aud='anything')}").id == MEMBER


# Remembering


def test_a_remembered_token_is_not_verified_again_but_still_expires(sign, settings, monkeypatch):
    settings.JWT_LEEWAY_SECONDS = 0
    token = sign(exp=int(time.time()) + 30)
    identity.authenticate_header(f"Bearer {token}")
    monkeypatch.setattr(identity, "_verified_claims", lambda token: pytest.fail("verified twice"))
    assert identity.authenticate_header(f"Bearer {token}").id == MEMBER
    monkeypatch.undo()
    later = time.time() + 31
    monkeypatch.setattr(identity.time, "time", lambda: later)
    assert identity.remembered.get(token, later) is None


def test_a_bad_token_is_never_remembered(sign):
    token = sign(key="another secret, as long as the right one")
    refused(token)
    refused(token)
    assert identity.remembered.get(token, 0) is None


def test_the_memory_is_bounded_and_forgets_the_oldest():
    memory = identity._Remembered(2)
    for name in "abc":
        memory.put(name, identity.Viewer(MEMBER), 10)
    assert [memory.get(name, 0) is not None for name in "abc"] == [False, True, True]


# Services


@pytest.mark.parametrize("scope", ["service", "read service", ["service"]])
def test_a_service_acts_for_a_member_and_stays_a_service(sign, scope):
    token, member = sign(scope=scope), uuid4()
    assert identity.authenticate_header(f"Bearer {token}") == identity.Viewer(MEMBER, is_service=True)
    assert identity.authenticate_header(f"Bearer {token}", str(member)) == identity.Viewer(member, is_service=True)


@pytest.mark.parametrize("scope", ["services", "", None, 5, {"service": 1}])
def test_other_scopes_are_no_service(sign, scope):
    assert not identity.authenticate_header(f"Bearer {sign(scope=scope)}").is_service


def test_a_viewer_acts_for_nobody_else(sign):
    header = f"Bearer {sign()}"
    with pytest.raises(PermissionDenied):
        identity.authenticate_header(header, str(uuid4()))
    assert identity.authenticate_header(header, str(MEMBER)).id == MEMBER


def test_acting_for_what_is_no_uuid(sign):
    with pytest.raises(ValidationError) as caught:
        identity.authenticate_header(f"Bearer {sign(scope='service')}", "me")
    assert "X-Act-For" in caught.value.detail


# Keys of an outside issuer


class Issuer:
    """Stands for the HTTP pool of a KeySet."""

    def __init__(self, *keys):
        self.keys, self.calls, self.up = list(keys), 0, True
        self.asked, self.answers = threading.Event(), threading.Event()
        self.answers.set()

    def request(self, method, url):
        self.calls += 1
        self.asked.set()
        self.answers.wait(20)
        if not self.up:
            raise urllib3.exceptions.HTTPError("down")
        issuer = self

        class Answer:
            status = 200

            def json(self):
                return {"keys": issuer.keys}

        return Answer()


def public(key, key_id: str, algorithm) -> dict:
    return algorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": key_id, "use": "sig"}


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def issuer(rsa_key, settings, monkeypatch):
    issuer = Issuer(public(rsa_key, "one", jwt.algorithms.RSAAlgorithm) | {"alg": "RS256"})
    keys = KeySet("https://issuer.example/jwks.json")
    keys._http = issuer
    settings.JWT_ALGORITHM, settings.JWT_SECRET = "RS256", ""
    monkeypatch.setattr(identity, "_key_set", lambda url: keys)
    issuer.set = keys
    return issuer


def rs(key, key_id="one", **changes):
    return jwt.encode(claims(**changes), key, algorithm="RS256", headers={"kid": key_id})


def test_a_token_of_the_issuer(issuer, rsa_key):
    assert identity.authenticate_header(f"Bearer {rs(rsa_key)}").id == MEMBER
    assert identity.authenticate_header(f"Bearer {rs(rsa_key, nonce=1)}").id == MEMBER
    assert issuer.calls == 1


def test_an_issuer_that_hangs_holds_nobody_who_has_a_key(issuer, rsa_key):
    identity.authenticate_header(f"Bearer {rs(rsa_key)}")
    issuer.set._fetched = issuer.set._tried = float("-inf")
    issuer.asked.clear()
    issuer.answers.clear()
    first = threading.Thread(target=issuer.set.key, args=("one",))
    first.start()
    assert issuer.asked.wait(20)
    issuer.set.key("one")
    assert first.is_alive()
    issuer.answers.set()
    first.join()
    assert issuer.calls == 2


def test_the_public_key_is_no_secret_for_hs256(issuer, rsa_key):
    pem = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    header, body = {"alg": "HS256", "kid": "one"}, claims()

    def pack(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    signed = pack(json.dumps(header).encode()) + b"." + pack(json.dumps(body).encode())
    forged = signed + b"." + pack(hmac.new(pem, signed, hashlib.sha256).digest())
    assert "algorithm" in refused(forged.decode())
    assert "algorithm" in refused(jwt.encode(body, "", algorithm="none"))


def test_unknown_keys_ask_the_issuer_seldom(issuer, rsa_key):
    for number in range(20):
        assert "unknown key" in refused(rs(rsa_key, key_id=f"made up {number}"))
    assert issuer.calls == 1


def test_known_keys_outlive_an_issuer_that_is_down(issuer, rsa_key, monkeypatch):
    identity.authenticate_header(f"Bearer {rs(rsa_key)}")
    issuer.up = False
    issuer.set._fetched = issuer.set._tried = float("-inf")
    assert identity.authenticate_header(f"Bearer {rs(rsa_key, nonce=2)}").id == MEMBER
    assert issuer.calls == 2


def test_without_any_key_the_caller_may_try_again(issuer, rsa_key):
    issuer.up = False
    with pytest.raises(Transient):
        identity.authenticate_header(f"Bearer {rs(rsa_key)}")


def test_es256(issuer, settings):
    key = ec.generate_private_key(ec.SECP256R1())
    settings.JWT_ALGORITHM = "ES256"
    issuer.keys = [public(key, "ec", jwt.algorithms.ECAlgorithm)]
    token = jwt.encode(claims(), key, algorithm="ES256", headers={"kid": "ec"})
    assert identity.authenticate_header(f"Bearer {token}").id == MEMBER
