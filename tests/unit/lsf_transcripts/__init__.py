# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded sessions of two real LSF descendants, read and compared with what the double says."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
SYSTEMS = ("openlava", "volclava")
TIMED_OUT = 124


@dataclass
class Step:
    """One recorded command, or (with `rig`) what was done to the daemons at that point."""

    section: str
    who: str = ""  # alice, bob, root, lsfadmin
    host: str = ""
    command: str = ""
    stdin: str = ""
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    code: int = 0
    rig: str = ""


def recorded(system: str) -> Iterator[Step]:
    """The steps of one recording, in order. What was typed on a terminal, and mail, is not among them."""
    section, lines = "", iter((HERE / f"{system}.md").read_text().splitlines())
    for line in lines:
        if line.startswith("## "):
            section = line[3:].split(".")[0].split()[0]
        elif match := re.fullmatch(r"\(rig: (.*)\)", line):
            yield Step(section, rig=match[1])
        elif line == "```":
            block = []
            for line in lines:
                if line == "```":
                    break
                block.append(line)
            if (step := _step(section, block)) is not None:
                yield step


def _step(section: str, block: list[str]) -> Step | None:
    match = re.fullmatch(r"(\w+)@(\w+)\$ (.*)", block[0])
    if not match or not any(line.startswith("--- stdout") for line in block):
        return None
    step, into = Step(section, match[1], match[2], match[3]), None
    stdin: list[str] = []
    for line in block[1:]:
        if line in ("--- stdin", "--- stdout", "--- stderr"):
            into = {"--- stdin": stdin, "--- stdout": step.stdout, "--- stderr": step.stderr}[line]
        elif line in ("--- stdout: empty", "--- end of stdin"):
            into = None
        elif ended := re.match(r"--- exit (-?\d+) ", line):
            step.code = int(ended[1])
        elif line.startswith("--- TIMED OUT"):
            step.code = TIMED_OUT
        elif into is not None:
            into.append(line)
    step.stdin = "".join(f"{line}\n" for line in stdin)
    return step


#: What is sampled now and then, or is the machine's: not compared.
PASSING = re.compile(
    r"""\s*(MEM|PGID|MAX\ MEM):.* | .*:\ Resource\ usage\ collected\..* | \s*MEMORY\ USAGE: | \s+Max\ (Memory|Swap|Processes)\ .*""",
    re.VERBOSE,
)
TIMES = re.compile(r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?\b\w{3} [ \d]\d \d\d:\d\d(?::\d\d)?(?: 20\d\d)?")


#: Seconds in states, in bhist's rows.
SECONDS = re.compile(r"(?m)(\b\d+ +){6}\d+ *$")


def normal(lines: list[str], ids: dict[str, str], here=str) -> list[str]:
    """Lines with job numbers by `ids`, times, hosts, process numbers and seconds made equal, in sorted paragraphs' order."""
    found: list[str] = []
    for line in lines:
        if not line.strip() or PASSING.fullmatch(line):
            continue
        if re.match(r" {21}\S", line) and found:  # folded: what goes on, goes on
            found[-1] += line.strip()
        else:
            found.append(line)
    text = "\n".join(found)
    text = re.sub(
        r"(?m)(?<=Job <)\d+|(?<=Job Id <)\d+|(?<=Job )\d+(?=:)|^\d+(?= )|(?<=\"JOBID\":\t\")\d+",
        lambda m: ids.get(m[0], m[0]),
        text,
    )
    text = SECONDS.sub("SECONDS", TIMES.sub("TIME", here(text)))
    text = re.sub(r"triton-login1|triton-logi", "LOGIN", text)
    text = re.sub(r"\bn00[12]\b", "NODE", text)
    text = re.sub(r"Pid <?\d+>?|used is [\d.]+ seconds|CPU time   : +[\d.]+", "NUMBER", text)
    return sorted(re.sub(r"\s+", "", line) for line in text.splitlines())
