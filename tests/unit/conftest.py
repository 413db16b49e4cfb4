"""Makes the project's plain Python importable under the names that Ansible gives it."""

from pathlib import Path

import ansible.module_utils
import pytest
from lsf_cluster import running

PROJECT = Path(__file__).parents[2]

ansible.module_utils.__path__ += [
    str(PROJECT / "plugins/module_utils"),
    *map(str, PROJECT.glob("roles/*/module_utils")),
]


@pytest.fixture(scope="module")
def lsf(tmp_path_factory):
    """A small LSF double on this machine, for the tests of one file."""
    with running(tmp_path_factory.mktemp("lsf")) as made:
        yield made
