# SPDX-License-Identifier: GPL-3.0-or-later
"""The small languages inside a submission: -n, -W, -M and -R. Pure functions; a refusal is a `Refused` with a key of words.REFUSED."""

import re

SECTIONS = {"select", "order", "rusage", "span", "same", "cu", "affinity"}
# What `select` may name. LSF refuses a resource that no lsf.shared defines; these are its built-in ones.
RESOURCES = frozenset(
    {"r15s", "r1m", "r15m", "ut", "pg", "io", "ls", "it", "tmp", "swp", "mem", "maxmem", "maxswp", "maxtmp", "slots"}
    | {"ncpus", "nprocs", "ncores", "nthreads", "ndisks", "cpuf", "type", "model", "hname", "status", "server"}
    | {"rexpri", "define", "any", "local", "defined"}
)
UNITS = {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}  # in KB


class Refused(Exception):
    def __init__(self, key: str, *args: str):
        super().__init__(key, *args)
        self.key, self.values = key, list(args)


def slots(text: str) -> int:
    """-n min[,max]: the double always takes the minimum."""
    match = re.fullmatch(r"(-?\d+)(?:,(\d+))?", text)
    if not match:
        raise Refused("slots_argument")
    if int(match[1]) < 1:
        raise Refused("slots_positive")
    return int(match[1])


def runlimit(text: str) -> int:
    """-W [hours:]minutes[/host] in seconds; 0 means none, as LSF has it."""
    match = re.fullmatch(r"(?:(\d+):)?(\d+)(?:/\S+)?", text)
    if not match:
        raise Refused("runlimit_syntax", text)
    return (int(match[1] or 0) * 60 + int(match[2])) * 60


def memlimit(text: str, unit: str) -> int:
    """-M in KB: a plain number is in the site's LSF_UNIT_FOR_LIMITS."""
    match = re.fullmatch(r"(\d+)(?:([KMGT])B?)?", text.upper())
    if not match or int(match[1]) < 1:
        raise Refused("memlimit_syntax", text)
    return int(match[1]) * UNITS[match[2] or unit[0].upper()]


def resource_requirement(texts: list) -> dict:
    """All -R strings, merged: {} or {"hosts": 1} or {"ptile": n}. Lenient where the double does not schedule by it."""
    span = {}
    for text in texts:
        span.update(_one(text.strip()))
    return span


def _one(text: str) -> dict:
    if re.fullmatch(r"[^\[\]]+", text):  # no section at all: a bare select
        return _select(text)
    if not re.fullmatch(r"\s*(\w+\s*\[[^\[\]]*\]\s*)+", text):
        raise Refused("resreq_syntax")
    seen, span = set(), {}
    for name, body in re.findall(r"(\w+)\s*\[([^\[\]]*)\]", text):
        if name not in SECTIONS:
            raise Refused("resreq_syntax")
        if name in seen:
            raise Refused("resreq_duplicate", name)
        seen.add(name)
        if name == "span":
            span = _span(body)
        elif name == "select":
            _select(body)
        elif name == "rusage":
            _rusage(body)
    return span


def _span(body: str) -> dict:
    match = re.fullmatch(r"\s*(hosts|ptile)\s*=\s*(-?\d+)\s*", body)
    if not match or (match[1] == "hosts" and match[2] not in ("1", "-1")) or int(match[2]) == 0:
        raise Refused("resreq_syntax")
    return {} if match[2] == "-1" else {match[1]: int(match[2])}


def _select(body: str) -> dict:
    body = re.sub(r"'[^']*'|\"[^\"]*\"", "0", body)
    body = re.sub(r"[=!<>]=?\s*[\w.-]+", "", body)  # what a resource is compared with may be any word
    if any(name not in RESOURCES for name in re.findall(r"[A-Za-z_]\w*", body)):
        raise Refused("resreq_syntax")
    return {}


def _rusage(body: str) -> dict:
    part = r"\s*\w+\s*=\s*\d+(\.\d+)?\s*([KMGT]B?)?(:(duration|decay)\s*=\s*\w+)*\s*"
    if not re.fullmatch(rf"{part}([,:]{part})*", body, re.IGNORECASE):
        raise Refused("resreq_rusage")
    return {}
