# SPDX-License-Identifier: GPL-3.0-or-later
"""What a session's checks have a kernel compute, and how it is asked over its websocket."""

import json
import re
import time
import uuid

import websocket

from . import SessionError

LOCAL_CLUSTER = """
import json
from dask.distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, memory_limit="1GiB")
client = Client(cluster)
print(json.dumps({"scheduler": cluster.scheduler.id, "link": cluster.dashboard_link, "sum": client.submit(sum, range(10)).result()}))
"""

LSF_CLUSTER = """
import glob, ipaddress, json, os, re, socket
from asyncio import TimeoutError
import dask, psutil
from dask.distributed import Client
from dask_jobqueue import LSFCluster
cluster = LSFCluster()
client = Client(cluster)
cluster.scale(jobs=1)
try:
    client.wait_for_workers(1, timeout=%(patience)d)
except TimeoutError:
    # A worker that ended says why in its job's log, first of all and in other words than the errors that follow from it.
    job = next(iter(cluster.workers.values())).job_id
    for log in glob.glob(os.path.join(glob.escape(dask.config.get("jobqueue.lsf.log-directory") or ""), f"*-{job}.err")):
        reasons = re.findall(r"(?m)^\\w+Error: .*", open(log).read())
        if reasons:
            raise RuntimeError(f"job {job} brought no worker: {reasons[0]} ({log})")
    raise
def where(dask_worker):
    return {"address": dask_worker.address, "host": socket.gethostname(), "job": os.environ["LSB_JOBID"]}
worker = next(iter(client.run(where).values()))
interface = dask.config.get("jobqueue.lsf.interface")
subnet = None
if interface:
    own = next(a for a in psutil.net_if_addrs()[interface] if a.family == socket.AF_INET)
    subnet = str(ipaddress.ip_network(f"{own.address}/{own.netmask}", strict=False))
print(json.dumps({"worker": worker, "here": socket.gethostname(), "scheduler": cluster.scheduler.address, "interface": interface,
                  "subnet": subnet, "sum": client.submit(sum, range(10)).result(), "script": cluster.job_script()}))
"""

CLOSE_CLUSTER = """
for _name in ("client", "cluster"):
    if _name in globals():
        globals()[_name].close()
"""
#: Seconds for that: a worker's job is taken back from LSF.
CLOSE_PATIENCE = 30


def execute(socket, code, patience):
    """Runs code in the kernel; returns what it printed. Raises SessionError with the kernel's traceback."""
    message_id = uuid.uuid4().hex
    header = {
        "msg_id": message_id,
        "msg_type": "execute_request",
        "username": "slipway",
        "session": message_id,
        "date": "",
        "version": "5.3",
    }
    content = {
        "code": code,
        "silent": False,
        "store_history": False,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    socket.send(
        json.dumps(
            {
                "header": header,
                "parent_header": {},
                "metadata": {},
                "content": content,
                "channel": "shell",
                "buffers": [],
            }
        )
    )
    printed, deadline = [], time.monotonic() + patience
    while time.monotonic() < deadline:
        socket.settimeout(max(1, deadline - time.monotonic()))
        try:
            message = json.loads(socket.recv())
        except websocket.WebSocketTimeoutException:
            break
        if message["parent_header"].get("msg_id") != message_id:
            continue
        kind, said = message["header"]["msg_type"], message["content"]
        if kind == "stream" and said["name"] == "stdout":
            printed.append(said["text"])
        elif kind == "error":
            traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(said["traceback"]))
            raise SessionError(f"the kernel met {said['ename']}: {said['evalue'][:300]}", traceback[-1200:])
        elif kind == "status" and said["execution_state"] == "idle":
            return "".join(printed)
    raise SessionError(
        f"the kernel did not finish within {patience} s.",
        "".join(printed)[-300:],
        "LSF may have no free slots: look with bjobs",
    )
