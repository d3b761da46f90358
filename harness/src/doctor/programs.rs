//! The programs of the machine.

use nix::unistd::geteuid;

use super::line::{Line, State, told};
use crate::{
    command::Run,
    components::{Store, debian},
};

/// The Rust that builds this workspace.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// A program: its name, what makes it tell its version, whether the main job needs it, and what follows when it is not there.
const PROGRAMS: [(&str, &str, bool, &str); 5] = [
    ("cargo", "--version", true, "the suites cannot be compiled: install Rust"),
    ("cc", "--version", true, "the suites cannot be linked: install gcc and libc6-dev"),
    ("git", "--version", true, "no platform can be served: install git"),
    ("go", "version", false, "what no cache, mirror or release has cannot be built: install Go 1.21 or later"),
    (
        "python3",
        "--version",
        false,
        "`test` cannot install LocalStack and the clouds' SDKs: install Python 3 with venv",
    ),
];

/// What is to be said of them.
pub async fn lines(store: &Store) -> Vec<Line> {
    let mut lines = Vec::new();
    for (name, version, needed, follows) in PROGRAMS {
        let line = match Run::new(name).arg(version).text().await {
            Ok(text) => Line::needed(name, State::Ok, text.lines().next().unwrap_or_default()),
            Err(_) => Line::needed(name, State::Missing, follows),
        };
        lines.push(Line { needed, ..line });
    }
    lines.push(rust(&Run::new("rustc").arg("--version").text().await.unwrap_or_default()));
    lines.push(packages(store).await);
    lines
}

/// Whether programs of this name are there.
pub async fn there(name: &str) -> bool {
    match PROGRAMS.iter().find(|(program, ..)| *program == name) {
        Some((_, version, ..)) => Run::new(name).arg(version).output().await.is_ok(),
        None => false,
    }
}

/// Judges what rustc says of its version.
fn rust(said: &str) -> Line {
    let number = said.split(' ').nth(1).unwrap_or_default();
    let version = |text: &str| -> Vec<u64> { text.split(['.', '-']).map_while(|part| part.parse().ok()).collect() };
    match number {
        "" => Line::needed("rustc", State::Missing, format!("the suites cannot be compiled: install Rust {RUST}")),
        _ if version(number) < version(RUST) => {
            Line::needed("rustc", State::Unusable, format!("{number} is older than {RUST}, which the suites need"))
        }
        _ => Line::needed("rustc", State::Ok, said),
    }
}

async fn packages(store: &Store) -> Line {
    let what = "Debian packages";
    match debian::missing(&store.lock.debian).await {
        Ok(missing) if missing.is_empty() => {
            Line::needed(what, State::Ok, format!("all {} are installed", store.lock.debian.packages.len()))
        }
        Ok(missing) if geteuid().is_root() => {
            Line::optional(what, State::Missing, format!("the first run installs {}", missing.join(" ")))
        }
        Ok(missing) => Line::needed(what, State::Missing, format!("as root, `apt-get install {}`", missing.join(" "))),
        Err(failure) => Line::needed(what, State::Unusable, told(&failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_rust_is_not_usable() {
        assert_eq!(rust(&format!("rustc {RUST}.0 (hash date)")).state, State::Ok);
        assert_eq!(rust("rustc 9.0.0-nightly (hash date)").state, State::Ok);
        assert_eq!(rust("rustc 1.9.0 (hash date)").state, State::Unusable);
        assert_eq!(rust("").state, State::Missing);
    }
}
