//! A Unix socket in front of a TCP port: how worlds, each in a network of its own, share one server and nothing else.

use std::{net::SocketAddr, path::Path};

use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixListener},
};
use trinity_emulators::notify;

use crate::failure::{Attempt, Result};

/// Passes every connection to `socket` on to `server`, until the process ends. `READY=1` goes to `$NOTIFY_SOCKET`.
///
/// # Errors
/// When the socket cannot be made.
pub async fn run(socket: &Path, server: SocketAddr) -> Result<()> {
    let listener = UnixListener::bind(socket).attempting(|| format!("listen on {}", socket.display()))?;
    notify::ready().attempting(|| "say that the relay is ready".into())?;
    loop {
        let (mut near, _) = listener.accept().await.attempting(|| format!("accept on {}", socket.display()))?;
        tokio::spawn(async move {
            // Whoever called sees the connection end, and calls again.
            if let Ok(mut far) = TcpStream::connect(server).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
