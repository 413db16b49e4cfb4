# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration: condarc files and CONDA_* variables, merged as conda does."""

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from .exceptions import ArgumentError, CondaError, CondaKeyError, CondaValueError, CustomValidationError

ROOT = Path(sys.prefix)
Config = Mapping[str, Any]
# What `conda config --show` knows; the type of a default is the type of the parameter (None: a boolean or nothing).
DEFAULTS: dict[str, Any] = {
    "add_pip_as_python_dependency": True,
    "always_yes": None,
    "auto_activate_base": True,
    "auto_update_conda": True,
    "changeps1": True,
    "channel_alias": "https://conda.anaconda.org",
    "channel_priority": "flexible",
    "channels": ["defaults"],
    "create_default_packages": [],
    "default_channels": ["https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r"],
    "env_prompt": "({default_env}) ",
    "envs_dirs": [],
    "notify_outdated_conda": True,
    "offline": False,
    "pkgs_dirs": [],
    "remote_connect_timeout_secs": 9.15,
    "remote_max_retries": 3,
    "remote_read_timeout_secs": 60.0,
    "report_errors": None,
    "show_channel_urls": None,
    "solver": "classic",
    "ssl_verify": True,
}
PRIORITIES = ("strict", "flexible", "disabled")


def _yaml() -> Any:
    from ruamel.yaml import YAML  # slow to import under emulation; without condarc files it is not needed

    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def read(path: Path) -> Any:
    """The mapping in a condarc file; comments stay with it when it is written again."""
    if not path.is_file():
        return {}
    from ruamel.yaml.error import YAMLError

    try:
        return _yaml().load(path.read_text()) or {}
    except YAMLError as error:
        raise CondaError(f"Unable to load configuration file.\n  path: {path}\n  reason: {error}") from error


def write(path: Path, data: Config) -> None:
    """Write a condarc file."""
    stream = io.StringIO()
    dump(data, stream)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stream.getvalue())
    except OSError as error:
        raise CondaError(f"Cannot write to condarc file at {path}\nCaused by {error!r}") from error


def dump(data: Config, stream: TextIO) -> None:
    """YAML as conda writes it."""
    _yaml().dump(data, stream)


def user_rc() -> Path:
    """~/.condarc."""
    return Path.home() / ".condarc"


def sources() -> dict[Path, Config]:
    """The files that exist, the weakest first."""
    places = [ROOT / ".condarc", Path.home() / ".conda/.condarc", user_rc()]
    places += [
        Path(os.environ[name]) / tail
        for name, tail in (("CONDA_PREFIX", ".condarc"), ("CONDARC", ""))
        if os.environ.get(name)
    ]
    return {path: read(path) for path in dict.fromkeys(places) if path.is_file()}


def merge(layers: Sequence[Config]) -> dict[str, Any]:
    """
    One configuration out of layers, the weakest first. Lists are joined, the strongest layer's entries first.

    >>> merge([{"channels": ["a", "b"], "offline": True}, {"channels": ["c", "a"]}])["channels"]
    ['c', 'a', 'b']
    """
    merged: dict[str, Any] = dict(DEFAULTS)
    for key, default in DEFAULTS.items():
        values = [layer[key] for layer in layers if layer.get(key) is not None]
        if values and isinstance(default, list):
            merged[key] = list(dict.fromkeys(str(item) for value in reversed(values) for item in value))
        elif values:
            merged[key] = values[-1]
    if merged["channel_priority"] not in PRIORITIES:
        _bad_priority(merged["channel_priority"], "<<merged>>")
    return merged


def load() -> dict[str, Any]:
    """The configuration that is in force."""
    environ = {key: os.environ[f"CONDA_{key.upper()}"] for key in DEFAULTS if os.environ.get(f"CONDA_{key.upper()}")}
    variables = {
        key: value.split(",") if isinstance(DEFAULTS[key], list) else parse(key, value)
        for key, value in environ.items()
    }
    return merge([*sources().values(), variables])


def parse(key: str, text: str) -> Any:
    """The value that a word stands for, if the parameter takes it."""
    if key not in DEFAULTS or isinstance(DEFAULTS[key], list):
        raise CondaValueError(f"Key '{key}' is not a known primitive parameter.")
    value = _yaml().load(text)
    default = DEFAULTS[key]
    if (default is None or isinstance(default, bool)) and key != "ssl_verify" and not isinstance(value, bool | None):
        raise CondaValueError(f"Parameter {key} = {text!r} declared in --set parameter is not a boolean.")
    if key == "channel_priority" and value not in PRIORITIES:
        _bad_priority(value, "--set parameter")
    return value


def _bad_priority(value: Any, source: str) -> None:
    raise CustomValidationError(
        f"Parameter channel_priority = {value!r} declared in {source} is invalid.\n{value!r} is not a valid ChannelPriority\n"
        f"Valid choices for channel_priority: {', '.join(map(repr, PRIORITIES))}"
    )


def edit(args: Any, path: Path) -> list[str]:
    """Carry out the changes that `conda config` was asked for; returns warnings."""
    # conda starts a user's first file from the installation's
    data = read(path) if path.exists() or path != user_rc() else read(ROOT / ".condarc")
    warnings = []
    for key, value, front in [*((k, v, True) for k, v in args.prepend), *((k, v, False) for k, v in args.append)]:
        if not isinstance(DEFAULTS.get(key), list):
            raise CondaValueError(f"Key '{key}' is not a known sequence parameter.")
        values = data.setdefault(key, list(DEFAULTS[key]))
        if value in values:
            warnings.append(f"Warning: {value!r} already in {key!r} list, moving to the {'top' if front else 'bottom'}")
            values.remove(value)
        values.insert(0 if front else len(values), value)
    for key, text in args.set:
        data[key] = parse(key, text)
    for key, value in args.remove:
        if value not in data.get(key, ()):
            raise CondaKeyError(f"{key!r}: {value!r} is not in the {key!r} key of the config file", key=key)
        data[key].remove(value)
    for key in args.remove_key:
        if key not in data:
            raise CondaKeyError(f"{key!r}: key {key!r} is not in the config file", key=key)
        del data[key]
    write(path, data)
    return warnings


def known(names: Sequence[str]) -> Sequence[str]:
    """The names, if all of them are parameters; without any, all parameters."""
    if unknown := [name for name in names if name not in DEFAULTS]:
        raise ArgumentError("Invalid configuration parameters:\n" + "".join(f"  - {name}\n" for name in unknown))
    return names or sorted(DEFAULTS)


def as_text(config: Config) -> Iterator[str]:
    """Lines as `conda config --show` prints them."""
    for key, value in config.items():
        if isinstance(value, list):
            yield f"{key}:" + ("" if value else " []")
            yield from (f"  - {item}" for item in value)
        else:
            yield f"{key}: {value}"
