# SPDX-License-Identifier: GPL-3.0-or-later
"""LSF 10's words and habits, by the keys that master and clients use between themselves. The other personalities derive
from it: `openlava` and `volclava`, each a module of its own, which only a client of such a cluster loads.
"""


class Lsf10:
    VERSION = "IBM Spectrum LSF Standard 10.1.0.13 (a double made by Slipway; nothing of IBM's)"
    VERSION_ON_STDOUT = False  # -V
    NAME = "LSF"  # in reports and in what is said of LIM

    # Command -> (flags, options with a value). The clients know more than a personality lets them have.
    OPTIONS = {
        "bjobs": ("w W l UF noheader json a d p r s", "o q u J m"),
        "bhist": ("l a w UF", "J u q"),
        "bhosts": ("w", ""),
        "bqueues": ("w l", "u m"),
        "bkill": ("r", "s J q u m"),
        "bstop": ("", "J q u m"),
        "bresume": ("", "J q u m"),
        "brequeue": ("", "J q u"),
        "lsid": ("", ""),
    }
    USAGE = {
        "bsub": """Usage: bsub [-h] [-V] [-H] [-r | -rn] [-I | -Ip | -Is | -K] [-J job_name] [-Jd job_description] [-q queue_name]
            [-P project_name] [-n min_tasks[,max_tasks]] [-R "res_req"]... [-m "host_name..."] [-M mem_limit]
            [-W [hour:]minute] [-o out_file | -oo out_file] [-e err_file | -eo err_file] [-cwd dir] command [argument ...]""",
        "bjobs": """Usage: bjobs [-h] [-V] [-w | -W | -l | -UF | -o "field_name[:[-]output_width] ... [delimiter='character']" [-json]]
             [-noheader] [-a | -d | -p | -r | -s] [-q queue_name] [-u user_name | -u all] [-J job_name] [-m host_name]
             [job_ID ...]""",
        "bhist": "Usage: bhist [-h] [-V] [-a] [-w | -l | -UF] [-J job_name] [-q queue_name] [-u user_name | -u all] [job_ID ...]",
        "bkill": """Usage: bkill [-h] [-V] [-r | -s signal_value | -s signal_name] [-J job_name] [-q queue_name] [-m host_name]
             [-u user_name | -u all] [job_ID ... | 0]""",
        "bstop": "Usage: bstop [-h] [-V] [-J job_name] [-q queue_name] [-m host_name] [-u user_name | -u all] [job_ID ... | 0]",
        "bresume": "Usage: bresume [-h] [-V] [-J job_name] [-q queue_name] [-m host_name] [-u user_name | -u all] [job_ID ... | 0]",
        "brequeue": "Usage: brequeue [-h] [-V] [-J job_name] [-q queue_name] [-u user_name | -u all] [job_ID ... | 0]",
        "bqueues": "Usage: bqueues [-h] [-V] [-w | -l] [-m host_name] [-u user_name] [queue_name ...]",
        "bhosts": "Usage: bhosts [-h] [-V] [-w] [host_name ...]",
        "badmin": "Usage: badmin [-h] [-V] qopen | qclose | qact | qinact queue_name ... | hopen | hclose host_name ...",
        "lsid": "Usage: lsid [-h] [-V]",
    }
    UNKNOWN_OPTION = "invalid option -- '{name}'"
    NO_JOB_GIVEN = "Job ID must be specified.\n"  # then the usage

    # bsub: each ends in ". Job not submitted."
    REFUSED = {
        "root": "User permission denied",
        "no_command": "No command is specified",
        "no_queue": "{0}: No such queue",
        "no_host": "{0}: Bad host name, host group name or cluster name",
        "queue_users": "{0}: User cannot use the queue",
        "queue_closed": "{0}: Queue has been closed",
        "queue_batch_only": "Queue does not accept interactive jobs",
        "queue_interactive_only": "Queue only accepts interactive jobs",
        "slots_argument": "Bad argument for option -n",
        "slots_positive": "The number of processors must be a positive integer",
        "slots_too_many": "Too many processors requested",
        "runlimit_syntax": "{0}: Bad RUNLIMIT specification",
        "runlimit_hard": "RUNLIMIT: Cannot exceed queue's hard limit(s)",
        "memlimit_syntax": "{0}: MEMLIMT value should be a positive integer",  # sic
        "memlimit_hard": "MEMLIMIT: Cannot exceed queue's hard limit(s)",
        "resreq_syntax": "Bad resource requirement syntax",
        "resreq_rusage": "Error in rusage section",
        "resreq_duplicate": 'Error near "{0}" : duplicate section',
    }
    OPTION_ERROR_WITH_USAGE = True  # else ". Job not submitted."
    ILLEGAL_OPTION = "bsub: illegal option -- {name}"

    PENDING = {
        "new": "New job is waiting for scheduling;",
        "slots": "Not enough job slot(s): {0};",
        "span": "Not enough processors to meet the job's spanning requirement: {0};",
        "full": "Job slot limit reached: {0};",
        "user_limit": "User has reached the per-user job slot limit of the queue;",
        "unreachable": "Unable to reach slave batch server: {0};",
        "host_closed": "Closed by LSF administrator: {0};",
        "queue_inactive": "The queue is inactivated by the administrator;",
        "held": "The job was suspended by the user while pending;",
        "requeued": "Requeued job is waiting for rescheduling;",
    }
    SUSPENDED = {
        "user": "The job was suspended by user;",
        "load": "The host load exceeded the following threshold(s): r1m;",
        "resumed": "Waiting for re-scheduling after being resumed by user;",
    }

    # bkill and its kin: key -> (words, whether the goal was reached, which decides stream and exit code)
    ACTED = {
        "terminating": ("Job <{0}> is being terminated", True),
        "signaled": ("Job <{0}> is being signaled", True),
        "stopped": ("Job <{0}> is being stopped", True),
        "resumed": ("Job <{0}> is being resumed", True),
        "requeued": ("Job <{0}> is being requeued", True),
        "finished": ("Job <{0}>: Job has already finished", False),
        "unknown": ("Job <{0}>: No matching job found", False),
        "denied": ("Job <{0}>: User permission denied", False),
        "not_started": ("Job <{0}>: Job has not started yet", False),
        "in_progress": ("Job <{0}>: Operation is in progress", False),
    }
    TERMINATED = {
        "TERM_OWNER": "TERM_OWNER: job killed by owner",
        "TERM_ADMIN": "TERM_ADMIN: job killed by root or LSF administrator",
        "TERM_RUNLIMIT": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
        "TERM_FORCE_OWNER": "TERM_FORCE_OWNER: job killed by owner without time for cleanup",
        "TERM_FORCE_ADMIN": "TERM_FORCE_ADMIN: job killed by root or LSF administrator without time for cleanup",
        "TERM_REQUEUE_OWNER": "TERM_REQUEUE_OWNER: job killed and requeued by owner",
        "TERM_REQUEUE_ADMIN": "TERM_REQUEUE_ADMIN: job killed and requeued by root or LSF administrator",
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
    NONE_FOUND_CODE = 0  # bjobs' default: nothing found is a success
    ONE_NOT_FOUND_CODE = 0
    NONE_FOUND_JSON_CODE = 0
    NO_HISTORY = "No matching job found"

    LIM_AWAY = "LSF daemon (LIM) not responding ... still trying"
    KILLED_OUT_OF_REACH = "ZOMBI"  # what bkill makes of a job whose host does not answer,
    KILLED_UNKNOWN = "ZOMBI"  # and of one that is UNKWN already

    FIELDS = ()  # bjobs -o: () for all of `fields`
    PLAIN_LAYOUT = False  # no widths and no delimiter: values with a blank between

    # bjobs -l and bhist -l
    JOB = "Job"
    FOLDED = True  # at 80 columns, inside words
    ON_HOLD = "with hold"
    STARTED = "Started {slots} Task(s) on Host(s) {each}, Allocated {slots} Slot(s) on Host(s) {each}"
    DISPATCHED = "Dispatched {slots} Task(s) on Host(s) {each}, Allocated {slots} Slot(s) on Host(s) {each}"
    STARTED_UNFOLDED = STARTED  # or a pair: one slot, several slots
    TO_QUEUE = ", to Queue <{0}>"
    RUNLIMIT = " {minutes:.1f} min"
    QUEUE_RUNLIMIT_IN_LONG = True  # also a run limit that is not the job's own
    MEMLIMIT = " {memlimit:>7} K"
    TASKS = ", {slots} Task(s)"
    TERMINATIONS_IN_LONG = True  # Completed <exit>; TERM_OWNER: ...
    EXIT_SIGNALS = ()  # exit codes told as "by signal"
    USAGE_COLLECTED = ("MEM: 5 Mbytes;  SWAP: 10 Mbytes;  NTHREAD: 4;", ())
    MEMORY_IN_LONG = RESOURCES_IN_LONG = True
    DEFAULT_RESOURCES = "select[type == local] order[r15s:pg]"

    # bqueues
    QUEUE_HEAD = "QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP "
    QUEUE_ROW = (
        "{name:15.15s} {priority:3d}  {status:>12s}   {max:>4s} {jlu:>4s} {jlp:>4s} {jlh:>4s} "
        "{total:5d} {pend:5d} {run:5d} {susp:5d}"
    )
    QUEUE_LONG_HEAD = "PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV PJOBS"
    QUEUE_LONG_ROW = (
        "{priority:3d}    0  {status:15s} {max:>4s} {jlu:>4s} {jlp:>4s} {jlh:>4s} {total:5d} {pend:5d} {run:5d} "
        "{ssusp:5d} {ususp:5d}    0 {pend:5d}"
    )
    QUEUE_INACTIVE = "Inact"
    QUEUE_MORE = ()  # lines of bqueues -l below the table
    QUEUE_LIMIT_TITLES = True
    ALL_USERS = "all users"

    # bhosts
    HOST_AWAY = "unavail"

    # the -o file
    REPORT_SIGNAL = False  # an exit code above 128 as "Exited with signal termination: Killed."

    @classmethod
    def hosts(cls, count: int) -> str:
        return f"{count} host" if count == 1 else f"{count} hosts"


def of(name: str) -> type:
    """The personality of that name; the caller has checked the name."""
    if name == "openlava":
        from .openlava import Openlava

        return Openlava
    if name == "volclava":
        from .volclava import Volclava

        return Volclava
    return Lsf10
