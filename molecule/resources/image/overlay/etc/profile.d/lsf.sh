# As on real sites: LSF's commands are there for login shells, and for nobody else.
if [ -r /opt/lsf/conf/profile.lsf ]; then
    . /opt/lsf/conf/profile.lsf
fi
