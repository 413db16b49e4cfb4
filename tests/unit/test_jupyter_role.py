# SPDX-License-Identifier: GPL-3.0-or-later
"""The role jupyter by ansible-playbook with the real jupyter_server: what is written, and what a browser would then meet."""

import ast
import contextlib
import json
import re
import socket
import subprocess
import sys
import time

import lsf_cluster
import pexpect
import pytest
import requests
from ansible.module_utils.session.probe import Lab
from jupyter_browser import PASSWORD, logged_in, mode, running
from role_play import PROJECT, Home

pytest_plugins = ["native_env"]

# Where this kernel's clusters say that their dashboards are: here one whose scheduler has an address on ib0.
LINK = """
from distributed.utils import format_dashboard_link
print(format_dashboard_link("10.11.3.51", 8787))
"""


@pytest.fixture
def home(env, tmp_path):
    return Home(tmp_path, "jupyter", target_env=str(env), target_user="ada")


def config(home, name="jupyter_server_config.json"):
    return (home / f".jupyter/{name}").read_text()


@contextlib.contextmanager
def server(env, home, *options, scheme="http", **environment):
    """The lab, as the session starts it."""
    with running(home, [env / "bin/jupyter-lab", *options], **environment) as address:
        yield f"{scheme}://{address}"


@contextlib.contextmanager
def dashboard(address):
    """Something on another of this machine's addresses that stands for a scheduler's dashboard."""
    page = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", address, "--directory", "/usr/share"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield int(re.search(r"port (\d+)", page.stdout.readline())[1])
    finally:
        page.kill()
        page.wait()


def test_written_once_and_closed_to_others(home):
    assert home.play("--check") == 2
    assert not (home / ".jupyter").exists()
    assert home.play() == 2
    files = {path: path.read_bytes() for path in (home / ".jupyter").rglob("*.*") if path.is_file()}
    assert home.play() == 0
    assert {path: path.read_bytes() for path in (home / ".jupyter").rglob("*.*") if path.is_file()} == files
    assert {path.name: mode(path) for path in files} == {
        "jupyter_server_config.json": "0o400",
        "jupyter_server_config.py": "0o400",
        "slipway.json": "0o600",
    }
    ast.parse(config(home, "jupyter_server_config.py"), feature_version=(3, 7))  # the oldest server's
    assert home.play(jupyter_allow_origin="*") == 1
    assert json.loads(config(home))["ServerApp"]["allow_origin"] == "*"
    assert {mode(path) for path in (home / ".jupyter").glob("jupyter_server_config*")} == {
        "0o400"
    }  # and so is the backup


def test_what_the_user_has_is_merged_and_a_shadowed_setting_is_named(home):
    (home / ".jupyter").mkdir()
    (home / ".jupyter/jupyter_server_config.py").write_text(
        "c.ServerApp.allow_origin = '*'\nc.ServerApp.root_dir = '/x'\n"
    )
    own = {
        "ServerApp": {"terminals_enabled": False, "certfile": "/mine.crt"},
        "ServerProxy": {"host_allowlist": ["localhost", "127.0.0.1"]},  # the first version's
    }
    (home / ".jupyter/jupyter_server_config.json").write_text(json.dumps(own))
    done = home.ansible()
    assert done.returncode == 0, done.stdout
    said = " ".join((done.stdout + done.stderr).split())
    assert "jupyter_server_config.py sets ServerApp.allow_origin, " in said
    assert "but Jupyter takes the value of jupyter_server_config.json" in said
    assert "root_dir" not in said
    written = json.loads(config(home))
    assert written["ServerApp"]["terminals_enabled"] is False
    assert written["ServerApp"]["certfile"] == "/mine.crt"
    assert "ServerProxy" not in written
    assert config(home, "jupyter_server_config.py").startswith("c.ServerApp.allow_origin = '*'\n")
    assert len(list((home / ".jupyter").glob("*~"))) == 2


