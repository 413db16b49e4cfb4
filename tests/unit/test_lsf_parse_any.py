"""LSF's texts by the thousand, made up: no verdict is wrong, and nothing but our own error comes out.

Each test says what LSF means, writes it down as LSF does, with what sites put around it, and reads it back.
"""

import json

from ansible.module_utils.lsf import LsfError, long, parse, queues
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st


def many(texts):
    """All tests together read more than 10,000 texts."""
    return settings(max_examples=texts, deadline=None, database=None, suppress_health_check=list(HealthCheck))


#: Drawn from whole values, not letter by letter: it is their order and number that parsers stumble over, and drawing takes the time.
IDS = st.integers(1, 10**8).map(str)
WORDS = st.sampled_from(["normal", "interactive", "q", "a_queue.of-20-letters", "Open", "RUN", "7"])
HOSTS = st.sampled_from(["t037", "n1", "a-node-with-a-name.example.edu", "triton-login1", "7up"])
STATES = st.sampled_from([*parse.MEANING, "FORWARDED"])
# Nothing that a site prints may look like LSF's own line; anything else may stand in it, digits and angles included.
NOISE = st.lists(
    st.sampled_from(
        [
            "",
            "Job is submitted to <cpp> project.",
            "77 nodes are down",
            "  \t",
            "^^^^^^^^^",
            "7 RUN t037",
            "<",
            "é\x0b\u2028",
        ]
    )
    | st.text(max_size=20).filter(
        lambda line: not (set("\n{^") & set(line) or line.replace("\r", "").startswith(("Job", "No")))
    ),
    max_size=3,
)
# What a user may call a job, or LSF's own words in it.
NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=20),
    st.lists(
        st.sampled_from(
            ["^", "RUN", "DONE", "7^EXIT^normal^t001", "Nov 23 01:17", "-", "Job <1> is not found", "{", '"', "x"]
        ),
        min_size=1,
        max_size=6,
    ).map(" ".join),
)


def plain(text):
    """As a value that LSF shows comes back."""
    return "" if text.strip() == "-" else text.strip()


@st.composite
def exec_hosts(draw):
    """EXEC_HOST in one of its forms, and the first host in it."""
    hosts = draw(st.lists(st.tuples(st.integers(1, 99), HOSTS), max_size=4))
    if not hosts:
        return draw(st.sampled_from(["-", "", "lost_and_found"])), ""
    forms = {
        "one a slot": ":".join(":".join([host] * count) for count, host in hosts),
        "counted": ":".join(f"{count}*{host}" for count, host in hosts),
        "clusters": ":".join(f"{count}*{host}@far" for count, host in hosts),
    }
    return forms[draw(st.sampled_from(sorted(forms)))], hosts[0][1]


