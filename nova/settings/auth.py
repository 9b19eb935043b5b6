"""Who calls: bearer tokens of viewers and services, sessions of staff."""

from nova.settings import env

JWT_ALGORITHM = env.choice("JWT_ALGORITHM", "HS256", ("HS256", "RS256", "ES256"))
JWT_SECRET = ""
JWT_JWKS_URL = ""
if JWT_ALGORITHM == "HS256":
    JWT_SECRET = env.secret("JWT_SECRET", hint="a random text of 32 characters or more, shared with who issues tokens")
else:
    JWT_JWKS_URL = env.url(
        "JWT_JWKS_URL", schemes=("http", "https"), hint="the address of the issuer's key set, https://…/jwks.json"
    ).geturl()
JWT_AUDIENCE = env.text("JWT_AUDIENCE", "")
JWT_ISSUER = env.text("JWT_ISSUER", "")
JWT_LEEWAY_SECONDS = env.whole("JWT_LEEWAY_SECONDS", 30, low=0, high=600)

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "admin:login"
