//! The one way to run an external program: everything captured, secrets removed, a full story on failure.

use std::{ffi::OsStr, path::Path, process::Stdio, time::Instant};

use tokio::process::Command;

use crate::failure::{Failure, Result};

/// Bytes of output that an error quotes.
const QUOTE: usize = 4000;

/// An external command, to be run once.
#[derive(Debug)]
pub struct Run {
    command: Command,
    story: String,
    secrets: Vec<String>,
}

impl Run {
    /// A command with an empty argument list.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null()).kill_on_drop(true);
        Self { command, story: program.as_ref().to_string_lossy().into_owned(), secrets: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.story.push(' ');
        self.story.push_str(&arg.as_ref().to_string_lossy());
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// A value that must not appear in an error.
    #[must_use]
    pub fn secret(mut self, value: impl Into<String>) -> Self {
        self.secrets.push(value.into());
        self
    }

    /// Runs the command and returns its standard output.
    ///
    /// # Errors
    /// When it cannot be started or does not exit with 0: the command line, the status, the time it took and the end
    /// of its output, without secrets.
    pub async fn output(self) -> Result<Vec<u8>> {
        self.answer().await?
    }

    /// The same, with a refusal of the program itself as an answer. The outer error is that it did not run, or not to its end.
    ///
    /// # Errors
    /// When it cannot be started, or was killed.
    pub async fn answer(mut self) -> Result<Result<Vec<u8>>> {
        let attempted = format!("run `{}`", self.redact(&self.story));
        let begun = Instant::now();
        let output = self.command.output().await.map_err(|e| Failure::new(&attempted, e))?;
        if output.status.success() {
            return Ok(Ok(output.stdout));
        }
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(QUOTE)..]).into_owned();
        let seconds = begun.elapsed().as_secs_f64();
        let seen = format!("{} after {seconds:.1} s\n{}", output.status, self.redact(text.trim()));
        let failure = Failure::new(attempted, seen);
        if output.status.code().is_some() { Ok(Err(failure)) } else { Err(failure) }
    }

    /// Runs the command and returns its standard output as text, without white space around it.
    ///
    /// # Errors
    /// As [`Self::output`].
    pub async fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.output().await?).trim().to_owned())
    }

    fn redact(&self, text: &str) -> String {
        self.secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "[redacted]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_is_an_answer_and_a_death_is_none() {
        let shell = |script: &str| Run::new("sh").args(["-c", script]).answer();
        assert_eq!(shell("echo a").await.unwrap().unwrap(), b"a\n");
        assert!(shell("exit 3").await.unwrap().is_err());
        assert!(shell("kill -9 $$").await.is_err());
        assert!(Run::new("/nonexistent/program").answer().await.is_err());
    }

    #[tokio::test]
    async fn a_failure_tells_the_story_without_the_secret() {
        let failure = Run::new("sh").args(["-c", "echo got hunter2; exit 3"]).secret("hunter2").output().await;
        let text = failure.unwrap_err().to_string();
        assert!(text.contains("exit status: 3") && text.contains("got [redacted]"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