def test_the_proxy_reaches_the_clusters_nodes_alone(env, home):
    """Another address of this node without a word, another node by its pattern, a stranger not at all."""
    home.play(jupyter_password=PASSWORD, jupyter_proxy_hosts=["localhost", r"10\.11\.[0-9.]+", "t[0-9]+"])
    with server(env, home) as url, dashboard("127.0.0.2") as port:
        person = logged_in(url)
        assert person.get(f"{url}/proxy/127.0.0.2:{port}/", timeout=30).status_code == 200
        assert person.get(f"{url}/proxy/127.0.0.2:{port}/doc/", timeout=30).status_code == 200
        assert requests.get(f"{url}/proxy/127.0.0.2:{port}/doc/", timeout=30).url.startswith(f"{url}/login")
        strangers = ["example.org", "192.0.2.1", "t001.example.org", "10.12.0.1", "10.11.example.org", "239.1.2.3"]
        # This machine by a name that must be looked up first, and so might be anybody's.
        for stranger in (*strangers, "127.2"):
            assert person.get(f"{url}/proxy/{stranger}:80/", timeout=30).status_code == 403
        assert person.get(f"{url}/proxy/{socket.gethostname()}:{port}/", timeout=30).status_code != 403
        # Allowed, and there is nobody: an error of the proxy, after the check.
        assert person.get(f"{url}/proxy/t001:80/", timeout=30).status_code in (500, 599)


def put(person, url, path, method="put"):
    """As the lab's page does it."""
    headers = {"X-XSRFToken": person.cookies.get_dict().get("_xsrf", "")}
    answer = getattr(person, method)(f"{url}{path}", headers=headers, timeout=120)
    assert answer.ok, answer.text
    return answer.json() if answer.text else {}


@pytest.fixture
def dask_home(home):
    """The same home, with role dask's configuration as well."""
    (home.folder / "play.yml").write_text("- {hosts: home, gather_facts: false, roles: [dask, jupyter]}")
    return home


@pytest.mark.parametrize(
    "base", [*(pytest.param(base, marks=pytest.mark.full) for base in ("/", "/user/ada/")), "/user/ada/named/"]
)
def test_a_dashboards_link_is_right_at_run_time(env, dask_home, base):
    """Plain Jupyter, JupyterHub, a named server: in a kernel, and for the NEW button; and it leads to the dashboard."""
    dask_home.play(jupyter_password=PASSWORD, dask_new_cluster="LocalCluster")
    hub = {} if base == "/" else {"JUPYTERHUB_SERVICE_PREFIX": base}
    with server(env, dask_home, f"--ServerApp.base_url={base}", JUPYTER_TOKEN="token", **hub) as url:
        with Lab(url + base, "token").kernel() as run:
            assert run(LINK).strip() == f"{base}proxy/10.11.3.51:8787/status"
        person = logged_in(url, base=base)
        cluster = put(person, url, f"{base}dask/clusters/")
        # What the pane asks before its buttons turn orange.
        plots = cluster["dashboard_link"].replace("/status", "/individual-plots.json")
        assert re.fullmatch(rf"{base}proxy/127\.0\.0\.1:\d+/individual-plots.json", plots)
        assert "Individual Task Stream" in person.get(url + plots, timeout=30).json()
        put(person, url, f"{base}dask/clusters/{cluster['id']}", "delete")


def test_the_new_button_makes_a_cluster_of_lsf_jobs(env, dask_home, tmp_path):
    """With the profile; the scheduler listens on an address of its own, as on ib0, and its dashboard is found there."""
    mine = dask_home / ".config/dask/jobqueue.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("jobqueue: {lsf: {scheduler-options: {host: 127.0.0.2}}}")
    dask_home.play(jupyter_password=PASSWORD, dask_queue="normal", dask_local_directory=str(tmp_path / "scratch"))
    with lsf_cluster.running(tmp_path / "lsf") as lsf:
        environment = {name: value for name, value in lsf.env.items() if name != "HOME"}
        with server(env, dask_home, **environment) as url:
            person = logged_in(url)
            cluster = put(person, url, "/dask/clusters/")
            assert cluster["name"].startswith("LSFCluster")
            assert re.fullmatch(r"/proxy/127\.0\.0\.2:\d+/status", cluster["dashboard_link"])
            assert "bokeh" in person.get(url + cluster["dashboard_link"], timeout=60).text.lower()
            (job,) = scaled(person, url, cluster["id"], lsf)
            assert lsf.field(job, "queue") == "normal"
            assert lsf.field(job, "slots") == "4"
            put(person, url, f"/dask/clusters/{cluster['id']}", "delete")
            lsf_cluster.until(lambda: "No unfinished job" in lsf("bjobs").stderr)


def scaled(person, url, cluster, lsf):
    """The running jobs after the pane's SCALE to one worker, which has come up."""
    headers = {"X-XSRFToken": person.cookies.get_dict()["_xsrf"]}
    answer = person.patch(f"{url}/dask/clusters/{cluster}", headers=headers, json={"workers": 1}, timeout=60)
    assert answer.ok, answer.text
    deadline = time.monotonic() + 60
    while person.get(f"{url}/dask/clusters/{cluster}", timeout=30).json()["workers"] < 1:
        assert time.monotonic() < deadline, lsf("bjobs", "-l").stdout
        time.sleep(0.2)
    return lsf("bjobs", "-noheader", "-r", "-o", "jobid").stdout.split()


