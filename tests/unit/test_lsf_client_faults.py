"""The client on the double's faults, and on its other personalities: LSFs that lack options."""

import time

import pytest
from ansible.module_utils.lsf import LsfError, client
from lsf_cluster import running, until

NONCE = "slipway jupyter 0123456789abcdef"
SCRIPT = "#!/bin/sh\n#BSUB -J jupyter\n#BSUB -q normal\nsleep 300\n"


@pytest.fixture(scope="module", params=["lsf10", "openlava", "volclava"])
def personality(request, tmp_path_factory):
    with running(tmp_path_factory.mktemp(request.param), personality=request.param) as cluster:
        yield cluster


@pytest.fixture
def ours(personality, monkeypatch):
    monkeypatch.setattr(client, "MISSES", (0.1, 0.2))
    monkeypatch.setattr(client, "PAUSES", (0.1, 0.2, 0.3))
    monkeypatch.setattr(client, "COMMAND_TIMEOUT", 4)
    yield client.Lsf(personality.env, "session_", 10)
    personality.fault("off")
    personality.clear()


@pytest.fixture
def running_job(ours, personality):
    job_id = ours.submit(SCRIPT, NONCE)
    until(lambda: ours.job(job_id).stat == "RUN")
    return job_id


def of_ours(ours):
    return [job.id for job in ours.jobs() if job.description == NONCE and job.meaning != "over"]


def test_a_job_is_told_from_its_submission_to_its_end(ours, personality, running_job):
    job = ours.job(running_job)
    assert (job.name, job.description, job.queue) == ("jupyter", NONCE, "normal")
    assert job.host in ("t001", "t002")
    personality("bstop", running_job)
    until(lambda: ours.job(running_job).meaning == "frozen")
    assert ours.kill(running_job)
    ours.wait_until_over(running_job)
    assert "exit code" in ours.job(running_job).ending
    assert not ours.kill(running_job)
    personality.fault("forgotten", "on")
    job = ours.job(running_job)
    assert (job.meaning, job.description) == ("over", NONCE)
    assert "exit code" in job.ending


def test_a_live_job_that_bjobs_misses_is_found_or_doubtful_and_never_over(ours, personality, running_job):
    personality.fault("missing", "on", f"job={running_job}", "times=1")
    assert ours.job(running_job).stat == "RUN"
    personality.fault("missing", "on", f"job={running_job}")
    job = ours.job(running_job)
    assert (job.meaning, job.description) == ("doubtful", NONCE)


@pytest.mark.parametrize("how", [[], ["how=reset"]])
def test_an_answer_that_never_came_leaves_one_job_that_is_adopted(ours, personality, how):
    personality.fault("cut", "on", "times=1", *how)
    assert of_ours(ours) == [] and [ours.submit(SCRIPT, NONCE)] == of_ours(ours)


@pytest.mark.fault(22)
@pytest.mark.parametrize("fault", ["banner", "stderr", "wait"])
def test_a_submission_is_read_whatever_stands_around_it(ours, personality, fault):
    personality.fault(fault, "on")
    assert [ours.submit(SCRIPT, NONCE)] == of_ours(ours)


@pytest.mark.fault(21)
def test_a_refusal_with_exit_code_0_is_one(ours, personality):
    personality.fault("esub", "on")
    with pytest.raises(LsfError, match="Job not submitted"):
        ours.submit(SCRIPT, NONCE)


@pytest.mark.fault(19)
@pytest.mark.fault(20)
@pytest.mark.parametrize("fault", ["mbatchd", "lim"])
def test_daemons_that_are_away_are_told_in_their_words_and_in_time(ours, personality, fault):
    personality.fault(fault, "on")
    started = time.monotonic()
    with pytest.raises(client.Unanswered, match="not responding"):
        ours.jobs()
    assert time.monotonic() - started < 20
