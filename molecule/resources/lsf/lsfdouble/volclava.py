# SPDX-License-Identifier: GPL-3.0-or-later
"""volclava 2.2, as recorded: -o and -json with few fields and no widths, no -noheader, exit code 254, -l unfolded."""

from .words import Lsf10


class Volclava(Lsf10):
    VERSION = "volclava project 2.2, Nov 23 2026"
    VERSION_ON_STDOUT = True
    OPTIONS = Lsf10.OPTIONS | {
        "bjobs": ("w l UF json a d p r s", "o q u J m"),
        "bhist": ("l a w", "J u q"),
    }
    USAGE = Lsf10.USAGE | {
        "bsub": """Usage: bsub [-h] [-V] [-x] [-H] [-r] [-N] [-B] [-I | -K | -Ip | -Is]
\t\t[-L login_shell] [-c cpu_limit[/host_spec]] [-F file_limit]
\t\t[-W run_limit[/host_spec]] [-k chkpnt_dir [chkpnt_period] [method=chkpnt_dir]]
\t\t[-P project_name] 
\t\t[-q queue_name ...]  [-R res_req]
\t\t[-m "host_name[+[pref_level]] | host_group[+[pref_level]]...]"
\t\t[-n min_processors[,max_processors]] [-J job_name] [-Jd job_desc]
\t\t[-b begin_time] [-t term_time] [-u mail_user]
\t\t[-i in_file | -is in_file] [-o out_file] [-e err_file]
\t\t[-M mem_limit]  [-D data_limit]  [-S stack_limit]
\t\t[[-f "lfile op [rfile]"] ...] [-w depend_cond]
\t\t[-E "pre_exec_command [argument ...]"] [-Zs]
\t\t[-Ep "post_exec_command [argument ...]"
\t\t[-sp job_priority]
\t\t[-pack job_submission_file]
\t\t[-a additional_esub_information]
\t\tcommand [argument ...]""",  # noqa: W291 (blanks at a line's end are the original's)
        "bjobs": """Usage: bjobs [-h] [-V] [-w |-l |-UF] [-a] [-d] [-p] [-s] [-r] [-o] [-json] [-A]
             [-m host_name] [-q queue_name] [-u user_name | -u all]
             [-P project_name] [-N host_spec]
             [-J name_spec] [jobId | "jobId[idxList]" ...]""",
        "bkill": """Usage: bkill [-h] [-V] [-l] [-m host_name] [-q queue_name]
               [-u user_name | -u all] [0] [-r | -s sigval] [-J job_name] 
               [jobId | "jobId[index_list]"]...""",  # noqa: W291 (blanks at a line's end are the original's)
        "bqueues": """Usage: bqueues [-h] [-V] [-w | -l | -r] [-m host_name | -m cluster_name]
 [-u user_name] [queue_name ...]""",
    }
    UNKNOWN_OPTION = "{command}: invalid option -- '{letter}'"
    NO_JOB_GIVEN = "Job ID or one of '-m', '-u' '-q' and '-J' must be specified.\n"
    PENDING = Lsf10.PENDING | {
        "user_limit": "User has reached the per-user job slot limit of the queue: {0};",
        "queue_inactive": "The queue is inactivated by the administrator: {0};",
        "held": "The job was suspended by the user while pending: {0};",
    }
    NONE_FOUND_CODE = 254
    ONE_NOT_FOUND_CODE = NONE_FOUND_JSON_CODE = 255
    KILLED_OUT_OF_REACH = KILLED_UNKNOWN = "EXIT"
    FIELDS = (
        "jobid", "user", "stat", "queue", "from_host", "exec_host", "job_name", "submit_time", "proj_name", "cpu_used", "pids",
        "start_time", "finish_time",
    )  # fmt: skip
    PLAIN_LAYOUT = True

    FOLDED = False
    STARTED = ("Started on {each}", "Started on {slots} Hosts/Processors {each}")
    DISPATCHED = ("Dispatched to {each}", "Dispatched to {slots} Hosts/Processors {each}")
    QUEUE_RUNLIMIT_IN_LONG = False
    TASKS = ", {slots} Processors Requested"
    TERMINATIONS_IN_LONG = False
    EXIT_SIGNALS = (137,)
    USAGE_COLLECTED = ("MEM: 5 Mbytes;  SWAP: 10 Mbytes;", ())

    QUEUE_LONG_HEAD = "PRIO NICE STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN SSUSP USUSP  RSV "
    QUEUE_LONG_ROW = (
        "{priority:3d}   10  {status:15s} {max:>4s} {jlu:>4s} {jlp:>4s} {jlh:>4s} {total:5d} {pend:5d} {run:5d} "
        "{ssusp:5d} {ususp:5d}    0"
    )
    QUEUE_MORE = ("Schedule delay for a new job is 0 seconds", "Interval for a host to accept two jobs is 0 seconds")
    QUEUE_LIMIT_TITLES = False
    ALL_USERS = " all"
    HOST_AWAY = "unreach"
    REPORT_SIGNAL = True
