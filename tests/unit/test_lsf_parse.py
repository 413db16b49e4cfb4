"""What LSF prints, read right: words recorded on real systems (../shared/facts/lsf.md), then generated ones."""

import pytest
from ansible.module_utils.lsf import parse
from hypothesis import given
from hypothesis import strategies as st

IDS = st.integers(min_value=1, max_value=10**7).map(str)
QUEUES = st.from_regex(r"\A[A-Za-z0-9_.-]{1,20}\Z")
# Nothing that a site prints before the line may look like the line.
NOISE = st.lists(
    st.text(st.characters(codec="ascii", exclude_characters="<"), max_size=60).map(
        lambda line: line.replace("\n", " ")
    ),
    max_size=4,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Job <33565> is submitted to queue <interactive>.\n", ("33565", "interactive")),
        ("Job <12> is submitted to default queue <normal>.\n", ("12", "normal")),
        ("Job <12> is submitted to queue <normal>.\r\n<<Waiting for dispatch ...>>\r\n", ("12", "normal")),
        ("Job is submitted to <cpp> project.\nJob <12> is submitted to queue <normal>.\n", ("12", "normal")),
        ("Cannot connect to LSF. Please wait ...\nJob <7> is submitted to queue <short>.\n", ("7", "short")),
        ("Job is submitted to <cpp> project.\n", None),
        ("No such queue. Job not submitted.\n", None),
        ("Request aborted by esub. Job not submitted.\n", None),
        ("", None),
    ],
)
def test_submission_in_every_wording(text, expected):
    assert parse.submission(text) == expected


@given(NOISE, IDS, QUEUES, st.booleans(), NOISE)
def test_submission_is_found_among_banners(before, job_id, queue, default, after):
    line = f"Job <{job_id}> is submitted to {'default ' if default else ''}queue <{queue}>."
    assert parse.submission("\n".join([*before, line, *after])) == (job_id, queue)


@given(NOISE)
def test_no_submission_is_read_out_of_noise(lines):
    assert parse.submission("\n".join(lines)) is None


@pytest.mark.parametrize(
    ("exec_host", "expected"),
    [
        ("t037", "t037"),
        ("t037:t037:t037", "t037"),
        ("40*t037", "t037"),
        ("4*t001:4*t002", "t001"),
        ("t037@triton", "t037"),
        ("t037.example.edu", "t037.example.edu"),
        ("-", ""),
        ("", ""),
    ],
)
def test_first_host_of_every_form(exec_host, expected):
    assert parse.first_host(exec_host) == expected


def test_a_pending_job_has_no_host_and_a_reason():
    line = (
        "33566^PEND^interactive^-^jupyter^slipway jupyter 0f^User has reached the per-user job slot limit of the queue;"
    )
    (job,) = parse.jobs(line)
    assert (job.meaning, job.host) == ("waiting", "")
    assert job.pend_reason.startswith("User has reached")


def test_a_running_job_with_forty_slots():
    (job,) = parse.jobs("33565^RUN^normal^40*t001^dask-worker^-^-\r\n")
    assert (job.id, job.meaning, job.host, job.description) == ("33565", "live", "t001", "")


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_exception(text):
    for job in parse.jobs(text):
        assert job.id.isdigit()
    parse.submission(text)
    parse.says_nothing_found(text)


@pytest.mark.parametrize(
    "state", ["PEND", "PSUSP", "RUN", "USUSP", "SSUSP", "DONE", "EXIT", "UNKWN", "ZOMBI", "WAIT", "PROV"]
)
def test_every_state_has_a_meaning(state):
    (job,) = parse.jobs(f"1^{state}^normal^t001^x^-^-")
    assert job.meaning == parse.MEANING[state]


def test_a_state_of_tomorrow_is_doubtful_and_not_over():
    (job,) = parse.jobs("1^FORWARDED^normal^-^x^-^-")
    assert job.meaning == "doubtful"


@pytest.mark.parametrize(
    "words",
    [
        "No unfinished job found",
        "No unfinished job found in queue <interactive>",
        "No job found",
        "No pending job found",
        "No DONE/EXIT job found",
        "Job <99999> is not found",
    ],
)
def test_nothing_found_in_all_its_wordings(words):
    assert parse.says_nothing_found(words + "\n")


@pytest.mark.parametrize(
    "words", ["LSF is down. Please wait ...", "nosuch: No such queue", "Unable to open file lsf.conf"]
)
def test_trouble_is_not_taken_for_nothing_found(words):
    assert not parse.says_nothing_found(words)


@pytest.mark.parametrize(
    ("words", "again"),
    [
        ("Cannot connect to LSF. Please wait ...", True),
        ("batch system daemon not responding ... still trying", True),
        ("LIM is down; try later", True),
        ("Pending job threshold reached. Retrying in 60 seconds...", True),
        ("No such queue. Job not submitted.", False),
        ("User cannot use the queue. Job not submitted.", False),
        ("Unable to open file lsf.conf", False),
    ],
)
def test_passing_trouble_is_told_from_refusal(words, again):
    assert parse.says_try_again(words) is again


@pytest.mark.parametrize(
    ("words", "over"),
    [
        ("Job <7>: Job has already finished", True),
        ("Job <7>: No matching job found", True),
        ("Job <7>: User permission denied", False),
        ("Job <7> is being terminated", False),
    ],
)
def test_a_kill_that_came_too_late_is_no_failure(words, over):
    assert parse.says_already_over(words) is over


def test_a_submission_that_was_cut_off_may_have_been_taken_and_is_not_repeated():
    words = "Failed in an LSF library call: Failed in sending/receiving a message: Connection reset by peer"
    assert parse.says_try_again(words)
    assert not parse.says_try_again(words, unsent=True)
