"""Makes the project's plain Python importable under the names that Ansible gives it."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parents[2]


def _adopt(name: str, folder: Path) -> ModuleType:
    """Imports the package in ``folder`` as ``ansible.module_utils.NAME``, as a module on a target would."""
    full = f"ansible.module_utils.{name}"
    spec = spec_from_file_location(full, folder / "__init__.py", submodule_search_locations=[str(folder)])
    assert isinstance(spec, ModuleSpec)
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    return module


for package in PROJECT.glob("roles/*/module_utils/*/__init__.py"):
    _adopt(package.parent.name, package.parent)
