# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a session, through its tunnel, what a browser would ask.

Every check is a method of :class:`Lab` that returns one sentence of evidence and raises :class:`SessionError` with a
remedy. The quick ones need the server alone; the full ones start a kernel and compute in it.
"""

import json
import re
import time
from contextlib import contextmanager, suppress
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import requests
import websocket
from requests.adapters import HTTPAdapter

from . import SessionError
from .address import ask, trusting
from .kernel import CLOSE_CLUSTER, CLOSE_PATIENCE, LOCAL_CLUSTER, LSF_CLUSTER, execute

#: Seconds for one request, and for a page that a busy or emulated node has to build.
REQUEST_TIMEOUT = 10
SLOW_REQUEST_TIMEOUT = 60
#: Seconds between two looks at a server that is about to answer.
LOOK = 0.2
#: Seconds that a dashboard's first page may take in all; one of an emulated node needs 15.
DASHBOARD_PATIENCE = 120
#: A port that no server listens on: asking the proxy for it tells a proxy that failed from one that is not there.
UNUSED_PORT = 9
#: Where Dask's dashboards are: the first scheduler's of a node, and those of the next ones.
DASHBOARD_PORTS = range(8787, 8791)


class StrangerError(SessionError):
    """Who answers can't show the session's certificate. It was told nothing, and asking again is of no use."""


class _Trusting(HTTPAdapter):
    """Speaks https by one context, which trusts one certificate."""

    def __init__(self, context):
        self.context = context
        super().__init__()

    def init_poolmanager(self, *arguments, **options):
        super().init_poolmanager(*arguments, ssl_context=self.context, **options)


class Lab:
    """A JupyterLab server at ``url``, asked with the session's token.

    Args:
        url: the address on this machine, such as ``http://localhost:8890``.
        token: the session's token; travels in a header only.
        patience: seconds that one computation may take.
        certificate: the file with the server's certificate, where it speaks https.
    """

    def __init__(self, url, token, patience=300, certificate=None):
        self.url = url.rstrip("/")
        self.patience = patience
        self.certificate = certificate if url.startswith("https:") else None
        self.http = self._client()
        self.http.headers["Authorization"] = f"token {token}"

    def _client(self):
        client = requests.Session()
        # Proxies of the user's environment must not see what goes to this machine.
        client.trust_env = False
        if self.certificate:
            client.mount("https://", _Trusting(trusting(self.trusted)))
            # Else requests adds the authorities that it brings.
            client.verify = str(self.certificate)
        return client

    @property
    def trusted(self):
        """The server's certificate, a PEM text.

        Raises:
            SessionError: its file is gone.
        """
        try:
            return self.certificate.read_text()
        except FileNotFoundError as error:
            raise SessionError(
                f"{self.certificate}, by which the server is known, is gone.",
                remedy="run playbooks/session.yml: it asks the job for it",
            ) from error

    def _get(self, path, timeout=REQUEST_TIMEOUT):
        return self._ask("GET", path, timeout=timeout)

    def _ask(self, method, path, **options):
        try:
            return self.http.request(method, self.url + path, **options)
        except OSError as error:  # requests' own are, and that of a certificate that is gone
            self._require_its_certificate(error)
            raise SessionError(
                f"{self.url}{path} does not answer.",
                str(error),
                "the tunnel or the server is frozen or gone: run playbooks/session.yml again",
            ) from error

    def _require_its_certificate(self, error):
        """Tells a server that is not the session's from one that does not answer.

        Raises:
            StrangerError: who answers there shows another certificate; with the words of ``error``.
        """
        if not self.certificate:
            return
        end = urlsplit(self.url)
        if ask(end.hostname, end.port, self.trusted, REQUEST_TIMEOUT, REQUEST_TIMEOUT) == "stranger":
            raise StrangerError(
                f"who answers at {self.url} does not show this session's certificate: it is not its server, and was told nothing.",
                str(error),
                "run playbooks/stop.yml, then playbooks/session.yml; a certificate of your own has to be for localhost",
            ) from error

    def _proxied(self, path):
        """A page behind jupyter-server-proxy, which gives up (500, 599) on a scheduler that is busy for 20 s: asked again."""
        deadline = time.monotonic() + DASHBOARD_PATIENCE
        while True:
            page = self._get(path, SLOW_REQUEST_TIMEOUT)
            if page.status_code == 200:
                return page
            if page.status_code < 500 or time.monotonic() >= deadline:
                raise SessionError(
                    f"the dashboard {self.url}{path} answers {page.status_code}.",
                    page.text[:200],
                    "run playbooks/onboard.yml",
                )
            time.sleep(1)

    def api(self):
        """The server answers: ``/api`` tells its version to anyone."""
        answer = self._get("/api")
        try:
            return f"Jupyter server {answer.json()['version']} answers"
        except (ValueError, KeyError) as error:
            raise SessionError(
                f"{self.url}/api answered {answer.status_code}, but not as a Jupyter server does.", answer.text[:200]
            ) from error

    def login(self):
        """The server is ours (it takes the session's token) and asks strangers for a password."""
        own = self._get("/api/status")
        if own.status_code != 200:
            raise SessionError(
                f"the server at {self.url} refuses this session's token ({own.status_code}): it is not this session's.",
                remedy="run playbooks/stop.yml, then playbooks/session.yml",
            )
        with self._stranger() as stranger:
            closed = stranger.get(f"{self.url}/api/status", timeout=REQUEST_TIMEOUT).status_code
            page = stranger.get(f"{self.url}/login", timeout=REQUEST_TIMEOUT).text
        if closed == 200:
            raise SessionError("the server lets anybody in.", remedy="run playbooks/onboard.yml: it sets the password")
        if 'name="password"' not in page:
            raise SessionError(
                f"{self.url}/login shows no field for a password.",
                page[:200],
                "run playbooks/onboard.yml: it sets the password",
            )
        return "it knows this session and asks others for the password"

    def activity(self):
        """What runs in the server: ``{"kernels": [{name, state, notebook, idle}], "dashboards": [url]}``.

        Dashboards are those of schedulers on the ports that Dask takes first, and of the lab's own list.
        """
        notebooks = {
            entry["kernel"]["id"]: entry["path"] for entry in self._json("/api/sessions") if entry.get("kernel")
        }
        kernels = [
            {
                "name": kernel["name"],
                "state": kernel["execution_state"],
                "notebook": notebooks.get(kernel["id"], ""),
                "last_activity": kernel["last_activity"],
            }
            for kernel in self._json("/api/kernels")
        ]
        dashboards = []
        for port in DASHBOARD_PORTS:
            try:
                found = self._get(f"/proxy/{port}/json/identity.json")
            except SessionError:
                continue
            if found.status_code == 200 and '"id"' in found.text:
                dashboards.append(f"{self.url}/proxy/{port}/status")
        return {"kernels": kernels, "dashboards": dashboards}

    def _json(self, path):
        answer = self._get(path)
        try:
            answer.raise_for_status()
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise SessionError(f"{self.url}{path} answered {answer.status_code}.", answer.text[:200]) from error

    def dashboard_route(self):
        """jupyter-server-proxy is there: a port nobody listens on is its error, and not an unknown page."""
        status = self._get(f"/proxy/{UNUSED_PORT}/status", SLOW_REQUEST_TIMEOUT).status_code
        if status in (403, 404):
            raise SessionError(
                f"{self.url}/proxy/PORT answers {status}: jupyter-server-proxy is not at work.",
                remedy="run playbooks/onboard.yml",
            )
        return "/proxy/PORT reaches the node's ports"

    def password(self, password):
        """A person gets in: the login form takes the password, and the lab's page opens."""
        with self._stranger() as person:
            form = person.get(f"{self.url}/login?next=%2Flab", timeout=SLOW_REQUEST_TIMEOUT).text
            field = re.search(r'name="_xsrf" value="([^"]+)"', form)
            person.post(
                f"{self.url}/login?next=%2Flab",
                data={"password": password, "_xsrf": field[1] if field else ""},
                timeout=SLOW_REQUEST_TIMEOUT,
                allow_redirects=False,
            )
            page = person.get(f"{self.url}/lab", timeout=SLOW_REQUEST_TIMEOUT)
        if page.status_code != 200 or "jupyter-config-data" not in page.text:
            raise SessionError(
                "JupyterLab's page does not open with the password.",
                f"{page.url} answered {page.status_code}",
                "run playbooks/onboard.yml",
            )
        return "the password opens JupyterLab"

    @contextmanager
    def _stranger(self):
        """A client without the token."""
        with self._client() as client:
            try:
                yield client
            except OSError as error:
                raise SessionError(
                    f"{self.url} stopped answering.", str(error), "run playbooks/session.yml again"
                ) from error

    def local_cluster(self):
        """A kernel starts a LocalCluster, and its dashboard shows through the proxy, this very scheduler's and no other."""
        with self.kernel() as run:
            cluster = self._printed(run(LOCAL_CLUSTER))
            if not cluster["link"].startswith("/"):
                raise SessionError(
                    f"Dask's dashboard link is {cluster['link']}, which no browser reaches through the tunnel.",
                    remedy="run playbooks/onboard.yml: it sets dask_dashboard_link",
                )
            dashboard = self.url + cluster["link"]
            page = self._proxied(cluster["link"])
            if "bokeh" not in page.text.lower():
                raise SessionError(f"{dashboard} shows no dashboard.", page.text[:200], "run playbooks/onboard.yml")
            identity = self._printed(self._proxied(cluster["link"].rsplit("/", 1)[0] + "/json/identity.json").text)
            if identity["id"] != cluster["scheduler"]:
                raise SessionError(
                    f"the dashboard {dashboard} is another scheduler's.", remedy="stop that one, or restart the kernel"
                )
        return f"a LocalCluster computes, its dashboard is {dashboard}"

    def lsf_cluster(self):
        """An LSFCluster out of the written jobqueue.yaml gets a worker on another node, over the asked interface, and computes."""
        with self.kernel() as run:
            # Less than the kernel has for all of it, so that what it says in the end is still heard.
            seen = self._printed(run(LSF_CLUSTER % {"patience": self.patience * 3 // 4}))
        worker = seen["worker"]
        if seen["subnet"]:
            for address in (worker["address"], seen["scheduler"]):
                if ip_address(address.split("//")[1].rsplit(":", 1)[0]) not in ip_network(seen["subnet"]):
                    raise SessionError(
                        f"{address} is not in {seen['interface']}'s subnet {seen['subnet']}.",
                        remedy="check dask_interface in the inventory's dask.yml",
                    )
        if worker["host"] == seen["here"]:
            raise SessionError(
                f"the worker of job {worker['job']} came up on the session's own node {seen['here']}.",
                remedy="check dask_queue in the inventory's dask.yml",
            )
        return f"an LSFCluster computes: job {worker['job']} on {worker['host']}, {worker['address']}, scheduler {seen['scheduler']}"

    @staticmethod
    def _printed(text):
        """The JSON object in what a kernel or a scheduler said; packages may print lines of their own before it."""
        try:
            return json.loads(text.strip().splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise SessionError(
                "the answer is not what was asked for.", text[-300:], "look into the server's log"
            ) from error

    @contextmanager
    def kernel(self):
        """A kernel of our own; yields ``run(code) -> stdout``; ends it in any case."""
        started = self._ask("POST", "/api/kernels", json={"name": "python3"}, timeout=SLOW_REQUEST_TIMEOUT)
        if started.status_code != 201:
            raise SessionError(
                f"no kernel starts ({started.status_code}).", started.text[:300], "look into the server's log"
            )
        kernel = started.json()["id"]
        address = f"ws{self.url[4:]}/api/kernels/{kernel}/channels"
        try:
            # A kernel stays "starting" until a websocket is there, so it is asked at once.
            socket = websocket.create_connection(
                address,
                timeout=self.patience,
                header={"Authorization": self.http.headers["Authorization"]},
                http_no_proxy=["*"],
                sslopt={"context": trusting(self.trusted)} if self.certificate else None,
            )
            try:
                yield lambda code: execute(socket, code, self.patience)
            finally:
                self._close_clusters(kernel, socket)
        except (websocket.WebSocketException, OSError) as error:
            raise SessionError(
                "the kernel's connection broke.",
                str(error),
                "the tunnel may be frozen: run playbooks/session.yml again",
            ) from error
        finally:
            # Whatever went wrong before is what has to be told.
            with suppress(SessionError):
                self._ask("DELETE", f"/api/kernels/{kernel}", timeout=SLOW_REQUEST_TIMEOUT)

    def _close_clusters(self, kernel, socket):
        """Takes back what a check has started, also after one that failed or hangs."""
        try:
            self._ask("POST", f"/api/kernels/{kernel}/interrupt", timeout=REQUEST_TIMEOUT)
            execute(socket, CLOSE_CLUSTER, CLOSE_PATIENCE)
        except (SessionError, websocket.WebSocketException, OSError):
            # The kernel goes next, and workers without a scheduler end themselves after their death-timeout.
            pass
        finally:
            socket.close()


def wait_for_api(lab, seconds):
    """Asks ``/api`` until it answers: a server needs a while after its job has started.

    Raises:
        SessionError: it did not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return lab.api()
        except StrangerError:
            raise
        except SessionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(LOOK)
