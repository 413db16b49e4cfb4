# SPDX-License-Identifier: GPL-3.0-or-later
"""Activation, `conda run` and `conda init`: what conda does to shells."""

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from . import MODERN, environment
from .condarc import AUTO_ACTIVATE, ROOT, Config
from .exceptions import ArgumentError, CondaError, EnvironmentLocationNotFound, EnvironmentNameNotFound

Variables = dict[str, str | None]  # None: unset
RC_FILES = {"bash": ".bashrc", "zsh": ".zshrc", "tcsh": ".tcshrc"}
# What `conda init` goes through; those for other shells are not here.
OURS = (
    "condabin/conda",
    "bin/conda",
    "bin/conda-env",
    "bin/activate",
    "bin/deactivate",
    "etc/profile.d/conda.sh",
    "etc/fish/conf.d/conda.fish",
    "shell/condabin/Conda.psm1",
    "shell/condabin/conda-hook.ps1",
    "lib/python3.11/site-packages/xontrib/conda.xsh",
    "etc/profile.d/conda.csh",
)


def activation(config: Config, prefix: Path, environ: Mapping[str, str]) -> tuple[Variables, list[Path]]:
    """The variables and the scripts of an environment's activation, on top of `environ`."""
    level, old = int(environ.get("CONDA_SHLVL") or 0), environ.get("CONDA_PREFIX")
    scripts = [*(_scripts(Path(old), "deactivate") if old else []), *_scripts(prefix, "activate")]
    variables = _entered(config, prefix, environ)
    if old != str(prefix):
        variables["CONDA_SHLVL"] = str(level + 1)
        if level and old:
            variables[f"CONDA_PREFIX_{level}"] = old
    return variables, scripts


def deactivation(config: Config, environ: Mapping[str, str]) -> tuple[Variables, list[Path]]:
    """The way back to the environment that was active before, or to none."""
    level, old = int(environ.get("CONDA_SHLVL") or 0), environ.get("CONDA_PREFIX")
    if not level or not old:
        return {}, []
    previous = environ.get(f"CONDA_PREFIX_{level - 1}")
    if previous:
        variables = _entered(config, Path(previous), environ) | {f"CONDA_PREFIX_{level - 1}": None}
    else:
        names = ("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_PROMPT_MODIFIER")
        variables = {**dict.fromkeys(names), "PATH": _path(environ, None), "PS1": _prompt(environ, "")}
    scripts = [*_scripts(Path(old), "deactivate"), *(_scripts(Path(previous), "activate") if previous else [])]
    return variables | {"CONDA_SHLVL": str(level - 1)}, scripts


def _entered(config: Config, prefix: Path, environ: Mapping[str, str]) -> Variables:
    name = environment.display_name(config, prefix)
    modifier = (
        config["env_prompt"].format(default_env=name, name=prefix.name, stacked_env="") if config["changeps1"] else ""
    )
    return {
        "PATH": _path(environ, prefix),
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": name,
        "CONDA_PROMPT_MODIFIER": modifier,
        "CONDA_EXE": str(ROOT / "bin/conda"),
        "CONDA_PYTHON_EXE": str(ROOT / "bin/python"),
        "PS1": _prompt(environ, modifier),
    }


def _path(environ: Mapping[str, str], prefix: Path | None) -> str:
    old = environ.get("CONDA_PREFIX")
    rest = [p for p in environ.get("PATH", "").split(":") if p and p != f"{old}/bin"]
    return ":".join([f"{prefix}/bin", *rest] if prefix else rest)


def _prompt(environ: Mapping[str, str], modifier: str) -> str | None:
    prompt = environ.get("PS1")
    if prompt is None:
        return None
    return modifier + prompt.replace(environ.get("CONDA_PROMPT_MODIFIER") or "\0", "", 1)


def _scripts(prefix: Path, kind: str) -> list[Path]:
    return sorted((prefix / f"etc/conda/{kind}.d").glob("*.sh"))


def posix(variables: Variables, scripts: Iterable[Path]) -> str:
    """The change in a Bourne shell's words."""
    lines = [f"export {k}={shlex.quote(v)}" for k, v in variables.items() if v is not None and k != "PS1"]
    lines += [f"unset {k}" for k, v in variables.items() if v is None and k != "PS1"]
    if variables.get("PS1") is not None:
        lines.append(f"PS1={shlex.quote(variables['PS1'])}")
    return "\n".join([*lines, *(f". {shlex.quote(str(script))}" for script in scripts)])


def csh(variables: Variables, _scripts: Iterable[Path]) -> str:
    """The change in a C shell's words; scripts for it do not occur here."""
    named = {k: v for k, v in variables.items() if k != "PS1"}
    return ";\n".join(f"unsetenv {k}" if v is None else f"setenv {k} {shlex.quote(v)}" for k, v in named.items())


