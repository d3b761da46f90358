#!/usr/bin/env bash
# Says what the action caches under which keys. Inputs: CACHE, OPERATOR.
set -euo pipefail
workspace=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The harness runs as root, and what another user's tar restores is that user's.
if [ "${CACHE-}" != true ] || [ "$(id -u)" != 0 ]; then
    echo "cache=false" >>"$GITHUB_OUTPUT"
    exit
fi
hash() { cat "$@" | sha256sum | cut -c -16; }
components=trinity-e2e-components-$(hash "$workspace/harness/components/lock.toml")
{
    echo "cache=true"
    echo "components-path=${XDG_CACHE_HOME:-$HOME/.cache}/trinity-e2e"
    # Each release of the operator has an image of its own; the others are the same.
    echo "components-key=$components-$(tr -cd '[:alnum:].-' <<<"${OPERATOR:-pinned}")"
    echo "components-prefix=$components-"
    # Cargo.toml names the toolchain.
    echo "cargo-key=trinity-e2e-cargo-$(hash "$workspace/Cargo.toml" "$workspace/Cargo.lock")"
    echo "cargo-path<<end"
    echo "${CARGO_HOME:-$HOME/.cargo}/registry"
    echo "$workspace/target/release"
    echo "end"
} >>"$GITHUB_OUTPUT"
