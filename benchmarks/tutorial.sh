#!/bin/bash
# shellcheck disable=SC1090,SC2086 # it's a script on the node; a list of words
# The tutorial's own commands for conda, as somebody would type them: `bash -s INSTALLER_URL CHANNEL PACKAGE...` on a login node.
# Two differences. Its `conda update conda` is left out, since the roles don't do it either unless asked to; and --override-channels
# keeps `defaults`, which these containers can't reach, out of the one command that would ask for it.
set -eu
url=$1 channel=$2
shift 2
packages=$*
set --    # `activate` would take our words for its own

mkdir -p ~/src ~/local
cd ~/src
wget -q "$url"
sha256sum ./*.sh
bash ./*.sh -bfp ~/local/miniconda3
set +u
. ~/local/miniconda3/bin/activate
conda init
conda config --set auto_activate_base false
conda config --add channels "$channel"
conda create -n myenv --override-channels -c "$channel" -y $packages
conda env list
conda activate myenv
which python
