"""Makes the project's plain Python importable under the names that Ansible gives it."""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parents[2]


def _adopt(name: str, file: Path, folders: list[str] | None = None) -> ModuleType:
    """Imports ``file`` as ``ansible.module_utils.NAME``, as a module on a target would; a package has ``folders``."""
    full = f"ansible.module_utils.{name}"
    spec = spec_from_file_location(full, file, submodule_search_locations=folders)
    assert isinstance(spec, ModuleSpec)
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[full] = module
    spec.loader.exec_module(module)
    return module


for package in PROJECT.glob("roles/*/module_utils/*/__init__.py"):
    _adopt(package.parent.name, package, [str(package.parent)])
for file in PROJECT.glob("plugins/module_utils/*.py"):
    _adopt(file.stem, file)
