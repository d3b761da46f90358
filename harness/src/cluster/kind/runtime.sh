#!/bin/sh
# OCI runtime for Docker, written by trinity-e2e (`e2e --fix-docker`); `trinity-e2e restore-docker` removes it.
# Processes of this machine cannot have CAP_SYS_RESOURCE, and runc refuses containers that shall have it, as privileged ones do.
# This takes that one capability out of what Docker asks for, and leaves the rest to runc.
set -eu
bundle= process= previous=
for argument in "$@"; do
    case $previous in
    --bundle | -b) bundle=$argument ;;
    --process | -p) process=$argument ;;
    esac
    case $argument in
    --bundle=*) bundle=${argument#*=} ;;
    --process=*) process=${argument#*=} ;;
    esac
    previous=$argument
done
for file in ${bundle:+"$bundle/config.json"} ${process:+"$process"}; do
    sed -i 's/"CAP_SYS_RESOURCE",//g; s/,"CAP_SYS_RESOURCE"//g; s/\["CAP_SYS_RESOURCE"\]/[]/g' "$file"
done
exec runc "$@"
