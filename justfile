# Lists the recipes.
default:
    @just --list --unsorted

# The main job: brings a world up, judges the platform, reports and cleans up.
e2e *args:
    cargo run --release -- e2e {{args}}

# Everything that must pass in CI.
test *args:
    cargo run --release -- test {{args}}

# Ends kept worlds and removes every trace of them.
down:
    cargo run --release -- down

# Removes what killed runs have left.
sweep:
    cargo run --release -- sweep
