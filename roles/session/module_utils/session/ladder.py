# SPDX-License-Identifier: GPL-3.0-or-later
"""From evidence to a verdict and a rung of the ladder. Pure: who asks, and who acts, is elsewhere.

A frozen ssh, a suspended job, a host that LSF lost sight of and a dead or hung server look alike from a browser. They are told
apart before anything is done, and what is done is the least that can help.
"""

from dataclasses import asdict, dataclass
from typing import Optional

from ..lsf.parse import MEANING

#: What to do, from nothing to the last resort. ``person``: no rung of ours helps, somebody has to act.
RUNGS = ("none", "wait", "person", "tunnel", "lookup", "submit", "resubmit")


@dataclass(frozen=True)
class Evidence:
    """What was seen; None or an empty text is what nobody asked.

    Attributes:
        stat: LSF's state of the session's job; empty where LSF has none.
        server: what the server's own address says, asked from the login node, in the words of :func:`address.ask`; ``unsaid`` as
            long as the job has not told it, ``unasked`` where it listens for its own node alone.
        answered: whether this server has answered before: one that has not may still be starting.
        through: what the tunnel's local port says, in the same words.
        leads: whether the tunnel leads to where the server is now.
        carries: whether the tunnel's ssh carries something else to its end and back.
        login: what the login node says: ``answers``, ``silent`` or ``refused`` (it wants more than the keys at hand).
    """

    stat: Optional[str] = None
    server: str = ""
    answered: bool = False
    through: str = ""
    leads: bool = True
    carries: bool = False
    login: str = ""


@dataclass(frozen=True)
class Verdict:
    """``name`` for programs; ``message`` and ``remedy`` for people; ``state`` is LSF's, as :data:`MEANING` has it, or empty."""

    name: str
    rung: str
    message: str
    remedy: str = ""
    state: str = ""

    def __str__(self):
        return f"{self.message}\nRemedy: {self.remedy}" if self.remedy else self.message

    def as_dict(self):
        return asdict(self)


SESSION = "run playbooks/session.yml"
RESUBMIT = "playbooks/session.yml with -e session_resubmit=true ends the job and submits a new one; what its kernels hold is lost"

#: By name: the rung, the message, the remedy.
VERDICTS = {
    "healthy": ("none", "the session answers.", ""),
    "unknown": ("person", "nothing is known of the session.", SESSION),
    "log-in-again": (
        "person",
        "the login node asks for more than the keys at hand: its open connection is gone.",
        f"log in again with scripts/login, or unlock your agent (`ssh-add -X`) where a key is enough; then {SESSION}.",
    ),
    "host-key": (
        "person",
        "the login node shows another host key than the one that is known.",
        "compare the fingerprint with the site's before you accept it (ssh-keygen -R, then ssh once by hand).",
    ),
    "ssh-config": ("person", "ssh can't read its configuration.", "mend what it names, then " + SESSION + "."),
    "given-up": ("person", "for days no try to reach the login node worked.", SESSION + "."),
    "login-away": ("wait", "the login node does not answer.", "check your network; the job goes on meanwhile."),
    "waiting": ("wait", "the job waits in its queue.", ""),
    "held": ("person", "the job is held in its queue (PSUSP).", "`bresume` it."),
    "suspended": (
        "person",
        "the job is suspended: its server stands still, and the tunnel with it.",
        "`bresume` it if you suspended it (USUSP); LSF resumes it itself if LSF did (SSUSP). Nothing in it is lost.",
    ),
    "host-lost": (
        "resubmit",
        "the job's host is lost: LSF or the login node can't reach it.",
        f"wait, the host may come back with all that ran there; or {RESUBMIT}.",
    ),
    "over": ("submit", "there is no job of this session.", f"{SESSION}: it submits one."),
    "starting": ("wait", "the job runs, its server does not answer yet.", ""),
    "server-dead": ("resubmit", "the job runs, but its server is dead.", f"{RESUBMIT}."),
    "server-hung": (
        "resubmit",
        "the job runs, but its server hangs: it takes connections and does not answer.",
        f"wait, it may be busy; or {RESUBMIT}.",
    ),
    "stranger": (
        "person",
        "who answers at the session's address does not show the session's certificate: it is not its server.",
        f"{SESSION}, which asks the job for its certificate anew; if it says the same, tell nobody there your password, and run "
        "playbooks/stop.yml first. A certificate of your own (jupyter_certificate) has to be for localhost.",
    ),
    "moved": ("lookup", "the server is on another node or port than the tunnel leads to.", f"{SESSION}."),
    "tunnel-frozen": ("tunnel", "the tunnel is frozen: its ssh lives and carries nothing.", f"{SESSION}."),
    "tunnel-gone": ("tunnel", "there is no tunnel.", f"{SESSION}."),
    "server-away": (
        "lookup",
        "the tunnel lives, but nothing answers at its end.",
        f"{SESSION}: it asks LSF for the job.",
    ),
}

#: What a job that does not run means for its session.
_OF_STATE = {
    "waiting": "waiting",
    "held": "held",
    "frozen": "suspended",
    "doubtful": "host-lost",
    "over": "over",
}
_OF_TUNNEL = {
    "refused": "tunnel-gone",
    "unreachable": "tunnel-gone",
    "silent": "tunnel-frozen",
    "closed": "server-away",
    "stranger": "stranger",
}


def judge(evidence):
    """The verdict on ``evidence``."""
    state = ""
    if evidence.stat is not None:
        state = MEANING.get(evidence.stat, "doubtful") if evidence.stat else "over"
    name = _name(evidence, state)
    rung, message, remedy = VERDICTS[name]
    return Verdict(name, rung, message, remedy, state)


def _name(evidence, state):
    # A job that is over, and an address that answers: then somebody else answers.
    if evidence.through == "answers" and evidence.leads and state != "over":
        return "healthy"
    if evidence.login in ("refused", "silent"):
        return {"refused": "log-in-again", "silent": "login-away"}[evidence.login]
    if state in _OF_STATE:
        return _OF_STATE[state]
    if state == "live" and evidence.server not in ("", "unasked", "answers"):
        return _of_server(evidence)
    if not evidence.leads:
        return "moved"
    # The server was seen to be well: then there is one thing that can be wrong. One that nobody asked may be well too, behind
    # a node whose ssh forwards nothing.
    if evidence.through == "closed" and state == "live" and evidence.server == "answers":
        return "tunnel-gone"
    if evidence.through == "silent" and evidence.carries and evidence.server != "answers":
        return "server-hung" if state == "live" and evidence.server else "server-away"
    if evidence.through:
        return _OF_TUNNEL[evidence.through]
    return "healthy" if state == "live" and evidence.server in ("answers", "unasked") else "unknown"


def _of_server(evidence):
    if evidence.server in ("unreachable", "stranger"):
        return {"unreachable": "host-lost", "stranger": "stranger"}[evidence.server]
    if evidence.server == "unsaid" or not evidence.answered:
        return "starting"
    return {"refused": "server-dead", "closed": "server-dead", "silent": "server-hung"}[evidence.server]
