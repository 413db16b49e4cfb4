# SPDX-License-Identifier: GPL-3.0-or-later
"""A Jupyter session on a batch cluster: its LSF job, its record, its tunnel and its health.

Plain Python without an Ansible import, so that the modules, and later the supervisor and the login node's own
command, run the same code. What runs on the cluster (:mod:`lsf`, :mod:`parse`, :mod:`record`, :mod:`launcher`) keeps
to the standard library and to Python 3.8; :mod:`tunnel` and :mod:`probe` run on the controller.
"""


class SessionError(Exception):
    """Something a person has to know, in three parts: what happened, the words of the tool that said so, the remedy.

    Attributes:
        message: what happened, with the value in question.
        words: what the tool (LSF, ssh) said, or an empty string.
        remedy: what to do about it, or an empty string.
    """

    def __init__(self, message, words="", remedy=""):
        super().__init__(message)
        self.message = message
        self.words = words.strip()
        self.remedy = remedy

    def __str__(self):
        parts = [self.message]
        if self.words:
            parts.append(f"It said: {self.words}")
        if self.remedy:
            parts.append(f"Remedy: {self.remedy}")
        return "\n".join(parts)
