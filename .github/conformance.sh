#!/usr/bin/env bash
# Runs e2e for the action. Inputs: PLATFORM, CLOUDS, OPERATOR, ARGS. Outputs: verdict, report, artifact.
# It succeeds when there is a verdict, whatever it is.
set -euo pipefail
workspace=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

base=$(mktemp -d "${RUNNER_TEMP:-/tmp}/trinity-e2e-XXXXXX")
arguments=(e2e --platform "$PLATFORM" --report "$base")
# Words apart from each other by any space or line; no quotes, and no patterns that the shell would resolve.
read -r -d '' -a clouds <<<"${CLOUDS-}" || true
read -r -d '' -a more <<<"${ARGS-}" || true
for cloud in "${clouds[@]}"; do arguments+=(--cloud "$cloud"); done
[ -z "${OPERATOR-}" ] || arguments+=(--operator "$OPERATOR")
arguments+=("${more[@]}")

as_root=()
# sudo has a PATH and a HOME of its own, which have no cargo.
[ "$(id -u)" = 0 ] || as_root=(sudo --preserve-env env "PATH=$PATH" "HOME=$HOME")
code=0
"${as_root[@]}" cargo run --release --locked --manifest-path "$workspace/Cargo.toml" -- "${arguments[@]}" || code=$?
"${as_root[@]}" chown -R "$(id -u):$(id -g)" "$base"

# The run has a folder of its own there.
found=$(find "$base" -mindepth 2 -maxdepth 2 -name report.json -print -quit)
report=$base
[ -z "$found" ] || report=$(dirname "$found")
# Two jobs of one workflow run need two names.
words=(trinity-e2e "${clouds[@]}" ${OPERATOR:+"$OPERATOR"})
name=$(IFS=- && tr -cd '[:alnum:].-' <<<"${words[*]}")
{
    echo "report=$report"
    echo "artifact=$name"
} >>"$GITHUB_OUTPUT"

# Other things end with these codes, too, cargo's own errors for one. Without a report there is no verdict.
case ${found:+there}$code in
    there0) verdict=passed ;;
    there1) verdict=failed ;;
    there2) verdict=unproven ;;
    *)
        echo "::error title=trinity-e2e has no verdict::It ended with code $code before it had one; its last lines say why."
        exit 1
        ;;
esac
echo "verdict=$verdict" >>"$GITHUB_OUTPUT"
