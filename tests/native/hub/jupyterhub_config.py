"""A hub beside the cluster, as a site has it: single-user servers are LSF's jobs, started by ssh on the login node.

Out of the environment: HUB (JSON) with the addresses to listen on, and what leads to the cluster.
"""

import json
import os
import shlex

import batchspawner
from traitlets import default

HUB = json.loads(os.environ["HUB"])
BIN = f"/home/{HUB['user']}/local/miniconda3/envs/myenv/bin"


class Spawner(batchspawner.LsfSpawner):
    """Through ssh no variables pass: the server's travel in the script, which goes to bsub's standard input."""

    @default("req_homedir")
    def _home(self):
        return f"/home/{self.user.name}"  # this machine does not know the account

    def get_req_subvars(self):
        exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in self.get_env().items())
        return {**super().get_req_subvars(), "prologue": exports}

    def state_gethost(self):
        return HUB["nodes"][super().state_gethost()]  # nor the nodes' names


def remote(command):
    return f"bash -lc {shlex.quote(shlex.quote(command))}"


c = get_config()  # noqa: F821
c.JupyterHub.bind_url = HUB["url"]
c.JupyterHub.hub_bind_url = HUB["hub_url"]  # which the nodes reach
c.ConfigurableHTTPProxy.api_url = HUB["proxy_url"]
c.ConfigurableHTTPProxy.command = [HUB["proxy"]]
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = HUB["password"]
c.Authenticator.allowed_users = {HUB["user"]}
c.JupyterHub.allow_named_servers = True
c.JupyterHub.services = [{"name": "test", "api_token": HUB["token"]}]
c.JupyterHub.load_roles = [{"name": "test", "services": ["test"], "scopes": ["admin:servers", "access:servers"]}]

c.JupyterHub.spawner_class = Spawner
c.Spawner.env_keep = []
c.Spawner.cmd = [f"{BIN}/jupyterhub-singleuser"]
c.Spawner.http_timeout = c.Spawner.start_timeout = 300
c.BatchSpawnerBase.batchspawner_singleuser_cmd = f"{BIN}/batchspawner-singleuser"
c.BatchSpawnerBase.exec_prefix = f"ssh -F {shlex.quote(HUB['ssh_config'])} {HUB['user']}@login"
c.BatchSpawnerBase.req_queue = "normal"
c.LsfSpawner.batch_submit_cmd = remote("bsub")
c.LsfSpawner.batch_query_cmd = remote("bjobs -a -noheader -o \"stat exec_host delimiter=' '\" {job_id}")
c.LsfSpawner.batch_cancel_cmd = remote("bkill {job_id}")
