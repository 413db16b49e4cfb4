# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of each user, out of the events of a run (ansible-runner's, in their order)."""

from dataclasses import dataclass, field
from datetime import datetime

#: The plays that go from user to user, one of each playbook, and the task at the end of playbooks/onboard.yml's.
PLAYS = "Onboard", "Offboard", "Smoke"
LAST = "Welcome"
#: How the message of a user whom a stopped run has not begun begins (playbooks/onboard.yml).
NOT_BEGUN = "Not begun:"

#: done; failed; stopped: a run that ended before has not begun with them, or broke off.
OUTCOMES = "done", "failed", "stopped"


@dataclass
class Member:
    """A user in a run.

    ``begun`` and ``ended`` are seconds since the run's first event, or None where that has not been; ``seconds`` is the time that was
    spent on this user in between, without the waits for others of the batch, and ``stages`` the same by role.
    """

    name: str
    outcome: str = ""
    stage: str = "waiting"
    begun: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    changed: int = 0
    task: str = ""
    words: str = ""
    welcome: list[str] = field(default_factory=list)


class Cohort:
    """The users of a run.

    Args:
        names: user by host.
        last: the task whose end makes a user done; empty where there is none, and the end of the run does.
    """

    def __init__(self, names, last=LAST):
        self.members = {host: Member(name) for host, name in names.items()}
        self.last = last
        self.start = None
        #: What is at work, for the time before it comes to the users: variables that are judged, what is shared that is built.
        self.now = ""
        #: What befell hosts that are no user, such as the builder's, by host.
        self.others = {}

    def count(self, outcome):
        return sum(member.outcome == outcome for member in self.members.values())

    @property
    def complete(self):
        return all(member.outcome == "done" for member in self.members.values())

    def take(self, event):
        """Takes an event in; returns the member whose outcome it has settled, if any."""
        data = event.get("event_data", {})
        now = self._clock(event)
        if event["event"] == "playbook_on_stats":
            self._settle(data)
            return None
        failed = event["event"] in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors")
        member = self.members.get(data.get("host"))
        if member is None:
            if failed:
                self.others[data["host"]] = self._words(data)
            return None
        ours = data.get("play") in PLAYS
        if ours and member.begun is None:
            member.begun = now
        if ours or failed:
            member.ended = now
            took, stage = data.get("duration", 0), data.get("role") or data["play"]
            member.seconds += took
            member.stages[stage] = member.stages.get(stage, 0) + took
        if event["event"] == "runner_on_start":
            self.now = f"{data['play']}: {data.get('role') or data['task']}"
            if ours:
                member.stage = data.get("role") or member.stage
        elif failed:
            # One who could not be reached fails once more, in words that say what to do.
            member.stage, member.task, member.words = data.get("role") or data["play"], data["task"], self._words(data)
            member.outcome = "stopped" if member.words.startswith(NOT_BEGUN) else "failed"
            return member
        elif event["event"] == "runner_on_ok" and ours:
            member.changed += bool(data["res"].get("changed"))
            if data["task"] == self.last:
                member.outcome, member.welcome = "done", list(data["res"].get("msg", []))
                return member
        return None

    def break_off(self):
        """The run has ended: whoever has no outcome by now has not come to an end."""
        for member in self.members.values():
            if not member.outcome:
                member.outcome = "stopped"
                member.words = "The run ended before." if member.begun is None else "The run broke off meanwhile."

    def _settle(self, stats):
        """Where no task says that a user is done, the end without a failure does."""
        for host, member in self.members.items():
            if not self.last and host in stats["processed"] and member.begun is not None and not member.outcome:
                member.outcome = "done"

    def _clock(self, event):
        now = datetime.fromisoformat(event["created"]).timestamp()
        if self.start is None:
            self.start = now
        return now - self.start

    @staticmethod
    def _words(data):
        result = data.get("res", {})
        return str(result.get("msg") or result.get("stderr") or result.get("stdout") or "no words").strip()
