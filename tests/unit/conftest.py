"""Makes the project's plain Python importable under the names that Ansible gives it."""

from pathlib import Path

import ansible.module_utils

PROJECT = Path(__file__).parents[2]

ansible.module_utils.__path__ += [
    str(PROJECT / "plugins/module_utils"),
    *map(str, PROJECT.glob("roles/*/module_utils")),
]
