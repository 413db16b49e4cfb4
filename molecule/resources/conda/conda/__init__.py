# SPDX-License-Identifier: GPL-3.0-or-later
"""
A stand-in for conda 23.10.0, over py-rattler: the commands that Slipway's roles and the tutorial call.

It answers in conda's words, JSON shapes and exit codes, as recorded in conda-transcripts/conda-23.10.0.md; the packages, the
solver and the files in a prefix are real. See README.md beside the sources for what it leaves out.
"""

__version__ = "23.10.0"
