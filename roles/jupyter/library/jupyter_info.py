# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Jupyter server an environment runs, and which settings of the user's it won't heed."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: jupyter_info
short_description: Tell which generation of Jupyter's server an environment runs
description:
  - JupyterLab 3 and newer, and Notebook 7 and newer, run on C(jupyter_server). Before, both were the classic notebook
    server. They read different files, with different keys.
  - Warns of settings in a C(.py) file that Jupyter takes from the C(.json) file beside it instead, without a word.
  - Tells what of the user's own may change which labextensions are shown, so that another account's look need not hold for this one.
options:
  env:
    description: The environment. One that doesn't exist yet counts as one with C(jupyter_server).
    type: path
    required: true
  config_dir:
    description: The user's folder of Jupyter's configuration.
    type: path
    required: true
  wanted:
    description: By generation, what the C(.json) file is going to hold besides what it holds now.
    type: dict
    default: {}
  python:
    description: By generation, the settings that the C(.py) file is going to make besides those it makes now.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Nothing is ever changed.
  diff_mode:
    support: none
author:
  - Slipway contributors
"""

EXAMPLES = r"""
- name: Find out which server it is
  jupyter_info:
    env: ~/local/miniconda3/envs/myenv
    config_dir: ~/.jupyter
"""

RETURN = r"""
generation:
  description: V(server) for C(jupyter_server), V(classic) for the notebook server of version 6 and older.
  returned: success
  type: str
versions:
  description: The versions that it was told by, of what is installed.
  returned: success
  type: dict
  sample: {jupyterlab: 4.6.6, jupyter_server: 2.21.1}
shadowed:
  description: Settings of the C(.py) file that the C(.json) file overrides, such as V(ServerApp.allow_origin).
  returned: success
  type: list
  elements: str
own:
  description: Files and folders of the user's own that enable, disable or add labextensions.
  returned: success
  type: list
  elements: str
  sample: [/home/ada/.jupyter/labconfig/page_config.json]
"""

import ast
import json
from importlib.metadata import distributions
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

FILES = {"server": "jupyter_server_config", "classic": "jupyter_notebook_config"}
# Each of them can be the password. jupyter_password clears up in the .json file alone.
PASSWORDS = {
    "server": {"IdentityProvider.hashed_password", "PasswordIdentityProvider.hashed_password", "ServerApp.password"},
    "classic": {"NotebookApp.password"},
}


def installed(env):
    """Versions out of the packages' metadata, which needs no Python of the environment's."""
    folders = [str(folder) for folder in Path(env).glob("lib/python3*/site-packages")]
    names = ("jupyterlab", "jupyter_server", "notebook")
    # By name: to read the metadata of all takes as long as the rest of the module.
    return {name: d.version for name in names for d in distributions(name=name, path=folders)}


def generation(versions):
    """The server of `jupyter lab`; where there is no lab, that of `jupyter notebook`."""
    for name, first in (("jupyterlab", 3), ("notebook", 7)):
        if name in versions:
            return "server" if int(versions[name].split(".")[0]) >= first else "classic"
    return "server"


def own_labextensions(config_dir):
    """What JupyterLab reads besides the environment, on labextensions."""
    config, local = Path(config_dir), Path.home() / ".local"
    patterns = {
        config: ("labconfig/page_config*", "jupyter_config.*", "jupyter_lab*_config.*"),
        local: ("share/jupyter/labextensions/*", "etc/jupyter/labconfig/page_config*", "etc/jupyter/jupyter_*config.*"),
    }
    return sorted(str(path) for folder, each in patterns.items() for pattern in each for path in folder.glob(pattern))


def keys(mapping):
    """Settings as Jupyter's command line names them: Class.trait."""
    return {f"{section}.{key}" for section, content in mapping.items() if isinstance(content, dict) for key in content}


def assigned(text):
    """The settings of a .py file: c.Class.trait = ..."""
    targets = [
        target
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Assign, ast.AugAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    ]
    return {
        f"{target.value.attr}.{target.attr}"
        for target in targets
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Attribute)
        and isinstance(target.value.value, ast.Name)
        and target.value.value.id == "c"
    }


def read(path):
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def main():
    module = AnsibleModule(
        argument_spec={
            "env": {"type": "path", "required": True},
            "config_dir": {"type": "path", "required": True},
            "wanted": {"type": "dict", "default": {}},
            "python": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    versions = installed(module.params["env"])
    which = generation(versions)
    stem = Path(module.params["config_dir"], FILES[which])
    python, own = stem.with_suffix(".py"), stem.with_suffix(".json")
    shadowed = []
    try:
        held = keys(json.loads(read(own) or "{}")) | keys(module.params["wanted"].get(which, {}))
        said = assigned(read(python))
        shadowed = sorted((said | set(module.params["python"].get(which, []))) & held | said & PASSWORDS[which])
    except SyntaxError as error:
        module.warn(
            f"{python}, line {error.lineno}: {error.msg}; Jupyter can't read this file. Mend it or move it away."
        )
    except (ValueError, AttributeError):
        pass  # the module that writes the .json file names the line
    except OSError as problem:
        module.fail_json(msg=f"{problem.filename}: {problem.strerror}; Jupyter's configuration must be the user's own.")
    if shadowed:
        module.warn(
            f"{python} sets {', '.join(shadowed)}, but Jupyter takes the value of {own.name} beside it. Remove the lines from the"
            " one that is wrong; what Slipway writes are the variables jupyter_* of the inventory."
        )
    extra = own_labextensions(module.params["config_dir"])
    module.exit_json(changed=False, generation=which, versions=versions, shadowed=shadowed, own=extra)


if __name__ == "__main__":
    main()