def test_the_lab_asks_nobody_about_news_and_its_users_choice_wins(env, home):
    """What JupyterLab's page is told of the setting: its default, what the user chose in the lab, what the user had written as default."""
    plugin = "@jupyterlab/apputils-extension:notification"
    chosen = home / f".jupyter/lab/user-settings/{plugin.replace(':', '/')}.jupyterlab-settings"

    def told():
        with server(env, home, JUPYTER_TOKEN="token") as url:
            answer = requests.get(f"{url}/lab/api/settings/{plugin}?token=token", timeout=30).json()
        return answer["schema"]["properties"]["fetchNews"]["default"], answer["settings"].get("fetchNews")

    home.play()
    assert told() == ("false", None)
    chosen.parent.mkdir(parents=True)
    chosen.write_text('{"fetchNews": "true"} // mine')
    assert home.play() == 0
    assert told() == ("false", "true")
    chosen.unlink()
    # Another value of the site's reaches a home that has the old one.
    other = {"jupyter_lab_settings": {plugin: {"fetchNews": "none"}}}
    assert home.play(**other) == 1
    assert told() == ("none", None)
    written = home / ".jupyter/labconfig/default_setting_overrides.json"
    written.write_text(json.dumps({plugin: {"fetchNews": "true", "doNotDisturbMode": True}}))
    assert home.play(**other) == 0
    assert told() == ("true", None)


def test_an_extension_that_does_not_load_stops_the_run(home):
    done = home.ansible(jupyter_server_extensions=["jupyter_server_proxy", "no_such_extension"])
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "no_such_extension" in said
    assert "Every extension in jupyter_server_extensions must load in" in said
    assert not (home / ".jupyter").exists()


def test_what_the_environments_owner_has_tried_is_not_tried_again(env, home):
    names = ["jupyter_server_proxy", "no_such_extension"]
    tried = {"env": str(env), "extensions": names}
    shared = {"shared_builder": "home", "jupyter_server_extensions": names}
    assert home.ansible(**shared, __jupyter_tried={**tried, "env": "/elsewhere"}).returncode == 2
    assert home.ansible(**shared, __jupyter_tried={**tried, "extensions": names[:1]}).returncode == 2
    own = home / ".jupyter/labconfig/page_config.json"
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    assert home.ansible(**shared, __jupyter_tried=tried).returncode == 2
    own.unlink()
    assert home.play(**shared, __jupyter_tried=tried) == 2
    assert "no_such_extension" in config(home)


def test_a_pane_that_the_lab_does_not_show_stops_the_run(home):
    """The package is there and its server half loads; JupyterLab's own list says that it is switched off."""
    mine = home / ".jupyter/labconfig/page_config.json"
    mine.parent.mkdir(parents=True)
    mine.write_text('{"disabledExtensions": {"dask-labextension": true}}')
    done = home.ansible()
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "does not take it for enabled and OK" in said
    assert "jupyter labextension enable dask-labextension" in said
    assert [path.name for path in (home / ".jupyter").rglob("*.*")] == ["page_config.json"]


def prompted(home, *words):
    """A run that asks; returns all that it said, and its exit code."""
    command, *arguments = [*home.command, "-e", "jupyter_password_prompt=true", "-vvv"]
    child = pexpect.spawn(command, arguments, env=home.environment, cwd=PROJECT, timeout=120, encoding="utf-8")
    said = ""
    for question, word in zip(("not shown", "once more"), words, strict=True):
        child.expect(question)
        said += child.before
        child.sendline(word)
    child.expect(pexpect.EOF)
    child.close()
    return said + child.before, child.exitstatus


def test_a_password_that_is_asked_for_opens_and_is_shown_nowhere(env, home):
    said, code = prompted(home, PASSWORD, PASSWORD)
    assert code == 0, said
    assert PASSWORD not in said
    with server(env, home) as url:
        assert logged_in(url).get(f"{url}/api/status", timeout=30).ok
        assert logged_in(url, "another-word").get(f"{url}/api/status", timeout=30).status_code == 403


@pytest.mark.parametrize(
    ("words", "message"),
    [((PASSWORD, "hello-wordl"), "The two were not the same."), (("short", "short"), "at least 8 characters")],
)
def test_a_mistyped_password_changes_none(home, words, message):
    said, code = prompted(home, *words)
    assert code != 0
    assert message in " ".join(said.split())
    assert not (home / ".jupyter").exists()


