# Lists the recipes.
default:
    @just --list --unsorted

# The main job: brings a world of each cloud up, judges the platform, reports and cleans up.
e2e *args:
    cargo run --release -- e2e {{args}}

# Everything that must pass in CI.
test *args:
    cargo run --release -- test {{args}}

# Checks this machine, changes nothing, and says what will work and what is to be done.
doctor:
    cargo run --release -- doctor

# Shows running and kept worlds, what killed runs have left, and how the last run went.
status:
    cargo run --release -- status

# Ends kept worlds and removes every trace of them.
down:
    cargo run --release -- down

# Removes what killed runs have left.
sweep:
    cargo run --release -- sweep

# Plays one cloud on the loopback, for example `just emulators --cloud gcp`.
emulators *args:
    cargo run --release -- emulators {{args}}

# How fast each emulator gives a secret, beside LocalStack and moto, and takes samples, beside Prometheus.
bench:
    cargo bench -p trinity-e2e

# Checks the workflows and the scripts of .github; needs Debian's shellcheck.
actionlint:
    go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
    shellcheck .github/*.sh
    python3 -m unittest discover --start-directory .github/tests --pattern '*_test.py'

# Checks all crates as deny.toml says; needs `cargo install cargo-deny --locked`, and GitHub for advisories. Where that cannot be reached: `just deny bans licenses sources`.
deny *checks:
    cargo deny --workspace check {{checks}}
