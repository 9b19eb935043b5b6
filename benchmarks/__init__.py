"""How fast Nova is, measured on the real engines. Never part of an installation."""
