//! sd_notify(3): a process says that it is ready.

use std::{os::unix::net::UnixDatagram, path::Path};

/// Sends `READY=1` to `$NOTIFY_SOCKET`; when there is none, nobody wants to know.
///
/// # Errors
/// When the socket does not take it.
pub fn ready() -> std::io::Result<()> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(path) => UnixDatagram::unbound()?.send_to(b"READY=1", Path::new(&path)).map(|_| ()),
        None => Ok(()),
    }
}
