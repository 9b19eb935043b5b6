"""Django itself: applications, middleware, hosts, security."""

import re
from pathlib import Path

from nova.settings import env

BASE_DIR = Path(__file__).resolve().parent.parent.parent

DEBUG = env.flag("DEBUG", False)
DEMO = env.flag("DEMO", False)
SECRET_KEY = env.secret("DJANGO_SECRET_KEY", hint="a random text of 50 characters or more", shortest=50)
ALLOWED_HOSTS = env.listing("ALLOWED_HOSTS", ["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.listing("CSRF_TRUSTED_ORIGINS")
if not all(re.fullmatch(r"https?://[^/]+", origin) for origin in CSRF_TRUSTED_ORIGINS):
    # Django compares what it has with what browsers send, which has no path, not even an end of /.
    env.problem("CSRF_TRUSTED_ORIGINS", "has one that is no origin. Set it to https://HOST, or several with commas")
if any(re.search(r"/|[^:]:\d+$", host) for host in ALLOWED_HOSTS):
    env.problem("ALLOWED_HOSTS", "has one with a scheme, a port or a path. Set it to names alone, separated by commas")
if "*" in ALLOWED_HOSTS and not DEBUG:
    env.problem("ALLOWED_HOSTS", "is '*'. Set it to the host names that clients use, separated by commas")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "django_celery_results",
    "django_htmx",
    "django_structlog",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "rest_framework",
    "nova",
    "clickhouse_sql",
    "community",
    "ingestion",
    "ranking",
    "feed",
    "jobs",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "nova.middleware.RequestIdMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "nova.middleware.ReadableMiddleware",
    "nova.middleware.ImpatientMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "nova.middleware.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "nova.urls"
WSGI_APPLICATION = "nova.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
# The web server (granian) serves this folder; `manage.py collectstatic` fills it.
STATIC_ROOT = env.text("STATIC_ROOT", str(BASE_DIR / "var" / "static"))

# Cookies only travel over TLS unless a loopback trial says otherwise.
SECURE_COOKIES = env.flag("SECURE_COOKIES", not DEBUG)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
SESSION_ENGINE = "nova.sessions"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_HSTS_SECONDS = env.whole("SECURE_HSTS_SECONDS", 0, low=0, high=63_072_000)
SECURE_REFERRER_POLICY = "same-origin"
if env.flag("BEHIND_TLS_PROXY", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = env.whole("MAX_BODY_BYTES", 2_000_000, low=10_000, high=100_000_000)
