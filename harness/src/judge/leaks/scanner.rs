//! The search itself: a stream of bytes goes in, what leaks comes out. Compressed content is unpacked on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    needle::Needles,
    unpack::{Kind, MAGICS, Unpacker},
};
use crate::failure::Result;

/// Bytes that are collected before they are searched.
const BLOCK: usize = 64 << 10;
/// Compressed content within compressed content is followed so deep.
const DEPTH: usize = 6;
/// Streams that are unpacked at once, within one of them.
const STREAMS: usize = 32;
/// Bytes that one artifact may have when it is unpacked.
const UNPACKED: u64 = 256 << 20;

/// A leak, described without showing any of it: name of the value and form, for example `base64 in gzip`.
pub type Leak = (String, String);

/// The places of a leak in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Offset of the first one.
    pub first: u64,
    /// Offset of the last one.
    pub last: u64,
    /// How many there are.
    pub count: u64,
}

/// What the search of one artifact found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where each is.
    pub leaks: BTreeMap<Leak, Places>,
    /// What was not searched, because of a bound.
    pub cut: BTreeSet<String>,
    /// Bytes that went in.
    pub bytes: u64,
}

/// The search of one artifact, or of what was unpacked from it. It never fails as a writer.
#[derive(Debug)]
pub struct Scanner {
    needles: Arc<Needles>,
    seen: Seen,
    /// What may still be part of a leak, and its place in the stream.
    buffer: Vec<u8>,
    start: u64,
    /// Everything in the buffer before it is searched.
    searched: usize,
    unpackers: Vec<Unpacker>,
    depth: usize,
    /// Bytes that may still be unpacked, of the artifact as a whole.
    left: Arc<AtomicU64>,
}

impl Scanner {
    /// A search for these needles, which [`needles`] has made.
    pub fn new(needles: Arc<Needles>) -> Self {
        Self::within(needles, 0, Arc::new(UNPACKED.into()))
    }

    fn within(needles: Arc<Needles>, depth: usize, left: Arc<AtomicU64>) -> Self {
        Self {
            needles,
            seen: Seen::default(),
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            unpackers: Vec::new(),
            depth,
            left,
        }
    }

    /// Ends the search.
    pub fn end(&mut self) -> Seen {
        self.search(true);
        for unpacker in std::mem::take(&mut self.unpackers) {
            self.collect(unpacker);
        }
        std::mem::take(&mut self.seen)
    }

    /// Whether it may still take what is unpacked.
    pub fn has_room(&self) -> bool {
        self.depth == 0 || self.left.load(Ordering::Relaxed) > 0
    }

    fn search(&mut self, last: bool) {
        let margin = self.needles.margin();
        let limit = if last { self.buffer.len() } else { self.buffer.len().saturating_sub(margin) };
        let (needles, mut from) = (self.needles.clone(), self.searched);
        while from < limit {
            let Some(at) = needles.next(&self.buffer, from).filter(|at| *at < limit) else { break };
            for hit in needles.leaks(&self.buffer, at) {
                let place = self.start + hit.at as u64;
                let none = Places { first: place, last: place, count: 0 };
                let places = self.seen.leaks.entry((hit.value.into(), hit.form.to_string())).or_insert(none);
                // The same place may have several anchors.
                places.count += u64::from(places.count == 0 || place != places.last);
                places.last = place;
            }
            self.unpack(at);
            from = at + 1;
        }
        self.searched = limit.max(self.searched);
        let done = self.searched.saturating_sub(margin);
        self.buffer.drain(..done);
        self.start += done as u64;
        self.searched -= done;
    }

    /// Begins to unpack what begins here, if anything does.
    fn unpack(&mut self, at: usize) {
        let Some(kind) = Kind::of(&self.buffer[at..]) else { return };
        let mut cut = |what: String| {
            self.seen.cut.insert(what);
        };
        if self.depth == DEPTH {
            return cut(format!("{kind} content inside {DEPTH} others is not unpacked"));
        }
        if self.unpackers.len() == STREAMS {
            return cut(format!("of the streams that overlap, only {STREAMS} are unpacked"));
        }
        let inside = Self::within(self.needles.clone(), self.depth + 1, self.left.clone());
        match Unpacker::new(kind, self.start + at as u64, inside) {
            Ok(mut unpacker) => match unpacker.feed(&self.buffer[at..]) {
                true => self.unpackers.push(unpacker),
                false => self.collect(unpacker),
            },
            Err(e) => cut(format!("{kind} content is not unpacked: {e}")),
        }
    }

    /// Takes over what an unpacker has found.
    fn collect(&mut self, unpacker: Unpacker) {
        let (kind, at) = (unpacker.kind(), unpacker.at());
        let inside = unpacker.end();
        for ((value, form), places) in inside.leaks {
            let none = Places { first: at, last: at, count: 0 };
            let entry = self.seen.leaks.entry((value, format!("{form} in {kind}"))).or_insert(none);
            entry.count += places.count;
        }
        self.seen.cut.extend(inside.cut);
    }

    /// How many of these bytes may come in.
    fn admit(&mut self, bytes: usize) -> usize {
        if self.depth == 0 {
            return bytes;
        }
        let left = self.left.load(Ordering::Relaxed);
        let admitted = left.min(bytes as u64);
        // One thread searches an artifact.
        self.left.store(left - admitted, Ordering::Relaxed);
        if admitted < bytes as u64 {
            self.seen.cut.insert(format!("no more than {} MiB of unpacked content are searched", UNPACKED >> 20));
        }
        usize::try_from(admitted).unwrap_or(bytes)
    }
}

/// What is searched for: these values with their names, and where compressed content begins.
///
/// # Errors
/// When the automaton cannot be built.
pub fn needles(values: impl IntoIterator<Item = (String, String)>) -> Result<Arc<Needles>> {
    Ok(Arc::new(Needles::new(values, &MAGICS)?))
}

impl Write for Scanner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len();
        let bytes = &bytes[..self.admit(taken)];
        self.seen.bytes += bytes.len() as u64;
        for mut unpacker in std::mem::take(&mut self.unpackers) {
            match unpacker.feed(bytes) {
                true => self.unpackers.push(unpacker),
                false => self.collect(unpacker),
            }
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() - self.searched >= BLOCK {
            self.search(false);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
