# `conda` as a function of sh, bash and zsh: activation changes the shell itself, the rest is the program's.
export CONDA_EXE='@PREFIX@/bin/conda'
export CONDA_PYTHON_EXE='@PREFIX@/bin/python'

__conda_activate() {
    \local ask_conda
    ask_conda="$(PS1="${PS1-}" "$CONDA_EXE" shell.posix "$@")" || \return
    \eval "$ask_conda"
    \hash -r
}

conda() {
    case "${1-}" in
    activate | deactivate) __conda_activate "$@" ;;
    install | update | upgrade | remove | uninstall)
        "$CONDA_EXE" "$@" || \return
        __conda_activate reactivate
        ;;
    *) "$CONDA_EXE" "$@" ;;
    esac
}

if [ -z "${CONDA_SHLVL+x}" ]; then
    export CONDA_SHLVL=0
    export PATH="@PREFIX@/condabin:$PATH"
fi
