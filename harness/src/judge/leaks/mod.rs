//! Secret values that have got out: all that a world leaves behind is searched for them, whatever their form.

pub mod needle;
pub mod places;
pub mod scanner;
pub mod sentinel;
pub mod sources;
pub mod unpack;

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
};

use needle::Needles;
use scanner::{Leak, Places, Scanner};

use super::verdict::{Outcome, Verdict};
use crate::failure::Result;

/// How a value may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As it is.
    Plain,
    /// RFC 4648 section 4, at any alignment.
    Base64,
    /// RFC 4648 section 5, at any alignment.
    Base64Url,
    /// Two digits for each byte, lower or upper case.
    Hex,
    /// Percent-encoded, as in URLs and forms.
    Url,
    /// As in a JSON string.
    Json,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
            Self::Hex => "hex",
            Self::Url => "URL-encoded",
            Self::Json => "JSON-escaped",
        })
    }
}

/// A secret value in an artifact. Neither the value nor what stands around it is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Find {
    /// Where.
    pub artifact: String,
    /// Offset of the first place (bytes).
    pub offset: u64,
    /// Number of places.
    pub places: u64,
    /// For example `base64` or `plain in gzip`.
    pub form: String,
    /// Name of the value.
    pub value: String,
}

impl fmt::Display for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { artifact, offset, places, form, value } = self;
        write!(f, "the secret value {value} is in {artifact}, at byte {offset}, {form}")?;
        if *places > 1 { write!(f, " (and in {} more places of it)", places - 1) } else { Ok(()) }
    }
}

/// What a search has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// Artifacts that were searched.
    pub artifacts: u64,
    /// Their bytes, before anything was unpacked.
    pub bytes: u64,
    /// What was found.
    pub finds: Vec<Find>,
    /// What could not be searched, or not to its end, and why.
    pub missed: Vec<String>,
}

impl Searched {
    /// A find fails, and so does what could not be searched: about it nothing is known.
    pub fn outcome(mut self) -> Outcome {
        self.finds.sort();
        self.missed.sort();
        let (finds, missed) = (&self.finds, &self.missed);
        let mut lines: Vec<String> = finds.iter().map(ToString::to_string).collect();
        lines.extend(missed.iter().map(|missed| format!("not searched: {missed}")));
        if !finds.is_empty() {
            lines.push("  next: find out who wrote it there, and rotate the value".into());
        }
        if lines.is_empty() { Outcome::Passed } else { Outcome::Failed(lines.join("\n")) }
    }
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} artifacts, {:.1} MB", self.artifacts, self.bytes as f64 / 1e6)
    }
}

/// The verdict on a search. One that could not be made is no pass.
pub fn verdict(searched: Result<Searched>) -> Verdict {
    let claim = "no secret value is outside of where it belongs";
    match searched {
        Ok(searched) => {
            let extent = searched.to_string();
            Verdict::new("leaks", claim, searched.outcome()).noting(extent)
        }
        // What could not be searched has shown nothing.
        Err(failure) => Verdict::new("leaks", claim, Outcome::Unproven(failure.to_string())),
    }
}

/// A search for secret values in many artifacts, which may come from several threads.
#[derive(Clone, Debug)]
pub struct Search {
    needles: Arc<Needles>,
    searched: Arc<Mutex<Searched>>,
}

impl Search {
    /// For what [`scanner::needles`] has made.
    pub fn new(needles: Arc<Needles>) -> Self {
        Self { needles, searched: Arc::default() }
    }

    /// Searches an artifact.
    pub fn bytes(&self, artifact: &str, bytes: &[u8]) {
        self.read(artifact, bytes);
    }

    /// Searches an artifact to its end, and its name; one that cannot be read is missed.
    pub fn read(&self, artifact: &str, reader: impl Read) {
        let mut name = Scanner::new(self.needles.clone());
        // A scanner takes everything.
        drop(name.write_all(artifact.as_bytes()));
        let in_name = name.end().leaks;
        let artifact = if in_name.is_empty() { artifact } else { "an artifact whose name is not shown, or the name" };
        self.content(artifact, reader);
        self.note(artifact, in_name);
    }

    fn content(&self, artifact: &str, mut reader: impl Read) {
        let mut scanner = Scanner::new(self.needles.clone());
        let mut buffer = vec![0; 64 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => drop(scanner.write_all(&buffer[..read])),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.missed(artifact, e);
                    break;
                }
            }
        }
        let seen = scanner.end();
        let mut searched = self.lock();
        searched.artifacts += 1;
        searched.bytes += seen.bytes;
        searched.missed.extend(seen.cut.into_iter().map(|cut| format!("{artifact}: {cut}")));
        drop(searched);
        self.note(artifact, seen.leaks);
    }

    fn note(&self, artifact: &str, leaks: BTreeMap<Leak, Places>) {
        let find = |((value, form), places): (Leak, Places)| {
            let (artifact, offset, places) = (artifact.into(), places.first, places.count);
            Find { artifact, offset, places, form, value }
        };
        self.lock().finds.extend(leaks.into_iter().map(find));
    }

    /// Says that an artifact, or a part of it, cannot be searched.
    pub fn missed(&self, artifact: &str, why: impl fmt::Display) {
        self.lock().missed.push(format!("{artifact}: {why}"));
    }

    /// What it has come to.
    pub fn end(&self) -> Searched {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Searched> {
        self.searched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
