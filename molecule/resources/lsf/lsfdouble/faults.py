# SPDX-License-Identifier: GPL-3.0-or-later
"""Fault switches: one file each in work/faults, written by `lsfd fault`, read by clients and daemons as they go.

A switch stays on until it is turned off; where the master does the harm once a request, `times=N` turns it off after N.
Only who may write to work/faults can turn one, since a switch harms everyone's commands.
"""

import json
import os
import time

from .protocol import SOCKET, LsfError

# name -> (what happens, {key: type})
CLIENT = {"command": str, "user": str}
FAULTS = {
    "mbatchd": ("the master hears and schedules nothing: `batch system daemon not responding ... still trying`", {}),
    "lim": ("LIM is away: commands try for ever, lsid gives up", CLIENT),
    "hang": ("a client says nothing and does nothing", CLIENT),
    "wait": ("`Cannot connect to LSF. Please wait ...`, then success", CLIENT | {"seconds": float}),
    "refuse": ("a command only says `text` on stderr and exits with `code`, or 255", CLIENT | {"text": str, "code": int}),
    "esub": ("bsub refuses, with exit code 0", {"user": str, "text": str}),
    "banner": ("lines with numbers before the submission line", {"user": str, "text": str}),
    "stderr": ("the submission line on stderr, as BSUB_STDERR has it", {"user": str}),
    "cut": ("bsub's request is taken, its answer never comes (how=reset: a broken connection)", {"user": str, "how": str, "times": int}),
    "missing": ("bjobs does not know a live job", {"job": int, "user": str, "times": int}),
    "forgotten": ("finished jobs are forgotten at once, as if CLEAN_PERIOD were over", {"job": int}),
    "unknown": ("the master believes a host silent: its jobs are UNKWN, and live", {"host": str}),
    "suspended": ("LSF itself suspends running jobs: SSUSP, stopped until the switch is off", {"job": int, "host": str}),
    "requeue": ("LSF takes a running job off its host and starts it on another one", {"job": int, "host": str, "times": int}),
    "clock": ("all times printed are wrong by that much", {"seconds": float}),
}  # fmt: skip
ONCE = {"requeue": 1}  # `times` where none is given: a job that is requeued again and again never runs
NEEDS = {"clock": "seconds", "unknown": "host", "refuse": "text"}
SETTLE = 5.0  # seconds; longer than a master's turn, and not for ever where none runs
BANNER = "Job is submitted to <proj0001> project.\n*** 2 nodes are down until 2026-12-24 08:00; see ticket <10345>. ***"
ESUB = "Request aborted by esub: project 4711 has no hours left. Job not submitted."


class Switches:
    def __init__(self, work: str):
        self.folder = work + "/faults"

    def on(self) -> list:
        try:
            return sorted(name for name in os.listdir(self.folder) if name in FAULTS)
        except OSError:
            return []

    def values(self, name: str):
        """The values of a switch that is on, else None. A file that is just being written counts as off."""
        try:
            with open(f"{self.folder}/{name}") as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def hits(self, name: str, **about) -> dict | None:
        """The values when the switch is on and each of its keys that `about` names agrees."""
        values = self.values(name)
        if values is None or any(values[key] != about[key] for key in values if key in about):
            return None
        return values

    def used(self, name: str) -> None:
        """Count one use down; at none left the switch goes off."""
        values = self.values(name)
        if values and "times" in values:
            if values["times"] > 1:
                self.turn_on(name, values | {"times": values["times"] - 1})
            else:
                self.turn_off(name)

    def turn_on(self, name: str, values: dict) -> None:
        os.makedirs(self.folder, mode=0o755, exist_ok=True)
        path = f"{self.folder}/.{name}.{os.getpid()}"
        with open(path, "w") as file:
            json.dump(values, file)
        os.chmod(path, 0o644)
        os.rename(path, f"{self.folder}/{name}")

    def turn_off(self, name: str) -> None:
        if os.path.exists(f"{self.folder}/{name}"):
            os.unlink(f"{self.folder}/{name}")

    def settle(self) -> None:
        """Wait until the master has followed the switch mbatchd, so that the next command meets what was asked for."""
        end = time.monotonic() + SETTLE
        listening = f"{os.path.dirname(self.folder)}/{SOCKET}"
        while os.path.exists(listening) == (self.values("mbatchd") is not None) and time.monotonic() < end:
            time.sleep(0.05)


def parse(name: str, words: list) -> dict:
    """`key=value` words as the values of that switch."""
    if name not in FAULTS:
        raise LsfError(f"fault {name!r} is unknown. Known: {', '.join(FAULTS)}.")
    known = FAULTS[name][1]
    values = {"times": ONCE[name]} if name in ONCE else {}
    for word in words:
        key, _, text = word.partition("=")
        if key not in known:
            raise LsfError(f"fault {name}: key {key!r} is unknown. Known: {', '.join(known) or 'none'}.")
        try:
            values[key] = known[key](text)
        except ValueError:
            raise LsfError(f"fault {name}: {key} must be {known[key].__name__}, not {text!r}.") from None
    if name in NEEDS and NEEDS[name] not in values:
        raise LsfError(f"fault {name}: needs {NEEDS[name]}=...")
    if values.get("how", "reset") != "reset":
        raise LsfError("fault cut: how must be reset.")
    return values


def main(switches: Switches, argv: list) -> str:
    """`lsfd fault ...`: what to print."""
    match argv:
        case []:
            return "\n".join(_line(switches, name) for name in FAULTS)
        case ["off"]:
            for name in switches.on():
                switches.turn_off(name)
            switches.settle()
            return "all faults are off"
        case [name, "off"]:
            if name not in FAULTS:
                parse(name, [])
            switches.turn_off(name)
            switches.settle()
            return _line(switches, name)
        case [name, "on", *words]:
            switches.turn_on(name, parse(name, words))
            switches.settle()
            return _line(switches, name)
    raise LsfError("Usage: lsfd fault [off | NAME on [key=value ...] | NAME off]")


def _line(switches: Switches, name: str) -> str:
    values = switches.values(name)
    state = "off" if values is None else " ".join(["ON", *(f"{key}={value}" for key, value in values.items())])
    keys = " ".join(f"[{key}=]" for key in FAULTS[name][1])
    return f"{name:10s} {state:12s} {FAULTS[name][0]} {keys}".rstrip()
