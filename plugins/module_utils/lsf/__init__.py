# SPDX-License-Identifier: GPL-3.0-or-later
"""LSF by its command line, for every role that has jobs: :mod:`client` asks, :mod:`parse` understands.

Plain Python 3.9 without Ansible, for the cluster's login nodes.
"""

from ..told_error import ToldError


class LsfError(ToldError):
    """LSF refused, did not answer, or said something that nobody understands."""
