//! What the harness shows on its two outputs, the programs included that speak through it. It is remembered: what is shown
//! is searched for secret values like everything else that a run leaves behind.

use std::{
    io::{self, Write},
    process::{ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
};

use super::tree;

static SHOWN: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// Whether the standard output is for data, and what people read goes to the other one.
static FOR_DATA: AtomicBool = AtomicBool::new(false);

/// One of this process's outputs.
#[derive(Clone, Copy, Debug)]
pub enum Output {
    /// Results.
    Standard,
    /// Progress and errors.
    Error,
}

/// Everything that was shown until now.
pub fn shown() -> Vec<u8> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// From now on only [`data`] goes to the standard output.
pub fn keep_for_data() {
    FOR_DATA.store(true, Ordering::Relaxed);
}

/// Writes data to the standard output, for a program to read. It is searched for secret values where it was made.
///
/// # Errors
/// When it cannot be written: a program without it has nothing.
pub fn data(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.write_all(b"\n")).and_then(|()| output.flush())
}

/// Shows a line, or several, on the standard output.
pub fn print(text: impl AsRef<str>) {
    // Nobody may be listening any more, which is no reason to end a run.
    let _ = Output::Standard.write_all(format!("{}\n", text.as_ref()).as_bytes());
}

/// Runs a program to its end and shows what it says on both its outputs.
///
/// # Errors
/// When it cannot be started, or what it says cannot be read.
pub async fn show(command: &mut Command) -> io::Result<ExitStatus> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("it has no outputs"));
    };
    let said = async { tokio::try_join!(pass_on(stdout, Output::Standard), pass_on(stderr, Output::Error)) };
    let (status, said) = tokio::join!(child.wait(), said);
    said.and(status)
}

/// Shows what a program says, line by line, so that those of several programs do not mix.
///
/// # Errors
/// When it cannot be read.
async fn pass_on(program: impl AsyncRead + Unpin, mut output: Output) -> io::Result<()> {
    let mut lines = BufReader::new(program);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await? > 0 {
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        let _ = output.write_all(&line);
        line.clear();
    }
    Ok(())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SHOWN.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        let write = || match self {
            Self::Standard if !FOR_DATA.load(Ordering::Relaxed) => io::stdout().write_all(bytes),
            _ => io::stderr().write_all(bytes),
        };
        tree::above(write).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard => io::stdout().flush(),
            Self::Error => io::stderr().flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_shown_is_remembered() {
        print("a line of the harness");
        pass_on("lines\nof a program".as_bytes(), Output::Error).await.unwrap();
        let shown = String::from_utf8(shown()).unwrap();
        assert!(shown.contains("a line of the harness\n") && shown.contains("lines\nof a program"), "{shown}");
    }
}
