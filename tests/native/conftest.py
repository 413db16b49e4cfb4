# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests on a whole cluster of this machine's own architecture, quick enough for many workers: a stage of `make test-all`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "molecule/resources/testing"))
