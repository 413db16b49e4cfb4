# SPDX-License-Identifier: GPL-3.0-or-later
"""The layouts that bjobs -o asks for: columns, a delimiter, JSON."""

import json
import re

from . import fields


class Format:
    """-o "field[:[-]width] ... [delimiter='c']"."""

    def __init__(self, text: str, words):
        self.words = words
        delimiter = None if words.PLAIN_LAYOUT else re.search(r"\s*delimiter\s*=\s*(['\"])(.)\1\s*$", text)
        self.delimiter = " " if words.PLAIN_LAYOUT else delimiter[2] if delimiter else ""
        self.columns, self.wrong = [], ""
        for word in (text[: delimiter.start()] if delimiter else text).split():
            name, _, width = word.lower().partition(":")
            good = r"" if words.PLAIN_LAYOUT else r"(-?\d+)?"
            if name not in (words.FIELDS or fields.FIELDS) or not re.fullmatch(good, width):
                self.wrong = self.wrong or word.upper()
            else:
                self.columns.append((name, int(width) if width else fields.FIELDS[name][0]))

    def header(self) -> str:
        return self._line([name.upper() for name, _ in self.columns])

    def row(self, job: dict, conf: dict) -> str:
        return self._line([self._value(job, name, conf) or "-" for name, _ in self.columns])

    def _value(self, job: dict, name: str, conf: dict) -> str:
        value = fields.value(job, name, conf)
        return value.split(":")[0] if self.words.PLAIN_LAYOUT and name == "exec_host" else value

    def _line(self, values: list) -> str:
        """With a delimiter whole values, else columns: too long keeps its tail after *, a minus sets it to the right."""
        if self.delimiter:
            return self.delimiter.join(values)
        cells = []
        for text, (_, width) in zip(values, self.columns, strict=True):
            size = abs(width)
            text = text if len(text) <= size else "*" + text[len(text) - size + 1 :]
            cells.append(text.rjust(size) if width < 0 else text.ljust(size))
        return " ".join(cells)

    def json(self, jobs: list, missing: list, context) -> str:
        """All values are text, uncut; what the columns show as - is empty here."""
        records = [{name.upper(): self._value(job, name, context.conf) for name, _ in self.columns} for job in jobs]
        records += [{"JOBID": str(id), "ERROR": self.words.NOT_FOUND.format(id)} for id in missing]
        answer = {"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}
        if self.words.PLAIN_LAYOUT:
            return json.dumps(answer, indent="\t", separators=(",", ":\t"), ensure_ascii=False)
        return json.dumps(answer, indent=2, separators=(",", ":"))
