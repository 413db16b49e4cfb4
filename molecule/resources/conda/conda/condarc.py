# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration: condarc files and CONDA_* variables, merged as conda does."""

import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from . import MODERN
from .exceptions import ArgumentError, CondaError, CondaKeyError, CondaValueError, CustomValidationError

ROOT = Path(sys.prefix)
Config = Mapping[str, Any]
AUTO_ACTIVATE = "auto_activate" if MODERN else "auto_activate_base"
ALIASES = {"auto_activate_base": "auto_activate"} if MODERN else {}
# What `conda config --show` knows; the type of a default is the type of the parameter (None: a boolean or nothing).
DEFAULTS: dict[str, Any] = {
    "add_pip_as_python_dependency": True,
    "always_yes": None,
    AUTO_ACTIVATE: True,
    "auto_update_conda": True,
    "changeps1": True,
    "channel_alias": "https://conda.anaconda.org",
    "channel_priority": "flexible",
    "channels": [] if MODERN else ["defaults"],
    "create_default_packages": [],
    "default_channels": ["https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r"],
    "env_prompt": "({default_env}) ",
    "envs_dirs": [],
    "notify_outdated_conda": True,
    "offline": False,
    "pkgs_dirs": [],
    "proxy_servers": {},
    "register_envs": True,
    "remote_connect_timeout_secs": 9.15,
    "remote_max_retries": 3,
    "remote_read_timeout_secs": 60.0,
    "report_errors": None,
    "show_channel_urls": None,
    "solver": "rattler" if MODERN else "classic",
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
        names = [key, *(alias for alias, name in ALIASES.items() if name == key)]
        values = [layer[name] for layer in layers for name in names if layer.get(name) is not None]
        if values and isinstance(default, list):
            merged[key] = list(dict.fromkeys(str(item) for value in reversed(values) for item in value))
        elif values and isinstance(default, dict):
            merged[key] = {name: item for value in values for name, item in value.items()}
        elif values:
            merged[key] = values[-1]
    return merged


def load() -> dict[str, Any]:
    """The configuration that is in force."""
    variables = {}
    for name in (*DEFAULTS, *ALIASES):
        if value := os.environ.get(f"CONDA_{name.upper()}"):
            key = ALIASES.get(name, name)
            variables[key] = value.split(",") if isinstance(DEFAULTS[key], list) else parse(key, value)
    return merge([*sources().values(), variables])


def check(config: Config, source: str = "<<merged>>") -> None:
    """What older and newer conda look at before they solve, but not before they list."""
    if config.get("channel_priority", "strict") not in PRIORITIES:
        _bad_priority(config["channel_priority"], source)


def parse(key: str, text: str) -> Any:
    """The value that a word stands for, if the parameter takes it."""
    if key not in DEFAULTS and MODERN:
        print(f"Unknown key: {key!r}", file=sys.stderr)
        raise CondaKeyError(f"{key!r}: unknown parameter", key=key)
    if isinstance(DEFAULTS.get(key, []), list | dict):
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
        f"Valid choices for channel_priority: {', '.join(map(repr, PRIORITIES))}",
        parameter_name="channel_priority",
        parameter_value=value,
        source=source,
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
    for name, text in args.set:
        if (key := ALIASES.get(name, name)) != name:
            logged = f"Key {name} is an alias of {key}; setting value with latter"
            print(f"WARNING conda.cli.condarc:set_key(521): {logged}", file=sys.stderr)
        data[key] = parse(key, text)
    for key, value in args.remove:
        if value not in data.get(key, ()):
            new, old = (
                f"value {value!r} not present in config",
                f"{value!r} is not in the {key!r} key of the config file",
            )
            raise CondaKeyError(f"{key!r}: {new if MODERN else old}", key=key)
        data[key].remove(value)
    for key in args.remove_key:
        if key not in data:
            raise CondaKeyError(f"{key!r}: key {key!r} is not in the config file", key=key)
        del data[key]
    write(path, data)
    return warnings


def known(names: Sequence[str]) -> Sequence[str]:
    """The names, if all of them are parameters; without any, all parameters."""
    names = [ALIASES.get(name, name) for name in names]
    if unknown := [name for name in names if name not in DEFAULTS]:
        raise ArgumentError("Invalid configuration parameters:\n" + "".join(f"  - {name}\n" for name in unknown))
    return names or sorted(DEFAULTS)


def as_text(config: Config) -> Iterator[str]:
    """Lines as `conda config --show` prints them."""
    for key, value in config.items():
        if isinstance(value, list):
            yield f"{key}:" + ("" if value else " []")
            yield from (f"  - {item}" for item in value)
        elif isinstance(value, dict):
            yield f"{key}:" + ("" if value else " {}")
            yield from (f"  {name}: {item}" for name, item in value.items())
        else:
            yield f"{key}: {value}"
