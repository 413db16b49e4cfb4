"""Mini-Triton is what it says: two networks, shared folders, a batch system, and no Python to lean on."""


def test_the_nodes_are_of_the_asked_architecture(host, cluster):
    assert host.check_output("uname -m") == {"ppc64le": "ppc64le", "amd64": "x86_64"}[cluster["arch"]]


def test_there_is_no_python_on_a_node(host):
    assert host.run("bash -lc 'command -v python3 python'").rc != 0
    assert not host.file("/usr/bin/python3").exists


def test_lsf_is_on_path_in_a_login_shell_only(host, login):
    assert host.run("command -v bsub").rc != 0
    assert login("command -v bsub")


def test_the_queues_are_open(login):
    queues = {line.split()[0]: line.split()[2] for line in login("bqueues -w").splitlines()[1:]}
    assert queues == dict.fromkeys(("normal", "interactive", "terminal"), "Open:Active")


def test_a_job_runs_on_a_node_with_the_users_home_and_both_networks(login, user):
    said = login("bsub -K -q normal -o out 'hostname; ls -d ~; ls /sys/class/net' > /dev/null 2>&1; cat out")
    assert "t00" in said
    assert f"/home/{user}" in said
    assert "eth0" in said
    assert "ib0" in said
