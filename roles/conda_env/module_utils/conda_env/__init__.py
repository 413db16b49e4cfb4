# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module conda_env is made of: plain Python 3.8, without Ansible."""


class CondaEnvError(Exception):
    """Something is wrong; the message says what, and what to do about it."""

    def __init__(self, message, remedy="", **details):
        """``details`` are what a failed module returns besides its message: command, rc, stdout, stderr."""
        super().__init__(f"{message.strip()}\nRemedy: {remedy}." if remedy else message.strip())
        self.details = details
