# SPDX-License-Identifier: GPL-3.0-or-later
"""A scheduler in a job of its own, on another node than the Jupyter server: the link that its user sees, through the tunnel."""

import json
import re
import time

import pytest
import requests
from jupyter_browser import logged_in

pytest_plugins = ["native_site"]

NODE = "t002"  # the session is on t037
PYTHON = "/home/ada/local/miniconda3/envs/myenv/bin/python"
SCHEDULER = (
    f"{PYTHON} -m distributed.cli.dask_scheduler --port 0 --dashboard-address :0 --scheduler-file $HOME/scheduler.json"
)
LOOK = """
import json, os
from dask.distributed import Client
client = Client({address!r})
print(json.dumps({{"link": client.dashboard_link, "id": client.scheduler_info()["id"], "here": os.uname().nodename}}))
client.close()
"""


def listening(told):
    """The scheduler's address; none in a file that is not there or half written."""
    try:
        return json.loads(told)["address"]
    except ValueError:
        return ""


@pytest.fixture(params=["--interface ib0", ""], ids=["ib0", "by name"])
def address(request, site, login, no_jobs):
    """Where a client finds it: at its address on ib0, or, where it listens everywhere, at its node's name."""
    login("rm -f scheduler.json")
    said = login(f"bsub -q normal -m {NODE} -W 0:30 -o scheduler.log {SCHEDULER} {request.param} 2>&1")
    job = re.search(r"Job <(\d+)>", said)[1]
    try:
        deadline = time.monotonic() + 300
        while not (found := listening(login("cat scheduler.json 2> /dev/null || true"))):
            assert time.monotonic() < deadline, login(f"bjobs -l {job}; tail scheduler.log || true")
            time.sleep(1)
        yield found if request.param else f"tcp://{NODE}:{found.rsplit(':', 1)[1]}"
    finally:
        login(f"bkill {job}")
        no_jobs()


def test_the_link_of_a_scheduler_on_another_node_opens_its_dashboard_for_its_user_alone(lab, host, home, address):
    with lab.kernel() as run:
        seen = json.loads(run(LOOK.format(address=address)).splitlines()[-1])
    assert not seen["here"].startswith(NODE)
    where = re.escape(address.removeprefix("tcp://").rsplit(":", 1)[0])
    assert re.fullmatch(rf"/proxy/{where}:\d+/status", seen["link"])

    status, identity = lab.url + seen["link"], lab.url + seen["link"].replace("/status", "/json/identity.json")
    person = logged_in(lab.url, host.check_output(f"cat {home}/.config/slipway/jupyter-password").strip())
    page = person.get(status, timeout=60)
    assert page.status_code == 200
    assert "<title>Dask Diagnostic UI</title>" in page.text
    assert person.get(identity, timeout=60).json()["id"] == seen["id"]
    for page in (status, identity):
        refused = requests.get(page, timeout=60)
        assert refused.url.startswith(f"{lab.url}/login")
        assert seen["id"] not in refused.text
