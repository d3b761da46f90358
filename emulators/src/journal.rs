//! The record of every request that the gateway has answered: one JSON line each, without bodies and credentials.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Attempt, Result};

/// One line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// When the answer was ready.
    pub time: Timestamp,
    /// Host name the client asked for.
    pub host: String,
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Time to answer.
    pub milliseconds: u64,
    /// What else is to be said.
    #[serde(flatten)]
    pub note: Note,
}

/// What a virtual host says about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// API action, for example `sts:AssumeRoleWithWebIdentity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who called: a token's subject or a session's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The cloud's error code when it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it refused, more exactly than a cloud tells its callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// True when the administrator of the cloud made this call: the harness and its suites, never the platform.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub administrator: bool,
    /// True when the harness made this call, to see it refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// True when the platform should not have made this call at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finding: bool,
}

impl Note {
    /// A call that nothing on this platform should make.
    pub fn finding(reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), finding: true, ..Self::default() }
    }
}

/// The journal's file, open for appending.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file =
            File::options().create(true).append(true).open(path).attempting(|| format!("open {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file) })
    }

    /// Appends a line. A journal that cannot be written must not stop the traffic it describes, so it is only said.
    pub fn append(&self, line: &Line) {
        // One write: whoever reads meanwhile sees whole lines.
        let written =
            serde_json::to_string(line).map_err(std::io::Error::other).and_then(|text| match self.file.lock() {
                Ok(mut file) => file.write_all(format!("{text}\n").as_bytes()),
                Err(e) => Err(std::io::Error::other(e.to_string())),
            });
        if let Err(e) = written {
            tracing::error!("could not write {}: {e}", self.path.display());
        }
    }
}

/// Reads a journal's lines.
///
/// # Errors
/// When the file cannot be read or a line is none of a journal.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let text = std::fs::read_to_string(path).attempting(|| format!("read {}", path.display()))?;
    text.lines()
        .map(|line| serde_json::from_str(line).attempting(|| format!("understand a line of {}", path.display())))
        .collect()
}
