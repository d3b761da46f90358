#!/usr/bin/env bash
# Says at once when worlds cannot be made on this machine, before half an hour is spent on building.
# The harness checks all of it again, and more, when it begins.
set -euo pipefail

refuse() {
    echo "::error title=trinity-e2e cannot run on this machine::$1"
    exit 1
}
container='on a runner of GitHub, run the job in container debian:12 with options "--privileged --cgroupns=host" and a volume at /var/lib/trinity-e2e'

# shellcheck source=/dev/null
. /etc/os-release
[ "$ID ${VERSION_ID-}" = "debian 12" ] || refuse "It needs Debian 12, and this is ${PRETTY_NAME-$ID}: $container."
[ "$(uname -m)" = x86_64 ] || refuse "It needs an x86_64 processor, and this is $(uname -m)."

as_root=()
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || refuse "It needs root, and this user may not become it: allow sudo without a password."
    as_root=(sudo)
fi

groups=/sys/fs/cgroup
"${as_root[@]}" test -w "$groups" || refuse "Control groups cannot be made below $groups: $container."
# Only below the root of the hierarchy does a group have this file; there, no controllers can be handed down.
[ ! -e "$groups/cgroup.events" ] || refuse "$groups is not the root of the control groups: the container lacks --cgroupns=host."

# The kernel does not stack overlayfs on overlayfs, which is what a container's own files are on.
layers() {
    local place=$2
    until [ -e "$place" ]; do place=$(dirname "$place"); done
    [ "$(stat --file-system --format %T "$place")" != overlayfs ] ||
        refuse "$2 is on overlayfs: mount a volume there, or set $1 to a folder on one."
}
layers TRINITY_STATE "${TRINITY_STATE:-/var/lib/trinity-e2e}"
layers XDG_CACHE_HOME "${XDG_CACHE_HOME:-$HOME/.cache}"
