# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on a whole cluster of this machine's own architecture, quick enough for many workers: a stage of `make test-all`."""

import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
sys.path += [str(PROJECT / "molecule/resources/testing"), str(PROJECT / "tests/unit")]
