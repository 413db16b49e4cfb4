# SPDX-License-Identifier: GPL-3.0-or-later
"""A Jupyter session on a batch cluster: its record, its launcher, its tunnel and its health. Its job is the package lsf's.

Plain Python without an Ansible import, so that the modules, the supervisor and the login node's own command run the
same code. What runs on the cluster (:mod:`record`, :mod:`launcher`, :mod:`address`, :mod:`command`, :mod:`held`,
:mod:`holder`, :mod:`job`, :mod:`ladder`) keeps to the standard library and to Python 3.8; :mod:`tunnel`,
:mod:`supervisor`, :mod:`probe` and :mod:`kernel` run on the controller.
"""

from ..told_error import ToldError


class SessionError(ToldError):
    """What is wrong with a session."""
