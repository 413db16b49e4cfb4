# SPDX-License-Identifier: GPL-3.0-or-later
"""LSF 10's words, by the keys that master and clients use between themselves. Another personality would be another such table."""

VERSION = "IBM Spectrum LSF Standard 10.1.0.13 (a double made by Slipway; nothing of IBM's)"

# bsub: each ends in ". Job not submitted."
REFUSED = {
    "root": "User permission denied",
    "no_command": "No command is specified",
    "no_queue": "{0}: No such queue",
    "no_host": "{0}: Bad host name, host group name or cluster name",
    "queue_users": "{0}: User cannot use the queue",
    "queue_batch_only": "Queue does not accept interactive jobs",
    "queue_interactive_only": "Queue only accepts interactive jobs",
    "slots_argument": "Bad argument for option -n",
    "slots_positive": "The number of processors must be a positive integer",
    "slots_too_many": "Too many processors requested",
    "runlimit_syntax": "{0}: Bad RUNLIMIT specification",
    "runlimit_hard": "RUNLIMIT: Cannot exceed queue's hard limit(s)",
    "memlimit_syntax": "{0}: MEMLIMT value should be a positive integer",  # sic
    "resreq_syntax": "Bad resource requirement syntax",
    "resreq_rusage": "Error in rusage section",
    "resreq_duplicate": 'Error near "{0}" : duplicate section',
}

PENDING = {
    "new": "New job is waiting for scheduling;",
    "slots": "Not enough job slot(s): {0};",
    "span": "Not enough processors to meet the job's spanning requirement: {0};",
    "full": "Job slot limit reached: {0};",
    "user_limit": "User has reached the per-user job slot limit of the queue;",
    "unreachable": "Unable to reach slave batch server: {0};",
}

# bkill: key -> (words, whether the goal was reached, which decides stream and exit code)
KILLED = {
    "terminating": ("Job <{0}> is being terminated", True),
    "signaled": ("Job <{0}> is being signaled", True),
    "finished": ("Job <{0}>: Job has already finished", False),
    "unknown": ("Job <{0}>: No matching job found", False),
    "denied": ("Job <{0}>: User permission denied", False),
    "not_started": ("Job <{0}>: Job has not started yet", False),
}

NOT_FOUND = "Job <{0}> is not found"
NONE_FOUND = {
    "unfinished": "No unfinished job found",
    "all": "No job found",
    "pending": "No pending job found",
    "running": "No running job found",
    "suspended": "No suspended job found",
    "finished": "No DONE/EXIT job found",
}


def hosts(count: int) -> str:
    return f"{count} host" if count == 1 else f"{count} hosts"
