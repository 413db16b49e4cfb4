"""The ladder: what looks alike from a browser is told apart, and the least that can help is done."""

import itertools

import pytest
from ansible.module_utils.lsf.parse import MEANING
from ansible.module_utils.session.ladder import RUNGS, VERDICTS, Evidence, judge

RUNS = {"stat": "RUN", "server": "answers", "answered": True}


@pytest.mark.parametrize(
    ("name", "rung", "state", "evidence"),
    [
        ("healthy", "none", "live", {**RUNS, "through": "answers"}),
        ("healthy", "none", "live", RUNS),
        ("healthy", "none", "", {"through": "answers"}),
        ("healthy", "none", "doubtful", {"stat": "UNKWN", "through": "answers"}),
        # The tunnel's rungs.
        ("tunnel-frozen", "tunnel", "live", {**RUNS, "through": "silent"}),
        ("tunnel-gone", "tunnel", "live", {**RUNS, "through": "refused"}),
        ("tunnel-gone", "tunnel", "live", {**RUNS, "through": "closed"}),
        ("tunnel-frozen", "tunnel", "", {"through": "silent", "login": "answers"}),
        ("tunnel-gone", "tunnel", "", {"through": "refused"}),
        ("login-away", "wait", "", {"through": "silent", "login": "silent"}),
        ("log-in-again", "person", "", {"through": "refused", "login": "refused"}),
        # The node is looked up again.
        ("moved", "lookup", "live", {**RUNS, "through": "silent", "leads": False}),
        ("moved", "lookup", "live", {**RUNS, "through": "answers", "leads": False}),
        ("server-away", "lookup", "", {"through": "closed"}),
        # A suspended job and a lost host freeze a tunnel just as well.
        ("suspended", "person", "frozen", {"stat": "USUSP", "server": "silent", "answered": True, "through": "silent"}),
        ("suspended", "person", "frozen", {"stat": "SSUSP", "server": "silent", "answered": True, "through": "silent"}),
        ("host-lost", "resubmit", "doubtful", {"stat": "UNKWN", "server": "silent", "through": "silent"}),
        ("host-lost", "resubmit", "live", {"stat": "RUN", "server": "unreachable", "answered": True}),
        ("host-lost", "resubmit", "doubtful", {"stat": "SOMETHING", "through": "silent"}),
        # Servers.
        ("server-dead", "resubmit", "live", {**RUNS, "server": "refused", "through": "closed"}),
        ("server-dead", "resubmit", "live", {**RUNS, "server": "closed", "through": "closed"}),
        ("server-hung", "resubmit", "live", {**RUNS, "server": "silent", "through": "silent"}),
        ("starting", "wait", "live", {**RUNS, "server": "refused", "answered": False}),
        ("starting", "wait", "live", {**RUNS, "server": "silent", "answered": False}),
        ("starting", "wait", "live", {"stat": "RUN", "server": "unsaid", "answered": True}),
        # Another certificate than the session's, at the server's address or at the tunnel's end.
        ("stranger", "person", "live", {**RUNS, "server": "stranger"}),
        ("stranger", "person", "live", {"stat": "RUN", "server": "stranger", "answered": False}),
        ("stranger", "person", "live", {**RUNS, "through": "stranger"}),
        ("stranger", "person", "", {"through": "stranger"}),
        ("moved", "lookup", "live", {**RUNS, "through": "stranger", "leads": False}),
        ("over", "submit", "over", {"stat": "EXIT", "through": "stranger"}),
        # Servers that their own node alone can ask: the tunnel ends there.
        ("healthy", "none", "live", {**RUNS, "server": "unasked"}),
        ("server-away", "lookup", "live", {**RUNS, "server": "unasked", "through": "closed"}),
        ("server-hung", "resubmit", "live", {**RUNS, "server": "unasked", "through": "silent", "carries": True}),
        ("tunnel-frozen", "tunnel", "live", {**RUNS, "server": "unasked", "through": "silent"}),
        ("server-away", "lookup", "", {"through": "silent", "carries": True}),
        # Jobs.
        ("waiting", "wait", "waiting", {"stat": "PEND", "server": "unsaid"}),
        ("held", "person", "held", {"stat": "PSUSP", "server": "unsaid"}),
        ("over", "submit", "over", {"stat": "EXIT", "through": "refused"}),
        ("over", "submit", "over", {"stat": "", "through": "refused"}),
        ("over", "submit", "over", {"stat": "ZOMBI", "through": "answers"}),
        ("unknown", "person", "", {}),
    ],
)
def test_the_verdict_on(name, rung, state, evidence):
    verdict = judge(Evidence(**evidence))
    assert (verdict.name, verdict.rung, verdict.state) == (name, rung, state)


EVERYTHING = list(
    itertools.product(
        [None, "", *MEANING],
        ["", "unsaid", "refused", "unreachable", "closed", "silent", "stranger", "answers", "unasked"],
        [False, True],
        ["", "refused", "unreachable", "closed", "silent", "stranger", "answers"],
        [False, True],
        [False, True],
        ["", "answers", "silent", "refused"],
    )
)


def test_whatever_is_seen_there_is_a_verdict_with_a_message_and_nobody_is_left_without_a_way():
    seen = set()
    for fields in EVERYTHING:
        verdict = judge(Evidence(*fields))
        seen.add(verdict.name)
        assert verdict.rung in RUNGS
        assert verdict.message
        assert verdict.remedy or verdict.rung in ("none", "wait")
    # The others are what ssh's own words, or days of trying, tell the supervisor.
    assert seen == set(VERDICTS) - {"host-key", "ssh-config", "given-up"}


def test_only_a_job_that_is_there_is_ever_ended():
    """And never one that waits, is suspended, or runs a server that answers."""
    for fields in EVERYTHING:
        evidence = Evidence(*fields)
        verdict = judge(evidence)
        if verdict.rung == "resubmit":
            assert verdict.state == "doubtful" or (verdict.state == "live" and evidence.server != "answers")
