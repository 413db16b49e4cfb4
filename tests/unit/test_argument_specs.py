# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role's argument spec and its defaults say the same: the same keys, the same values; what is required has no default."""

import re
from pathlib import Path

import pytest
import yaml

ROLES = sorted(path.parents[1] for path in Path(__file__).parents[2].glob("roles/*/defaults/main.yml"))


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request):
    return request.param


@pytest.fixture
def options(role):
    return yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


@pytest.fixture
def defaults(role):
    return yaml.safe_load((role / "defaults/main.yml").read_text()) or {}


def test_keys_and_values_equal_the_defaults(options, defaults):
    assert {name: spec["default"] for name, spec in options.items() if not spec.get("required")} == defaults


def test_a_required_input_is_a_comment_in_the_defaults(role, options):
    text = (role / "defaults/main.yml").read_text()
    for name in (name for name, spec in options.items() if spec.get("required")):
        assert re.search(rf"(?m)^# {name}: \S", text), f"{name}: a sample in a comment is missing"


def test_names_carry_the_role(role, options):
    assert [name for name in options if not name.startswith(f"{role.name}_")] == []


def test_rules_are_complete(role, options):
    for rule in yaml.safe_load((role / "meta/rules.yml").read_text()) or []:
        assert set(rule) - {"value"} == {"variable", "that", "rule"}
        assert rule["variable"] in options or rule["variable"].startswith("ansible_")