@pytest.mark.full
def test_https_with_a_certificate_of_the_users_own(env, home):
    home.play(jupyter_tls=True, jupyter_password=PASSWORD)
    assert home.play(jupyter_tls=True, jupyter_password=PASSWORD) == 0
    certificate, key = home / ".config/slipway/jupyter.crt", home / ".config/slipway/jupyter.key"
    assert (mode(key), mode(key.parent)) == ("0o600", "0o700")
    assert json.loads(config(home))["ServerApp"]["allow_origin"] == "https://localhost:8890"
    with server(env, home, scheme="https") as url:
        assert logged_in(url, verify=str(certificate)).get(f"{url}/api/status", timeout=30).ok
    with server(env, home, JUPYTERHUB_SERVICE_PREFIX="/user/ada/") as url:  # a hub speaks http to it
        assert logged_in(url).get(f"{url}/api/status", timeout=30).ok
    home.play(jupyter_tls=False, jupyter_password=PASSWORD)
    with server(env, home) as url:
        assert logged_in(url).get(f"{url}/api/status", timeout=30).ok


def remove(home, **variables):
    (home.folder / "play.yml").write_text(
        "- {hosts: home, gather_facts: false, tasks: [{include_role: {name: jupyter, tasks_from: remove}}]}"
    )
    done = home.ansible(**variables)
    assert done.returncode == 0, done.stdout


def test_what_slipway_made_goes_and_what_is_the_users_stays(home):
    (home / ".jupyter").mkdir()
    mine = home / ".jupyter/jupyter_server_config.json"
    mine.write_text('{"ServerApp": {"certfile": "/mine.crt"}}')
    certificate = home / "mine.crt"
    certificate.write_text("mine")
    home.play()
    kept, defaults = (
        home / name
        for name in (".config/slipway/jupyter-password", ".jupyter/labconfig/default_setting_overrides.d/slipway.json")
    )
    assert kept.exists()
    assert defaults.exists()
    remove(home, jupyter_certificate=str(certificate))
    assert not defaults.exists()
    assert not kept.exists()
    assert json.loads(mine.read_text()) == {"ServerApp": {"certfile": "/mine.crt"}}
    assert not (home / ".jupyter/jupyter_server_config.py").exists()
    assert certificate.read_text() == "mine"


def test_a_broken_file_of_the_users_is_named_when_ours_goes(home):
    home.play()
    mine = home / ".jupyter/jupyter_server_config.json"
    mine.chmod(0o600)
    mine.write_text('{"a": 1,\n}')
    (home.folder / "play.yml").write_text(
        "- {hosts: home, gather_facts: false, tasks: [{include_role: {name: jupyter, tasks_from: remove}}]}"
    )
    done = home.ansible()
    assert done.returncode != 0
    assert f"{mine}, line 2: " in done.stdout
    assert (home / ".config/slipway/jupyter-password").exists()


CERTIFICATE = (PROJECT / "roles/jupyter/files/certificate.sh").read_text()


def certify(folder, certificate, key, *check):
    argv = ["sh", "-s", "--", certificate, key, "ada", folder, *check]
    return subprocess.run(argv, input=CERTIFICATE, capture_output=True, text=True, timeout=60, check=False)


def test_a_certificate_of_ours_is_renewed_and_the_users_own_is_not(tmp_path):
    ours, theirs = tmp_path / "slipway", tmp_path / "own"
    certificate, key = ours / "jupyter.crt", ours / "jupyter.key"
    assert certify(ours, certificate, key, "check").stdout == "made\n"
    assert not ours.exists()
    assert certify(ours, certificate, key).stdout == "made\n"
    assert certify(ours, certificate, key).stdout == ""
    short = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "20", "-subj", "/CN=localhost"]
    subprocess.run([*short, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    before = certificate.read_text()
    theirs.mkdir()
    (theirs / "a.crt").write_text(before)
    assert certify(ours, theirs / "a.crt", theirs / "a.key").stdout == ""
    assert certify(ours, certificate, key).stdout == "made\n"
    assert certificate.read_text() != before
    assert mode(key) == "0o600"

    (theirs / "b.key").write_text("mine")
    refused = certify(ours, theirs / "b.crt", theirs / "b.key")
    assert refused.returncode == 1
    assert f"put its certificate at {theirs}/b.crt" in refused.stderr
    assert (theirs / "b.key").read_text() == "mine"
