# SPDX-License-Identifier: GPL-3.0-or-later
"""
A stand-in for conda 23.10.0 and 26.7.1, over py-rattler: the commands that Slipway's roles and the tutorial call.

It answers in conda's words, JSON shapes and exit codes, as recorded in tests/unit/conda_transcripts; the packages, the solver and
the files in a prefix are real. See README.md beside the sources for what it leaves out.
"""

__version__ = "23.10.0"  # in the channel's packages, each has its own
MODERN = int(__version__.partition(".")[0]) >= 26  # which of the two recorded conda answers
