# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong is told in one way. Runs on the cluster: Python 3.9 and its standard library."""


class ToldError(Exception):
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
