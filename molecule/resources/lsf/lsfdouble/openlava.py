# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenLava 3.3.3, as recorded: no -o and no -json, nothing found is a failure, and -l is folded."""

from .words import Lsf10

ONE, MANY = "Started on {each}", "Started on {slots} Hosts/Processors {each}"


class Openlava(Lsf10):
    VERSION = "OpenLava 3.3.3, Nov 23 2026"
    NAME = "OpenLava"
    OPTIONS = Lsf10.OPTIONS | {
        "bjobs": ("w l UF noheader a d p r s", "q u J m"),
        "bhist": ("l a w", "J u q"),
    }
    USAGE = Lsf10.USAGE | {
        "bsub": """Usage: bsub [-h] [-V] [-B] [-H] [-I | -Ip | -Is | -K] [-N] [-r] [-x]
\t    [-a esub_parameters] [-b [[month:]day:]hour:minute] [-C core_limit]
\t    [-c [hour:]minute[/host_name | /host_model] | -cn]
\t    [-D data_limit] [-e err_file]
\t    [-E "pre_exec_command [argument ...]"]
\t    [-f "local_file op [remote_file]" ...]
\t    [-F file_limit] [-G user_group] [-g job_group]
\t    [-i input_file | -is input_file]
\t    [-J job_name | -J "job_name[index_list]%job_limit"
\t    [-k "checkpoint_dir [checkpoint_period] [method=method_name]"
\t    [-L login_shell
\t    [-m "host_name[+[pref_level]] | host_group[+[pref_level]] ..."]
\t    [-M mem_limit] [-n min_processors[,max_processors]]
\t    [-o out_file] [-P project_name]
\t    [-p process_limit] [-q "queue_name ..."]
\t    [-R "res_req"] [-sp priority]
\t    [-S stack_limit] [-t [[month:]day:]hour:minut]
\t    [-u mail_user] [-w \u2019dependency_expression\u2019]
\t    [-W [hours:]minutes[/host_name | /host_model]]
\t    [-Zs]""",
        "bjobs": """Usage: bjobs [-h] [-V] [-w |-l] [-a] [-d] [-p] [-s] [-r] [-g job_group]
             [-A] [-m host_name] [-q queue_name] [-u user_name | -u all]
             [-P project_name] [-N host_spec] [-J name_spec] [-UF] [-noheader]
             [jobId | "jobId[idxList]" ...]""",
        "bkill": """Usage: bkill [-h] [-V] [-l] [-m host_name] [-q queue_name] [-g job_group]
               [-u user_name | -u all] [0] [-r | -s sigval] [-J job_name] 
               [jobId | "jobId[index_list]"]...""",  # noqa: W291 (blanks at a line's end are the original's)
        "bqueues": """: bqueues [-h] [-V] [-w | -l] [-m host_name | -m cluster_name]
 [-u user_name] [queue_name ...]""",
    }
    UNKNOWN_OPTION = "{command}: invalid option -- '{letter}'"
    NO_JOB_GIVEN = "Job ID or one of '-m', '-u' '-q' -'g' and '-J' must be specified"
    REFUSED = Lsf10.REFUSED | {"slots_argument": Lsf10.REFUSED["slots_positive"]}
    OPTION_ERROR_WITH_USAGE = False
    PENDING = Lsf10.PENDING | {
        "user_limit": "User has reached the per-user job slot limit of the queue: {0};",
        "queue_inactive": "The queue is inactivated by the administrator: {0};",
        "held": "The job was suspended by the user while pending: {0};",
    }
    NONE_FOUND_CODE = ONE_NOT_FOUND_CODE = 255
    KILLED_UNKNOWN = "EXIT"
    LIM_AWAY = "OpenLava daemon (LIM) not responding ... still trying"

    JOB = "Job Id"
    ON_HOLD = "on hold"
    STARTED = STARTED_UNFOLDED = (ONE, MANY)
    DISPATCHED = ("Dispatched to {each}", "Dispatched to {slots} Hosts/Processors {each}")
    TO_QUEUE = " to Queue <{0}>"
    RUNLIMIT = " {minutes:.1f} min of {host}"
    QUEUE_RUNLIMIT_IN_LONG = False
    MEMLIMIT = " {memlimit:>6} K"
    TASKS = ", {slots} Processors Requested"
    TERMINATIONS_IN_LONG = MEMORY_IN_LONG = RESOURCES_IN_LONG = False
    EXIT_SIGNALS = (137,)
    USAGE_COLLECTED = ("MEM: 4 Mbytes;  SWAP: 10 Mbytes;", ("",))
    DEFAULT_RESOURCES = ""

    QUEUE_HEAD = "QUEUE_NAME     PRIO      STATUS      MAX  JL/U JL/P JL/H NJOBS  PEND  RUN  SUSP"
    QUEUE_ROW = "{name:15.15s} {priority:2d}{status:^19s}  {max}    {jlu}    {jlp}    {jlh} {total:5d} {pend:5d} {run:5d} {susp:5d} "
    QUEUE_LONG_HEAD = "PRIO NICE     STATUS       MAX JL/U JL/P JL/H NJOBS  PEND  RUN  SSUSP USUSP  RSV"
    QUEUE_LONG_ROW = (
        "{priority:4d}  10 {status:^18s} {max}     {jlu}   {jlp}    {jlh} {total:5d} {pend:5d} {run:5d} {ssusp:5d} "
        "{ususp:5d}    0"
    )
    QUEUE_INACTIVE = "Inactive"
    QUEUE_MORE = (
        "",
        "Schedule delay for a new job is 0 seconds",
        "Interval for a host to accept two jobs is 0 seconds",
    )
    QUEUE_LIMIT_TITLES = False
    ALL_USERS = " all users"
    HOST_AWAY = "unreach"
    REPORT_SIGNAL = True