def hook(config: Config, shell: str, words: list[str]) -> None:
    """`conda shell.SHELL hook|activate|deactivate|reactivate`: text for the shell to evaluate."""
    dialect = csh if shell in ("csh", "tcsh") else posix
    match words:
        case ["hook"]:
            print((ROOT / f"etc/profile.d/conda.{'csh' if dialect is csh else 'sh'}").read_text())
            if config[AUTO_ACTIVATE]:
                print("conda activate base")
        case ["activate", *names] if len(names) < 2:
            print(dialect(*activation(config, _wanted(config, names[0] if names else "base"), os.environ)))
        case ["deactivate"]:
            print(dialect(*deactivation(config, os.environ)))
        case ["reactivate"]:
            if prefix := os.environ.get("CONDA_PREFIX"):
                print(dialect(*activation(config, Path(prefix), os.environ)))
        case _:
            raise ArgumentError(f"unexpected words for a shell: {' '.join(words)}")


def _wanted(config: Config, name: str) -> Path:
    prefix = environment.locate(config, *((None, name) if "/" in name else (name, None)))
    if not (prefix / "conda-meta").is_dir():
        raise EnvironmentLocationNotFound(prefix) if "/" in name else EnvironmentNameNotFound(name)
    return prefix


def not_a_function(args: argparse.Namespace, _config: Config) -> None:
    """`conda activate` without the shell function; older conda does not know the command at all."""
    raise CondaError(f"Run 'conda init' before 'conda {args.command}'")


def run(args: argparse.Namespace, config: Config) -> int:
    """A command in an environment; its exit code is ours."""
    prefix = environment.existing(config, args.name, args.prefix)
    script = posix(*activation(config, prefix, os.environ)) + '\nexec "$@"\n'
    if args.cwd:
        os.chdir(args.cwd)
    code = os.spawnvp(os.P_WAIT, "sh", ["sh", "-c", script, "sh", *args.command_line])
    if code:
        command = " ".join(args.command_line)
        print(
            f"\nERROR conda.cli.main_run:execute({148 if MODERN else 49}): `conda run {command}` failed. (See above for error)",
            file=sys.stderr,
        )
    return code


def init(args: argparse.Namespace, _config: Config) -> None:
    """Write or take away the block in the shells' start files."""
    if unknown := set(args.shells) - RC_FILES.keys():
        known = ", ".join(map(repr, RC_FILES))
        error = f"argument SHELLS: invalid choice: {min(unknown)!r} (choose from {known})"
        print(f"usage: conda init [SHELLS ...]\nconda init: error: {error}", file=sys.stderr)
        raise SystemExit(2)
    for name in OURS:
        if not (MODERN and name == "bin/conda-env"):
            print(f"no change     {ROOT / name}")
    changed = [_init_file(Path.home() / RC_FILES[shell], shell, args) for shell in args.shells or ["bash"]]
    if not any(changed):
        print("No action taken.")
    elif MODERN and args.dry_run:
        print("\n==> DRY RUN: The above changes would have been made. NO ACTUAL CHANGES WERE MADE. <==\n")
    else:
        print("\n==> For changes to take effect, close and re-open your current shell. <==\n")


def _init_file(path: Path, shell: str, args: argparse.Namespace) -> bool:
    before = path.read_text() if path.is_file() else ""
    after = without_block(before) if args.reverse else with_block(before, block(shell))
    if after != before and not args.dry_run:
        path.write_text(after)
    print(f"{'modified ' if after != before else 'no change'}     {path}")
    return after != before


def with_block(text: str, new: str) -> str:
    """
    >>> with_block(with_block("a\\n", block("bash")), block("bash")) == with_block("a\\n", block("bash"))
    True
    """
    if BLOCK.search(text):
        return BLOCK.sub(lambda _: new, text)
    return f"{text}\n{new}\n" if text else f"{new}\n"


def without_block(text: str) -> str:
    """
    >>> without_block(with_block("a\\n", block("bash")))  # conda, too, leaves an empty line
    'a\\n\\n'
    """
    return re.sub(BLOCK.pattern + r"\n*", "", text, flags=re.DOTALL)


BLOCK = re.compile(r"# >>> conda initialize >>>\n.*?# <<< conda initialize <<<\n", re.DOTALL)


def block(shell: str) -> str:
    """The lines between conda's markers."""
    if shell == "tcsh":
        body = f'''if ( -f "{ROOT}/etc/profile.d/conda.csh" ) then
    source "{ROOT}/etc/profile.d/conda.csh"
else
    setenv PATH "{ROOT}/bin:$PATH"
endif
'''
    else:
        body = f'''__conda_setup="$('{ROOT}/bin/conda' 'shell.{shell}' 'hook' 2> /dev/null)"
if [ $? -eq 0 ]; then
    eval "$__conda_setup"
else
    if [ -f "{ROOT}/etc/profile.d/conda.sh" ]; then
        . "{ROOT}/etc/profile.d/conda.sh"
    else
        export PATH="{ROOT}/bin:$PATH"
    fi
fi
unset __conda_setup
'''
    return f"# >>> conda initialize >>>\n# !! Contents within this block are managed by 'conda init' !!\n{body}# <<< conda initialize <<<\n"
