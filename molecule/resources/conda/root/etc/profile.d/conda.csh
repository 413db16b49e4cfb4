# `conda` for csh and tcsh: an alias that sources this file with the words of the command.
if ("`alias conda`" == "") then
    setenv CONDA_EXE "@PREFIX@/bin/conda"
    setenv CONDA_PYTHON_EXE "@PREFIX@/bin/python"
    alias conda source "@PREFIX@/etc/profile.d/conda.csh"
    if (! $?CONDA_SHLVL) then
        setenv CONDA_SHLVL 0
        setenv PATH "@PREFIX@/condabin:$PATH"
    endif
else if ($#argv > 0) then
    switch ("$1")
    case "activate":
    case "deactivate":
        set ask_conda="`"$CONDA_EXE" shell.csh $argv[*]`"
        if ($status == 0) then
            eval "$ask_conda"
            rehash
        endif
        unset ask_conda
        breaksw
    default:
        "$CONDA_EXE" $argv[*]
        breaksw
    endsw
endif
