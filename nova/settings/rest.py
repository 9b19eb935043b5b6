"""The REST edge: authentication, one error shape, the generated schema."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "nova.identity.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["nova.identity.IsViewer"],
    # Limits a view that names a `throttle_scope`.
    "DEFAULT_THROTTLE_CLASSES": ["nova.limits.ViewerThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["nova.rest.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["nova.rest.OrjsonParser"],
    "DEFAULT_SCHEMA_CLASS": "nova.schema.NovaSchema",
    "EXCEPTION_HANDLER": "nova.rest.handle_exception",
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "TEST_REQUEST_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Nova",
    "DESCRIPTION": "Real-time, personalised feeds for social products.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api",
    "PATH_CONVERTER_OVERRIDES": {"id": {"type": "string", "format": "uuid"}},
    "PREPROCESSING_HOOKS": ["nova.schema.one_version"],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "BlockKind": "community.models.Block.Kind",
        "MediaKind": "community.serializers.MEDIA_KINDS",
    },
}
