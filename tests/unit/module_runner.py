# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module or an action of ours as Ansible does: JSON in, its own argument handling, JSON out."""

import io
import json
import os
import re
import subprocess
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
from ansible.module_utils.testing import patch_module_args

PROJECT = Path(__file__).parents[2]


def load(path: str) -> ModuleType:
    spec = spec_from_file_location(Path(path).stem, PROJECT / path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, arguments: dict, *, check: bool = False) -> dict:
    out = io.StringIO()
    with (
        # Another test of this process may have loaded the controller's side, which prints warnings instead of returning them.
        mock.patch("ansible.module_utils._internal.is_controller", False),
        patch_module_args({**arguments, "_ansible_check_mode": check}),
        redirect_stdout(out),
        pytest.raises(SystemExit),
    ):
        module.main()
    return json.loads(out.getvalue())


def run_action(action: str, arguments: dict) -> dict:
    """Runs an action of ours as a task of this machine's."""
    argv = ["ansible", "localhost", "-m", action, "-a", json.dumps(arguments)]
    environ = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(argv, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=120, check=False)
    return json.loads(re.sub(r"^localhost \| \w+!? => ", "", done.stdout))
