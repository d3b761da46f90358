//! Runs in the place of an image that nobody has, so that what depends on it can go on: takes connections on the ports of
//! `STAND_IN_PORTS` (numbers, with commas between them), and answers what was sent as a successful HTTP request. Without
//! ports it waits. With `STAND_IN_ENDS` it ends at once, as containers do that prepare something.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::ExitCode,
    thread,
};

use nix::sys::signal::{SigSet, Signal};

/// The answer to everything.
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 23\r\nconnection: close\r\n\r\n\
                      an image is substituted";

fn main() -> ExitCode {
    if env::var_os("STAND_IN_ENDS").is_some() {
        return ExitCode::SUCCESS;
    }
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("stand-in: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until somebody ends it: a container's first process hears no signal that it does not wait for.
fn serve() -> io::Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    signals.thread_block()?;
    let ports = env::var("STAND_IN_PORTS").unwrap_or_default();
    for port in ports.split(',').filter(|port| !port.is_empty()) {
        let port: u16 = port.parse().map_err(|_| io::Error::other(format!("{port} is no port")))?;
        let listener = TcpListener::bind(("0.0.0.0", port))?;
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| answer(stream)))));
    }
    signals.wait()?;
    Ok(())
}

/// Reads a request's head and answers. Somebody who speaks something else gets the same.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let head = BufReader::new(stream.try_clone()?).lines();
    head.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    stream.write_all(ANSWER.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_request_succeeds_and_says_what_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"GET /api/health HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        answer(listener.accept().unwrap().0).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains(&format!("content-length: {}", body.len())));
        assert_eq!(body, "an image is substituted");
    }
}
