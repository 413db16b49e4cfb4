"""A small conda channel out of Debian packages and PyPI wheels (see ../README.md)."""
