"""The project: settings, URLs, and the single doors to every engine outside the process."""
