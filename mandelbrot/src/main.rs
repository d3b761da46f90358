//! The command line.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc, thread::available_parallelism};

use clap::Parser;
use mandelbrot::{metrics::Metrics, server};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// Draws the Mandelbrot set, and counts what it has drawn.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Where to listen.
    #[arg(long, env = "MANDELBROT_ADDRESS", default_value = "0.0.0.0:8080")]
    address: SocketAddr,
}

fn main() -> ExitCode {
    match run(Cli::parse().address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(address: SocketAddr) -> io::Result<()> {
    // More pictures at once than processors would only take more memory: they wait for their turn.
    let drawers = available_parallelism()?.get();
    let runtime = Builder::new_multi_thread().enable_all().max_blocking_threads(drawers).build()?;
    let served = runtime.block_on(async {
        // As a container's first process it would ignore the signal without a handler.
        let mut told = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| io::Error::new(e.kind(), format!("could not listen on {address}: {e}")))?;
        println!("listening on {}", listener.local_addr()?);
        server::serve(listener, Arc::new(Metrics::default()), async move {
            told.recv().await;
        })
        .await
    });
    // A picture that nobody waits for any more is not finished.
    runtime.shutdown_background();
    served
}
