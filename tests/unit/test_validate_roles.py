# SPDX-License-Identifier: GPL-3.0-or-later
"""validate_roles over a role and an inventory made for the test, run by ansible-playbook as validate.yml runs it."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FILES = {
    "roles/boat/defaults/main.yml": """
        boat_sails: 2
        boat_masts: 1
        boat_rig: sloop
        boat_home: "{{ harbour }}/boats"
        boat_log: "{{ harbour }}/log"
        boat_secret: ""
        boat_ports: []
        """,
    "roles/boat/vars/main.yml": "__boat_limit: 3\n__boat_canvas: '{{ 12 / boat_sails > 1 }}'\n",
    "roles/boat/meta/argument_specs.yml": """
        argument_specs:
          main:
            options:
              boat_name: {type: str, required: true, description: What is painted on her}
              boat_sails: {type: int, default: 2, description: How many}
              boat_masts: {type: int, default: 1, description: How many}
              boat_rig: {type: str, choices: [sloop, ketch], default: sloop, description: Which}
              boat_home: {type: path, default: "{{ harbour }}/boats", description: Where}
              boat_log: {type: path, default: "{{ harbour }}/log", description: Where}
              boat_secret: {type: str, no_log: true, default: "", description: Hush}
              boat_ports: {type: list, elements: int, default: [], description: Which}
        """,
    "roles/boat/meta/rules.yml": """
        - variable: boat_sails
          that: boat_sails | int <= __boat_limit
          rule: "at most {{ __boat_limit }}"
        - variable: boat_ports
          that: boat_ports | unique | length == boat_ports | length
          value: "{{ boat_ports | sort }}"
          rule: each port once
        - variable: boat_secret
          that: boat_secret | length < 5
          rule: short
        - variable: crew
          that: crew is defined
          rule: somebody must sail
        - variable: boat_masts
          that: boat_masts > 0 and boat_sails is divisibleby(boat_masts) and __boat_canvas
          rule: "a divisor of {{ boat_sails }}"
        """,
    "site/hosts.yml": "fleet: {hosts: {one: {boat_name: Ann}, two: {boat_name: Bee}}}\n",
    "site/group_vars/fleet/boat.yml": "harbour: /port\ncrew: 1\nboat_rig: '{{ rig | default(\"ketch\") }}'\n",
    "site/group_vars/fleet/crew.yml": "# boat_ports: [80]\n",
    "ansible.cfg": f"""
        [defaults]
        roles_path = roles
        action_plugins = {Path(__file__).parents[2] / "plugins/action"}
        callback_result_format = yaml
        """,
    "play.yml": "[{hosts: all, gather_facts: false, tasks: [{validate_roles: {roles: [boat]}}]}]\n",
}


@pytest.fixture
def validate(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))

    def run(*extra, **replaced):
        for name, text in replaced.items():
            (tmp_path / "site/group_vars/fleet" / f"{name}.yml").write_text(text)
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "site",
            "play.yml",
            *(f"-e{entry}" for entry in extra),
        ]
        env = os.environ | {"ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout + done.stderr

    return run


def entries(output, host):
    """The problems of a host as {variable: (value, rule, file)}."""
    part = re.search(rf"(?ms)^fatal: \[{host}\].*?(?=^\S)", output)[0]
    found = re.findall(r"(?m)^ *(\w+): (.*)\n *rule: (.*)\n *change it in (.*)$", part)
    assert f"{len(found)} problem" in part
    return {variable: rest for variable, *rest in found}


def test_good_values_pass_on_every_host(validate):
    code, output = validate()
    assert code == 0, output
    assert "ok: [one]" in output
    assert "ok: [two]" in output


def test_one_message_lists_all_problems_of_each_host(validate):
    code, output = validate('{"boat_sails": 7, "boat_ports": [2, 1, 2]}', "rig=raft")
    assert code == 2
    for host in ("one", "two"):
        assert entries(output, host) == {
            "boat_sails": ["7", "at most 3", "site/group_vars/fleet/boat.yml"],
            "boat_rig": [
                "'raft'",
                "value of boat_rig must be one of: sloop, ketch, got: raft",
                "site/group_vars/fleet/boat.yml",
            ],
            # named in a comment there, so that is where it belongs
            "boat_ports": ["[1, 2, 2]", "each port once", "site/group_vars/fleet/crew.yml"],
        }


def test_a_wrong_type_is_named_once_and_its_rule_is_not_tried(validate):
    _, output = validate("boat_sails=many")
    assert list(entries(output, "one")) == ["boat_sails"]
    assert "convert to int" in entries(output, "one")["boat_sails"][1]


def test_values_of_the_command_line_have_their_types_in_the_rules(validate):
    code, output = validate("boat_sails=2", "boat_masts=2", "{boat_secret: 1234}")
    assert code == 0, output
    assert entries(validate("{boat_secret: 12345}")[1], "one") == {
        "boat_secret": ["(hidden)", "short", "site/group_vars/fleet/boat.yml"]
    }


@pytest.mark.parametrize("sails", ["many", "7", "{{ 1 / 0 }}"])
def test_a_bad_value_is_not_reported_again_for_what_is_made_of_it(validate, sails):
    _, output = validate(f"boat_sails={sails}")
    assert list(entries(output, "one")) == ["boat_sails"]


def test_a_string_is_no_list(validate):
    _, output = validate("boat_ports=80")
    assert entries(output, "one")["boat_ports"][:2] == ["'80'", "a list, even of one: [...]"]


def test_what_is_missing_is_blamed_once_and_not_the_values_made_of_it(validate):
    _, output = validate(boat="crew: 1\n")
    assert entries(output, "one") == {
        "harbour": ["not set", "must be known, since boat_home is made of it", "site/group_vars/fleet/boat.yml"]
    }


def test_a_required_variable_without_a_value_is_not_set(validate):
    _, output = validate('{"boat_name": null}')
    assert entries(output, "two")["boat_name"][:2] == ["not set", "required: What is painted on her"]


def test_a_rule_may_ask_for_any_variable(validate):
    _, output = validate(boat="harbour: /port\n")
    assert entries(output, "one")["crew"][:2] == ["not set", "somebody must sail"]


def test_a_secret_is_never_shown(validate):
    _, output = validate("boat_secret=opensesame")
    assert entries(output, "one")["boat_secret"][0] == "(hidden)"
    assert "opensesame" not in output


def test_a_broken_template_is_a_problem_like_others(validate):
    _, output = validate("rig={{ 1 / 0 }}")
    assert entries(output, "one")["boat_rig"][0] == "not rendered"
