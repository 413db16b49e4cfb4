# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``slipway`` on a login node: a session for whoever has no Ansible at home, by the same code.

    slipway start     start the session's job, or find it again; prints the ssh line for your own machine
    slipway status    how it is (--json for programs)
    slipway stop      end the job, by its id, and forget the session

What it submits is in settings.json, beside its code; playbooks/onboard.yml wrote both. Ctrl-C ends the waiting, never the job.
"""

import argparse
import json
import sys
import time

from ..told_error import ToldError
from .address import fingerprint
from .job import SessionJob, as_seen

#: Seconds that one look for the job's start takes, after which a line tells how it is.
LOOK = 15


def address(settings, seen):
    """What to type and open on one's own machine."""
    said = seen["connection"]
    to = "{ssh_user}@{ssh_host}".format(**settings)
    port = f"-p {settings['ssh_port']} " if settings["ssh_port"] else ""
    if said.get("mode", "login") != "login":
        return f"Its server is for its node alone (mode {said['mode']}): playbooks/session.yml opens the tunnel."
    lines = (
        "On your own machine:\n"
        f"  ssh -N {port}-L localhost:{settings['local_port']}:{said['node']}:{said['port']} {to}\n"
        f"Then open {said.get('scheme', 'http')}://localhost:{settings['local_port']}\n"
        f"Password: the one you chose, or in {settings['password_file']} here, readable by you alone."
    )
    if said.get("certificate"):
        lines += f"\nYour browser asks about its certificate: trust it if its SHA-256 fingerprint is\n  {fingerprint(said['certificate'])}"
    return lines


def described(seen):
    """The job in one line."""
    job = seen["job"]
    if not job:
        return "There is no job of this session."
    left = seen["minutes_left"]
    parts = [f"Job {job['id']} {job['stat']}", f"queue {job['queue']}", job["host"], job["pend_reason"]]
    parts.append(f"{left // 60} h {left % 60:02d} min left" if left is not None else "")
    # An interactive job hangs on its bsub, wherever the login node's name leads to next time.
    parts.append(f"held on {seen['login_host']}" if seen["kind"] == "interactive" else "")
    parts += [f"while job {other['id']} ({other['name']}) is {other['stat']} there" for other in seen["others"]]
    return ", ".join(part for part in parts if part)


def start(session, settings, options):
    with session.record.locked():
        job, adopted = session.adopt_or_submit(settings["submission"])
    print("The session's job is there already." if adopted else f"Job {job.id} was submitted.", flush=True)
    deadline = time.monotonic() + options.wait
    while True:
        job = session.wait_until_ready(job, min(LOOK, options.wait))
        seen = as_seen(session, job)
        if session.ready or seen["verdict"]["rung"] != "wait" or time.monotonic() > deadline:
            break
        print(described(seen), flush=True)
    print(described(seen))
    print(address(settings, seen) if session.ready else seen["verdict"]["words"])
    return 0 if session.ready else 1


def status(session, settings, options):
    job = session.find()
    session.look(job)
    seen = as_seen(session, job)
    if options.json:
        print(json.dumps(seen, indent=2))
    else:
        print(described(seen))
        print(seen["verdict"]["words"])
        if session.ready:
            print(address(settings, seen))
    return 0 if session.ready else 1


def stop(session, _settings, _options):
    if not session.record.data and session.find() is None:
        print("There is no session to stop.")
        return 0
    with session.record.locked():
        ended = session.end()
        session.record.forget()
    print(f"Job {' and '.join(ended)} ended." if ended else "Its job was over; the session is forgotten.")
    return 0


def main(settings_path):
    parser = argparse.ArgumentParser(
        prog="slipway", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", help="start the session's job, or find it again")
    starting.add_argument("--wait", type=int, default=900, metavar="SECONDS", help="default: %(default)s")
    commands.add_parser("status", help="how it is").add_argument("--json", action="store_true")
    commands.add_parser("stop", help="end it")
    options = parser.parse_args()
    settings = {"folder": settings_path}
    try:
        with open(settings_path) as stream:
            settings = json.load(stream)
        session = SessionJob(settings["folder"], settings["name"], settings["profile"])
        code = {"start": start, "status": status, "stop": stop}[options.command](session, settings, options)
    except ToldError as error:
        sys.exit(f"slipway: {error}")
    except OSError as error:
        sys.exit(
            f"slipway: {error.filename or settings['folder']}: {error.strerror}\nRemedy: see that it is yours, and has space"
        )
    except KeyboardInterrupt:
        sys.exit("\nslipway: the job, if there is one, stays; run the same command again to go on.")
    sys.exit(code)
