//! What a running command tells on its standard error: one line per step, with the time since the start;
//! on a terminal the tree of the phases below them, too.

use std::{fmt, time::Instant};

use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

use super::{screen::Screen, terminal::Output, tree};

/// Shows steps, and with `verbose` what happens in between. `RUST_LOG` chooses exactly.
pub fn show(verbose: bool) {
    // The client library reports every refused request as an error; a step that waits for the refusals to end says so.
    let filter = if verbose { "info,trinity_e2e=debug,trinity_emulators=debug" } else { "info,kube_client=off" };
    let screen = Screen::find();
    if screen != Screen::Lines {
        tree::show();
    }
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter)))
        .with_timer(Elapsed(Instant::now()))
        .with_ansi(screen == Screen::Coloured)
        .with_target(false)
        .with_level(false)
        .with_writer(|| Output::Error)
        .init();
}

/// Seconds since the start, right-aligned so that the texts are.
struct Elapsed(Instant);

impl FormatTime for Elapsed {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:7.1} s ", self.0.elapsed().as_secs_f64())
    }
}
