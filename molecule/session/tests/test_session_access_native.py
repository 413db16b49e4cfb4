"""The way into the login node: its keys, a second factor that it really asks for; and what a second account on the same nodes gets at.

Later tests go on from where earlier ones ended.
"""

import os
import signal
import subprocess
from urllib.parse import urlencode

import pexpect
import pytest
from minitriton_fixtures import PROJECT
from test_session import CONDA, TUNNEL, URL, api, seconds_until_healthy
from test_session_native import eventually, supervisor, tunnel

#: Seconds within which a session is well again once it can be; this machine may be busy.
SOON = 120
PASSWORD = "a second factor"
LOGIN = [str(PROJECT / "scripts/login"), "minitriton"]


@pytest.fixture(scope="module", autouse=True)
def ended(playbook):
    """Nothing of these tests outlives them."""
    playbook("playbooks/stop.yml", *CONDA)
    yield
    playbook("playbooks/stop.yml", *CONDA)


@pytest.fixture
def sshd(minitriton):
    """Gives the login node's sshd further lines of configuration; it has none of them after the test."""
    file = "/etc/ssh/sshd_config.d/test.conf"

    def configure(lines):
        # It keeps its process, and the connections that there are.
        script = f'printf %s "$1" > {file}; kill -HUP "$(cat /run/sshd.pid)"; sleep 1'
        minitriton("exec", "login", "sh", "-ec", script, "sh", lines)

    yield configure
    configure("")


@pytest.fixture
def second_factor(sshd, minitriton, user):
    """The account's password is asked for beside its key, by PAM."""
    shadow = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout.strip()
    change = 'sed -i "s|^$1:[^:]*:|$1:$2:|" /var/lib/extrausers/shadow'
    minitriton("exec", "login", "sh", "-ec", change, "sh", user, shadow)
    sshd(
        f"Match User {user}\n KbdInteractiveAuthentication yes\n AuthenticationMethods publickey,keyboard-interactive\nMatch all\n"
    )
    yield
    minitriton("exec", "login", "sh", "-ec", change, "sh", user, "*")


def hang_up():
    """Ends the connection that Ansible would ride on, and the tunnel."""
    subprocess.run([*LOGIN, "--end"], timeout=180, check=True, stdout=subprocess.DEVNULL)


def log_in(*answers):
    """scripts/login at a terminal, where a person answers; returns its exit code and its words."""
    terminal = pexpect.spawn(LOGIN[0], LOGIN[1:], encoding="utf-8", timeout=180, cwd=str(PROJECT))
    said = ""
    for answer in answers:
        terminal.expect("assword: ?$")
        said += terminal.before
        terminal.sendline(answer)
    terminal.expect(pexpect.EOF)
    terminal.close()
    return terminal.exitstatus, " ".join((said + terminal.before).split())


def lose_the_tunnel():
    os.kill(tunnel()["pid"], signal.SIGKILL)


@pytest.fixture
def job(minitriton, user):
    """The session's job, which none of this touches; asked by no ssh, which may be what is refused."""
    ask = ("exec", "login", "runuser", "-u", user, "--", "bash", "-lc", "bjobs -noheader -o jobid")
    return lambda: minitriton(*ask).split()


@pytest.fixture
def comes_back(session, job):
    """Requires that the next run has the session answer, by the job that was there before."""
    before = job()

    def require():
        code, words = session()
        assert code == 0, words
        assert seconds_until_healthy(URL, SOON) < SOON
        assert job() == before

    return require


# --- the way in


def test_a_session_is_there(session, job):
    code, words = session()
    assert code == 0, words
    assert len(job()) == 1


@pytest.mark.fault(33)
def test_another_host_key_is_refused_and_explained(session, sshd, minitriton, comes_back):
    minitriton("exec", "login", "sh", "-ec", "rm -f /etc/ssh/other*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/other")
    sshd("HostKey /etc/ssh/other\n")
    hang_up()
    pid = supervisor()["pid"]
    lose_the_tunnel()
    eventually(lambda: supervisor()["verdict"] == "host-key")
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    assert "compare the fingerprint" in supervisor()["remedy"]
    code, words = session()
    assert code != 0
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in words, words
    assert "ask the site whether its keys changed" in words
    sshd("")
    comes_back()


@pytest.mark.fault(34)
def test_a_key_that_is_not_there_is_told(session, state, comes_back):
    key = state / "id_ed25519"
    hang_up()
    key.rename(state / "id.away")
    try:
        lose_the_tunnel()
        eventually(lambda: supervisor()["verdict"] == "log-in-again")
        code, words = session()
        assert code != 0
        assert "Permission denied" in words and "see that ansible_user is right, that the key is there" in words, words
    finally:
        (state / "id.away").rename(key)
    comes_back()


