# SPDX-License-Identifier: GPL-3.0-or-later
"""A small conda channel out of Debian packages and PyPI wheels (see ../README.md)."""
