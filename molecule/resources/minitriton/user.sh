# Runs as root on a node, given to `sh -s` by `podman exec`: user.sh make NAME PROJECT KEY | stop NAME | wipe NAME
# /home, /scratch and the account database are shared, so one node does for `make` and `wipe`; `stop` is asked of every node.
set -eu
database=/var/lib/extrausers
action=$1
name=$2

# Passed by id, never by name: what is listed is what is ended.
signal_all() {
    for pid in $(ps -o pid= -u "$name"); do
        kill "-$1" "$pid" 2> /dev/null || true    # gone in between
    done
}

case $action in
    make)
        project=$3
        key=$4
        exec 9> "$database/lock"
        flock 9
        if ! grep -q "^$name:" "$database/passwd"; then
            id=$(awk -F: 'BEGIN { last = 5000 } $3 > last { last = $3 } END { print last + 1 }' "$database/passwd")
            echo "$name:x:$id:" >> "$database/group"
            echo "$name:*:19000:0:99999:7:::" >> "$database/shadow"    # no password: a key only
            echo "$name:x:$id:$id:$name of Mini-Triton:/home/$name:/bin/bash" >> "$database/passwd"
        fi
        # Beside, then renamed: a home is there as a whole or not at all.
        if [ ! -d "/home/$name" ]; then
            fresh=/home/.$name.new
            rm -rf "$fresh"
            cp -r /etc/skel "$fresh"
            mkdir -m 0700 "$fresh/.ssh"
            echo "$key" > "$fresh/.ssh/authorized_keys"
            chmod 0600 "$fresh/.ssh/authorized_keys"
            chmod 0711 "$fresh"    # an environment in it may be shared by its path; the rest is nobody's to list
            chown -R "$name:$name" "$fresh"
            mv "$fresh" "/home/$name"
        fi
        mkdir -p "/scratch/$project"
        [ -d "/scratch/$project/$name" ] || install -d -m 0700 -o "$name" -g "$name" "/scratch/$project/$name"
        ;;
    stop)
        getent passwd "$name" > /dev/null || exit 0
        signal_all TERM
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            [ -n "$(ps -o pid= -u "$name")" ] || break
            sleep 0.5
        done
        signal_all KILL
        find /tmp /var/tmp /dev/shm -mindepth 1 -user "$name" -prune -exec rm -rf {} +
        ;;
    wipe)
        rm -rf "/home/${name:?}" "/home/.${name:?}.new" /scratch/*/"${name:?}"
        ;;
esac