@pytest.fixture
def agent(state, monkeypatch):
    """An agent that holds the account's key, whose file is somewhere else; locked and unlocked as by `ssh-add -x` and `-X`."""
    # Short, as a socket's path must be.
    socket = subprocess.run(
        ["mktemp", "-u", "/tmp/agent.XXXXXX"], capture_output=True, text=True, check=True
    ).stdout.strip()
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    eventually(lambda: os.path.exists(socket))
    key = state / "id_ed25519"
    subprocess.run(["ssh-add", "-q", str(key)], check=True)
    key.rename(state / "id.away")

    def add(option):
        terminal = pexpect.spawn("ssh-add", [option], encoding="utf-8", timeout=30)
        while terminal.expect(["(assword|Again): ?$", pexpect.EOF]) == 0:
            terminal.sendline("shut")
        terminal.close()
        assert terminal.exitstatus == 0

    yield add
    (state / "id.away").rename(key)
    process.terminate()
    process.wait()


@pytest.mark.fault(34)
def test_an_agent_that_is_locked_is_told_and_serves_again_once_unlocked(session, agent, comes_back):
    hang_up()
    # One that knows of the agent.
    subprocess.run([str(PROJECT / "scripts/slipway-supervisor"), TUNNEL.name, "--stop"], timeout=60, check=True)
    code, words = session()
    assert code == 0, words
    lose_the_tunnel()
    assert seconds_until_healthy(URL, SOON) < SOON
    agent("-x")
    hang_up()
    lose_the_tunnel()
    eventually(lambda: supervisor()["verdict"] == "log-in-again")
    assert "ssh-add -X" in supervisor()["remedy"]
    code, words = session()
    assert code != 0
    assert "Permission denied" in words and "`ssh-add -X`" in words, words
    agent("-X")
    comes_back()


@pytest.mark.fault(32)
@pytest.mark.fault(37)
def test_a_second_factor_is_asked_once_and_when_its_connection_is_gone_again(second_factor, session, job, comes_back):
    """The account's own log-in carries Ansible, the tunnel and its supervisor; no try of theirs is ever a log-in of its own."""
    before = job()
    hang_up()
    lose_the_tunnel()
    eventually(lambda: supervisor()["verdict"] == "log-in-again")
    code, words = session()
    assert code != 0
    assert "where it asks for a password or a code, log in again with scripts/login" in words, words

    code, words = log_in("a wrong password", "another", "and another")
    assert code == 1
    assert "Permission denied" in words and "did not let you in" in words and "remedy: run it again" in words, words
    code, words = log_in(PASSWORD)
    assert code == 0, words
    assert "is open" in words
    code, words = session()
    assert code == 0, words
    assert tunnel()["shared"]
    assert seconds_until_healthy(URL, SOON) < SOON
    code, words = session()
    assert (code, "changed=0" in words) == (0, True), words
    assert job() == before

    # The master dies, as with a laptop's reboot or at the site's limit for idle connections.
    master = subprocess.run(
        ["ssh", "-S", tunnel()["shared"], "-O", "check", "login"], capture_output=True, text=True, check=True
    )
    os.kill(int(master.stderr.split("pid=")[1].split(")")[0]), signal.SIGKILL)
    pid = supervisor()["pid"]
    eventually(lambda: supervisor()["verdict"] == "log-in-again")
    eventually(lambda: not os.path.exists(f"/proc/{pid}"))
    code, words = session()
    assert code != 0
    assert "log in again with scripts/login" in words, words
    code, words = log_in(PASSWORD)
    assert code == 0, words
    comes_back()
    hang_up()


# --- a second account


#: Run on the session's node by another account's Python: a browser's request to a port or to a unix socket.
ASK = """
import http.client, socket, sys
where, method, path, body = sys.argv[1:5]

def ask(method, path, body="", **headers):
    connection = http.client.HTTPConnection("localhost", timeout=20)
    if where.startswith("/"):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(where)
    else:
        connection.sock = socket.create_connection(where.split(":"), timeout=20)
    connection.request(method, path, body, headers)
    return connection.getresponse()

headers = {}
if method == "POST":
    cookie = ask("GET", "/login").getheader("Set-Cookie").split(";")[0]
    headers = {"Cookie": cookie, "X-XSRFToken": cookie.split("=", 1)[1], "Content-Type": "application/x-www-form-urlencoded"}
answer = ask(method, path, body, **headers)
print(answer.status, answer.getheader("Location"), answer.getheader("Set-Cookie"))
"""


@pytest.fixture
def ask(on_node):
    """Asks the session's server from its own node as another account; gives the status, where it sends one to, and its cookies."""

    def run(where, method="GET", path="/lab", body=""):
        return on_node("stranger", "/opt/minitriton/python3", "-c", ASK, where, method, path, body)

    return run


