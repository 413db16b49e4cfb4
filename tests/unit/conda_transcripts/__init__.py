# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded sessions of real conda, read and compared with what the stand-in says."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CUT = re.compile(r"\[\.\.\. .*?(cut|left out).*?\]")
WORDS = ("error", "exception_name", "message", "success", "dry_run")  # keys whose values are compared, too


@dataclass
class Step:
    """One recorded command; `then` are files and the like that were looked at afterwards."""

    command: str
    code: int
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)
    then: list[tuple[str, list[str]]] = field(default_factory=list)


def recorded(version: str) -> Iterator[Step]:
    """The steps of one recording, in order."""
    text = (HERE / f"{version}.md").read_text()
    return _short_form(text) if version == "23.10.0" else _long_form(text)


def _short_form(text: str) -> Iterator[Step]:
    """23.10.0's: `[exit N] $ command    # remark`, then lines; `2| ` marks standard error, `then $` a look at something."""
    step = None
    for line in "\n".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL)).splitlines():
        if match := re.match(r"\[exit (\d+)\] \$ (.*?)(?:    # .*)?$", line):
            if step:
                yield step
            step = Step(match[2], int(match[1]))
        elif match := re.match(r"  then \$ (.*)", line):
            step.then.append((match[1], []))
        elif line.startswith("  2| "):
            step.stderr.append(line[5:])
        elif step.then:
            step.then[-1][1].append(line[4:])
        else:
            step.stdout += line[2:].split(" / ") if "...working..." in line else [line[2:]]
    yield step


def _long_form(text: str) -> Iterator[Step]:
    """26.7.1's: a heading, `exit N`, fenced standard output and standard error."""
    for command, rest in re.findall(r"^### `([^\n]*)`\n(.*?)(?=^### |\Z)", text, re.DOTALL | re.MULTILINE):
        code = int(re.search(r"^exit (\d+),", rest, re.MULTILINE)[1])
        streams = dict(re.findall(r"^(stdout|stderr):\n```\n(.*?)^```", rest, re.DOTALL | re.MULTILINE))
        yield Step(command, code, *(streams.get(name, "").splitlines() for name in ("stdout", "stderr")))


#: Lines that depend on what the channel has, or on the moment; the transcripts leave some of them out, too.
PASSING = re.compile(
    r"""
      \s*(-\ )?\S+-\S+-\S+$ | .*\|\s+\S+\s+[\d.]+\ [KM]?B | .*\ ->\ | .*\ -->\  | .*::.* | \s*Total: | \s*-+(\|-+)?$
    | \s*package\ +\|\ +build | (file|http)://\S+\.conda | \s*-\ [\w.-]+(=.*|\ .*)?$ | (\S+\ +){3}\s*\S*://\S*$
    | \w+=[\d.]+=\w+$ | The\ following\ .*packages?\ will\ be | \s*(added|removed).*specs: | \#.* | Elapsed: | \s*$
    | usage: | \s+\[-*[\w\[] | \s+\(-n | ==>\ \d | [-\w.]+\.json$ | Retrieving\ notices | 'https?//.* | \^C$
    | If\ your\ current\ network | a\ support\ request | \s*prefix:\ | \s*(PREFIX|name):\ \S+$ | \s*actual\ md5:
    | WARNING:\ Running\ pip | RuntimeError\( | \d+\ /\S+\.txt$
    | \d+a\d+(,\d+)?$ | \s*"(created|last_modified)":
    """,
    re.VERBOSE,
)


def significant(lines: list[str]) -> list[str]:
    """The lines that must be equal; "…" where the recording is cut."""
    found = []
    for line in lines:
        if "[+ Verifying" in line:
            done = [f"{name} transaction: ...working... done" for name in ("Verifying", "Executing")]
            line = "\n".join([line.partition("   [")[0], *done])
        for part in line.split("\n"):
            if CUT.search(part):
                found.append("…")
            elif not PASSING.match(part):
                part = re.sub(r" \(choose from .*|^stand-in .*|(?<=condaenv\.)\w+", "", part)
                found.append(re.sub(r"\s+", " ", part).strip())
    return found


def same_text(expected: list[str], actual: list[str]) -> bool:
    """Whether the lines agree; a cut stands for anything."""
    pattern = "".join(".*" if line == "…" else re.escape(f"{line}\n") for line in significant(expected))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in significant(actual)), re.DOTALL) is not None


def as_json(lines: list[str]) -> Any:
    """The JSON in these lines, or None; where the middle is cut out, only an object's outermost keys."""
    text = "\n".join(lines)
    try:
        return json.loads(text)
    except ValueError:
        if not CUT.search(text) or text[:1] not in ("{", "["):
            return None
        return dict.fromkeys(re.findall(r'^  "(\w+)":', text, re.MULTILINE)) if text[0] == "{" else []


def missing_keys(expected: Any, actual: Any, path: str = "") -> Iterator[str]:
    """Keys, and types and words of values, of a recorded JSON answer that the other answer does not have."""
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            yield f"{path}: {actual!r} is no object"
            return
        for key, value in expected.items():
            if key in actual:
                yield from missing_keys(value, actual[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(expected, list):
        if not isinstance(actual, list):
            yield f"{path}: {actual!r} is no list"
        elif expected and actual and not isinstance(expected[0], str):
            yield from missing_keys(expected[0], actual[0], f"{path}[]")
    elif path.rpartition(".")[2] in WORDS and expected is not None and "/" not in str(expected):
        first = str(expected).split("\n")[0].removesuffix(" [...]")
        if not str(actual).startswith(first):
            yield f"{path}: {actual!r} instead of {expected!r}"
