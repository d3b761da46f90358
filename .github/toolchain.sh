#!/usr/bin/env bash
# Gets what builds the harness, as far as it is not there: a C compiler, Git, Python, Go, and the Rust that Cargo.toml names.
# Arguments: components of the Rust toolchain beside the minimal ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
install() {
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

packages=(ca-certificates curl gcc git libc6-dev python3 zstd)
dpkg --status "${packages[@]}" >/dev/null 2>&1 || install "${packages[@]}"

if ! command -v go >/dev/null; then
    # Go 1.21 and later fetch the release that a component's go.mod names; bookworm's own cannot.
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main" |
        "${as_root[@]}" tee /etc/apt/sources.list.d/bookworm-backports.list
    install --target-release bookworm-backports golang-go
fi

rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
bin=${CARGO_HOME:-$HOME/.cargo}/bin
export PATH="$bin:$PATH"
if ! command -v rustup >/dev/null; then
    folder=$(mktemp -d)
    curl --proto '=https' --tlsv1.2 --silent --show-error --fail --retry 3 --output "$folder/rustup-init" \
        https://static.rust-lang.org/rustup/archive/1.28.2/x86_64-unknown-linux-gnu/rustup-init
    echo "20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c $folder/rustup-init" | sha256sum --check --quiet
    chmod +x "$folder/rustup-init"
    "$folder/rustup-init" -y --quiet --no-modify-path --profile minimal --default-toolchain "$rust"
    rm -r "$folder"
fi
rustup toolchain install "$rust" --no-self-update --profile minimal "${@/#/--component=}"

# For the steps that follow; a machine's own default toolchain stays what it is.
echo "$bin" >>"${GITHUB_PATH:-/dev/null}"
echo "rust=$rust" >>"${GITHUB_OUTPUT:-/dev/null}"