JOBS = st.lists(
    st.fixed_dictionaries(
        {
            "jobid": IDS,
            "stat": STATES,
            "queue": WORDS,
            "exec_host": exec_hosts(),
            "exit_code": st.integers(0, 255).map(str) | st.just("-"),
            "job_description": st.just("-") | WORDS.map(lambda word: f"slipway {word} 0f"),
            "pend_reason": st.just("-") | st.just("Not enough job slot(s): 2 hosts;"),
            "exit_reason": st.just("-") | st.just("TERM_RUNLIMIT: job killed after reaching LSF run time limit"),
            "job_name": NAMES,
        }
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda job: job["jobid"],
)


def meant(job):
    return parse.Job(
        job["jobid"],
        job["stat"],
        job["queue"],
        job["exec_host"][1],
        plain(job["job_name"]),
        plain(job["job_description"]),
        plain(job["pend_reason"]),
        plain(job["exit_code"]),
        plain(job["exit_reason"]),
    )


def ends(draw_crlf, text):
    return text.replace("\n", "\r\n") if draw_crlf else text


@many(1000)
@given(NOISE, IDS, WORDS, st.booleans(), NOISE, st.booleans())
@example(["Job is submitted to <cpp> project.", "77 nodes are down"], "12", "normal", True, [], True)
def test_a_submission_is_found_among_banners(before, job_id, queue, default, after, crlf):
    line = f"Job <{job_id}> is submitted to {'default ' if default else ''}queue <{queue}>."
    assert parse.submission(ends(crlf, "\n".join([*before, line, *after]))) == (job_id, queue)


@many(1500)
@given(NOISE, st.sampled_from(["", "No such queue", "Request aborted by esub", "Too many processors requested"]))
def test_no_submission_is_read_out_of_a_refusal(lines, refusal):
    assert parse.submission("\n".join([*lines, f"{refusal}. Job not submitted."])) is None


@many(700)
@given(JOBS, NOISE, st.booleans())
def test_rows_come_back_as_they_were(jobs, banner, crlf):
    lines = ["^".join(job[name][0] if name == "exec_host" else job[name] for name in parse.JOB_FIELDS) for job in jobs]
    assert parse.jobs(ends(crlf, "\n".join([*banner, *lines, ""]))) == [meant(job) for job in jobs]


@many(700)
@given(JOBS, NOISE, st.lists(IDS, max_size=2), st.booleans())
def test_json_comes_back_as_it_was(jobs, banner, missing, raw):
    records = [
        {name.upper(): job[name][0] if name == "exec_host" else job[name] for name in parse.JOB_FIELDS} for job in jobs
    ]
    records += [{"JOBID": job_id, "ERROR": f"Job <{job_id}> is not found"} for job_id in missing]
    text = json.dumps({"COMMAND": "bjobs", "JOBS": len(records), "RECORDS": records}, ensure_ascii=not raw, indent=2)
    assert parse.jobs_json("\n".join([*banner, text])) == [meant(job) for job in jobs]


def cut(text, width):
    return f"{text[:width]:{width}}"


@many(700)
@given(
    JOBS, NOISE, st.booleans(), st.sampled_from(["Nov 23 01:17", "Nov  3 01:17", "Nov 23 01:17 2026"]), st.booleans()
)
def test_columns_tell_id_state_and_host_whatever_the_name(jobs, banner, wide, moment, crlf):
    heads = "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME"
    lines, expected = [*banner, heads], []
    for job in jobs:
        hosts, first = job["exec_host"]
        state, name = job["stat"][:5], job["job_name"]
        if wide:
            lines.append(
                f"{job['jobid']:7} {'ada':7} {state:5} {job['queue']:10} {'login1.example.edu':11} {hosts if first else '   - ':11} "
                f"{name:10} {moment}"
            )
        else:
            name = name if len(name) <= 10 else "*" + name[-9:]
            each = hosts.split(":") if first else [""]
            lines.append(
                f"{job['jobid']:7} {cut('ada', 7)} {state:5} {cut(job['queue'], 10)} {cut('login1.example.edu', 11)} "
                f"{cut(each[0], 11)} {name:10} {moment}"
            )
            lines += [" " * 45 + cut(host, 11) for host in each[1:]]
            first = parse.first_host(each[0][:11])
        expected.append((job["jobid"], state, first, plain(name)))
    found = parse.jobs_columns(ends(crlf, "\n".join([*lines, ""])))
    assert [(job.id, job.stat, job.host, job.name) for job in found] == expected


@many(1500)
@given(exec_hosts())
def test_the_first_host_is_found_in_every_form(pair):
    assert parse.first_host(pair[0]) == pair[1]


WAITS = st.lists(st.sampled_from(["Cannot connect to LSF. Please wait ...", "LIM is down; try later"]), max_size=3)
ANSWERS = st.sampled_from(
    ["nosuch: No such queue", "Job <7> is not found", "Job <7>: User permission denied", "Queue has been closed"]
)


@many(1000)
@given(NOISE, WAITS, st.none() | ANSWERS, st.booleans())
def test_only_a_trouble_that_did_not_pass_is_tried_again(banner, waits, answer, crlf):
    text = ends(crlf, "\n".join([*banner, *waits, *([answer] if answer else [])]))
    if answer or waits:
        assert parse.says_try_again(text, unsent=True) == (not answer)


ENDS = st.sampled_from(
    [
        ("Done successfully. The CPU time used is 0.0 seconds;", ("DONE", "")),
        ("Exited with exit code 3. The CPU time used is 0.0 seconds;", ("EXIT", "3")),
        ("Exited by signal 9. The CPU time used is 0.0 seconds;", ("EXIT", "137")),
        ("Exited with exit code 140; TERM_RUNLIMIT: job killed after reaching LSF run time limit;", ("EXIT", "140")),
    ]
)


@many(1500)
@given(IDS, NAMES, st.lists(ENDS, max_size=2), st.booleans(), st.booleans())
def test_a_history_tells_the_last_end_unless_the_job_runs_again(job_id, name, ended, again, fold):
    at = "Mon Nov 23 01:16:59: "
    lines = [
        f"Job <{job_id}>, Job Name <{name}>, User <ada>, Project <default>, Command <sleep 300>",
        f"{at}Dispatched to <t037>;",
    ]
    for words, _ in ended:
        lines += [at + words, f"{at}Pending: Job has been requeued;", f"{at}Starting (Pid 22);"]
    if ended and not again:
        lines = lines[:-2]
    if fold:
        lines = [
            ("\n" + " " * 21).join([line[:79], *(line[i : i + 58].lstrip() for i in range(79, len(line), 58))])
            for line in lines
        ]
    job = long.history("\n".join([*lines, ""]), job_id)
    assert (job.stat, job.exit_code) == (ended[-1][1] if ended and not again else ("UNKWN", ""))


@many(1500)
@given(st.integers(1, 99999), st.integers(1, 10**6), st.integers(1, 512), st.sampled_from("KMGT"))
def test_a_queues_limits_come_back_as_they_were(run, memory, slots, unit):
    text = (
        f"\nQUEUE: normal\n  -- Notebooks.\n\nPARAMETERS/STATISTICS\nPRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS\n"
        f" 30   20  Open:Active      {slots}   -    -    -     0\n\nDEFAULT LIMITS:\n RUNLIMIT\n 10.0 min\n\nMAXIMUM LIMITS:\n"
        f" CPULIMIT              RUNLIMIT\n 20.0 min of hostA     {run}.0 min of hostA\n TASKLIMIT\n 1 2 {slots}\n"
        f" FILELIMIT DATALIMIT MEMLIMIT\n  20000 K   20000 K   {memory} {unit}\n\nSCHEDULING POLICIES:  FAIRSHARE ONLY_INTERACTIVE\n"
    )
    queue = queues.queue(text)
    assert (queue.run_minutes, queue.default_run_minutes, queue.slots) == (run, 10.0, (1, slots))
    assert queue.memory == memory * queues.KILOBYTES[unit]
    assert (queue.takes, queue.is_open, queue.all_slots, queue.user_slots) == ("interactive", True, slots, 0)


PIECES = [
    "Job <1>, Job Name <",
    "Job <1> is submitted to queue <",
    "JOBID   USER    STAT  QUEUE      FROM_HOST   EXEC_HOST   JOB_NAME   SUBMIT_TIME\n",
    '{"RECORDS": [',
    "1^RUN^",
    "\nQUEUE: x\n RUNLIMIT\n",
    "Mon Nov 23 01:16:59: Exited with exit code ",
    "Exited by signal ",
    "#BSUB -M ",
    "#BSUB -q '",
    " min",
    "99999999999999999999",
    "²",
    "*:@<>^-",
    "\n" + " " * 21,
    "\x00\x0b\x85\u2028\r\n",
]


@many(1500)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=30), max_size=8).map("".join))
def test_of_any_text_comes_a_verdict_or_our_own_error(text):
    for read in (
        parse.submission,
        parse.jobs,
        parse.jobs_json,
        parse.jobs_columns,
        parse.hosts,
        parse.says_nothing_found,
        parse.says_unknown_option,
        parse.unknown_field,
        parse.says_try_again,
        parse.cluster,
        long.details,
        queues.statuses,
        queues.queue,
        queues.minutes,
        lambda text: parse.killed(text, "1"),
        lambda text: long.history(text, "1"),
        lambda text: queues.check(queues.request(text), queues.queue(text) or queues.Queue("x"), "KB", True, "x_"),
        lambda text: queues.check(queues.Request("x", text, text, text), queues.Queue("x"), "KB", True, "x_"),
    ):
        try:
            found = read(text)
        except LsfError:
            continue
        for job in found if read in (parse.jobs, parse.jobs_json, parse.jobs_columns) else []:
            assert int(job.id.split("[")[0]) >= 0
            assert job.meaning != "over" or job.stat in text