#: What only its owner may see or do.
CLOSED = [
    ("GET", "/api/contents"),
    ("GET", "/api/kernels"),
    ("POST", "/api/kernels"),
    ("POST", "/api/terminals"),
    ("POST", "/api/shutdown"),
    ("GET", "/proxy/8787/status"),
]


@pytest.fixture(scope="module", params=["login", "jump", "socket"])
def mode(request, playbook, minitriton):
    """The session anew in each mode, and a second account that has a job on its node."""
    minitriton("user", "stranger", "--fresh")
    playbook("playbooks/stop.yml", *CONDA)
    done = playbook("playbooks/session.yml", *CONDA, "-e", f"session_tunnel_mode={request.param}")
    assert done.returncode == 0, done.stdout
    minitriton(
        "exec", "login", "runuser", "-u", "stranger", "--", "bash", "-lc",
        "cd; bsub -q interactive sleep 1800; until bjobs -r 2>&1 | grep -q RUN; do sleep 0.5; done",
    )  # fmt: skip
    return request.param


def test_nobody_else_logs_in_to_the_server(mode, ask, said, host, home):
    """Anyone on the node reaches the port of mode login and of jump, and is asked for the password; a unix socket is its owner's alone."""
    where = said()
    assert where["mode"] == mode == tunnel()["mode"]
    if mode == "socket":
        refused = ask(where["socket"])
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr
        return
    address = f"{'127.0.0.1' if mode == 'jump' else where['node']}:{where['port']}"
    assert ask(address, path="/api").stdout.startswith("200"), "the port is there, and says its version"
    for method, path in CLOSED:
        answer = ask(address, method, path).stdout
        assert answer.startswith(("403", "302 /login")), (method, path, answer)
    for guess in ("", "password", where["nonce"], where["job_id"]):
        assert "username-" not in ask(address, "POST", "/login", urlencode({"password": guess})).stdout, guess
        assert ask(address, path=f"/lab?token={guess}").stdout.startswith("302 /login"), guess
    # Not for another reason: with the password they would be in.
    password = host.check_output(f"cat {home}/.config/slipway/jupyter-password").strip()
    assert "username-" in ask(address, "POST", "/login", urlencode({"password": password})).stdout
    assert "version" in api().json()


def test_a_loopback_is_closed_to_other_nodes(mode, said, minitriton):
    """What mode jump gains over mode login."""
    where = said()
    open_ports = f"cat < /dev/null > /dev/tcp/{where['node']}/{where['port'] or 8888}"
    reached = subprocess.run(
        [str(PROJECT / "scripts/minitriton"), "exec", "t001", "bash", "-c", open_ports],
        capture_output=True,
        check=False,
    )
    assert (reached.returncode == 0) == (mode == "login")


def test_no_file_of_the_session_is_anybody_elses_to_read(mode, on_node, host, home, folder):
    files = host.check_output(f"find {folder} {home}/.jupyter {home}/.config/slipway -type f").split()
    private = [path for path in files if path.startswith(folder) or "jupyter-password" in path]
    assert len(private) > 4
    for path in private:
        assert "Permission denied" in on_node("stranger", "cat", path).stderr, path
    for path in files:
        if "jupyter_server_config" in path:
            assert "Permission denied" in on_node("stranger", "cat", path).stderr, path
    for path in TUNNEL.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_secret_is_in_ps_in_environ_or_in_bjobs(mode, on_node, host, folder, home, state):
    """On both nodes and on the controller; of the job's owner, the environment, too: it is nobody else's, and still has none."""
    secrets = [host.check_output(f"cat {folder}/session-jupyter.token")]
    secrets.append(host.run(f"cat {home}/.config/slipway/jupyter-password").stdout.strip())
    look = (
        "ps -eo args; for file in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $file; done 2> /dev/null;"
        " bash -lc 'bjobs -u all -l; bhist -u all -l; bjobs -u all -o \"jobid command job_name job_description\"; bqueues -l'"
    )
    seen = on_node("stranger", "sh", "-c", look).stdout + on_node(host.user().name, "sh", "-c", look).stdout
    seen += host.run("sh -c %s", look).stdout
    seen += subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "jupyter-lab" in seen and "slipway jupyter" in seen and "JUPYTER_TOKEN_FILE" in seen
    assert [secret for secret in secrets if secret and secret in seen] == []


def test_what_mode_jump_and_socket_ask_of_ssh_is_the_owners_alone(mode, stranger_without_a_job):
    """Who has no job on a node is not let in there, by whatever way."""
    assert "Permission denied" in stranger_without_a_job("t001").stderr


@pytest.fixture
def stranger_without_a_job(state):
    config = str(state / "ssh_config")

    def run(node):
        argv = [
            "ssh",
            "-F",
            config,
            "-o",
            "BatchMode=yes",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "StrictHostKeyChecking=no",
        ]
        argv += ["-o", f"ProxyCommand=ssh -F {config} -W %h:%p stranger@login", f"stranger@{node}", "true"]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    return run
