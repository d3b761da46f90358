//! What is searched for: every secret value in every form that it may have on its way out.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::Form;
use crate::failure::{Attempt, Result};

/// Characters of a value that are a leak: any so many in a row. A shorter value counts as a whole.
pub const LEAST: usize = 12;

/// All needles, and the automaton that finds where one may be.
#[derive(Debug)]
pub struct Needles {
    needles: Vec<Needle>,
    anchors: Vec<Anchor>,
    automaton: AhoCorasick,
}

/// One value in one form, in pieces: a piece is a character of the value, or one of its base64.
#[derive(Debug)]
struct Needle {
    value: String,
    form: Form,
    text: Vec<u8>,
    /// Where each piece begins in the text, and where the last one ends.
    pieces: Vec<usize>,
    /// Pieces in a row that are a leak.
    least: usize,
}

/// A few pieces of a needle. Anchors are so dense that one of them is in every row of pieces that is a leak, and so sparse
/// that the automaton is small: what stands around one that is found decides.
#[derive(Debug)]
struct Anchor {
    needle: usize,
    piece: usize,
    end: usize,
}

/// A leak in a text.
#[derive(Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    /// Where it begins.
    pub at: usize,
    /// Name of the value.
    pub value: &'a str,
    /// Its form.
    pub form: Form,
}

impl Needles {
    /// For values with their names; the texts `also` stop the automaton, too.
    ///
    /// # Errors
    /// When the automaton cannot be built.
    pub fn new(values: impl IntoIterator<Item = (String, String)>, also: &[&[u8]]) -> Result<Self> {
        let (mut needles, mut known) = (Vec::new(), BTreeSet::new());
        for (name, value) in values {
            needles.extend(Needle::all(&name, value.as_bytes()).filter(|needle| known.insert(needle.text.clone())));
        }
        let anchors: Vec<Anchor> = needles.iter().enumerate().flat_map(|(i, needle)| needle.anchors(i)).collect();
        let texts: BTreeSet<&[u8]> =
            anchors.iter().map(|anchor| anchor.text(&needles)).chain(also.iter().copied()).collect();
        let automaton = AhoCorasick::builder()
            // Of this kind the crate searches with vector instructions.
            .match_kind(MatchKind::LeftmostFirst)
            .build(texts)
            .attempting(|| "prepare the search for secret values".into())?;
        Ok(Self { needles, anchors, automaton })
    }

    /// Bytes that have to be known on both sides of a place to decide whether there is a leak.
    pub fn margin(&self) -> usize {
        self.needles.iter().map(|needle| needle.text.len()).max().unwrap_or_default()
    }

    /// The first place from `from` on where an anchor or another text of the automaton begins.
    pub fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        self.automaton.find(Input::new(text).range(from..)).map(|found| found.start())
    }

    /// The leaks of which an anchor begins at `at`.
    pub fn leaks<'a>(&'a self, text: &'a [u8], at: usize) -> impl Iterator<Item = Hit<'a>> {
        let here = self.anchors.iter().filter(move |anchor| text[at..].starts_with(anchor.text(&self.needles)));
        here.filter_map(move |anchor| {
            let needle = &self.needles[anchor.needle];
            let begin = needle.begin(text, at, anchor.piece)?;
            Some(Hit { at: begin, value: &needle.value, form: needle.form })
        })
    }
}

impl Anchor {
    fn text<'a>(&self, needles: &'a [Needle]) -> &'a [u8] {
        let needle = &needles[self.needle];
        &needle.text[needle.pieces[self.piece]..needle.pieces[self.end]]
    }
}

impl Needle {
    /// A value in all forms.
    fn all(name: &str, value: &[u8]) -> impl Iterator<Item = Self> {
        let each = |form: Form, piece: &dyn Fn(u8) -> String| {
            Self::new(name, form, value.iter().map(|byte| piece(*byte).into_bytes()), LEAST)
        };
        // Bytes beyond ASCII stay as they are in JSON, and pieces are bytes.
        let bare = Self::new(name, Form::Plain, value.iter().map(|byte| vec![*byte]), LEAST);
        let mut all = vec![
            bare,
            each(Form::Hex, &|byte| format!("{byte:02x}")),
            each(Form::Hex, &|byte| format!("{byte:02X}")),
            each(Form::Url, &|byte| percent(byte, "%20", &|byte| format!("%{byte:02X}"))),
            each(Form::Url, &|byte| percent(byte, "%20", &|byte| format!("%{byte:02x}"))),
            each(Form::Url, &|byte| percent(byte, "+", &|byte| format!("%{byte:02X}"))),
            each(Form::Url, &|byte| percent(byte, "+", &|byte| format!("%{byte:02x}"))),
        ];
        // Go escapes what HTML understands, PHP and some others the slash.
        for escaped in [&b""[..], b"<>&", b"/"] {
            all.push(Self::new(name, Form::Json, value.iter().map(|byte| json(*byte, escaped)), LEAST));
        }
        for alignment in 0..3 {
            let standard = base64(value, alignment);
            let url = standard.iter().map(|c| match c {
                b'+' => b'-',
                b'/' => b'_',
                other => *other,
            });
            let url: Vec<u8> = url.collect();
            for (form, text) in [(Form::Base64, standard), (Form::Base64Url, url)] {
                // Twelve bytes determine 15 characters, at the worst alignment.
                let least = LEAST * 4 / 3 - 1;
                all.push(Self::new(name, form, text.into_iter().map(|c| vec![c]), least));
            }
        }
        all.into_iter().filter(|needle| !needle.text.is_empty())
    }

    fn new(name: &str, form: Form, pieces: impl Iterator<Item = Vec<u8>>, least: usize) -> Self {
        let (mut text, mut bounds) = (Vec::new(), vec![0]);
        for piece in pieces {
            text.extend(piece);
            bounds.push(text.len());
        }
        let least = least.min(bounds.len() - 1);
        Self { value: name.into(), form, text, pieces: bounds, least }
    }

    fn count(&self) -> usize {
        self.pieces.len() - 1
    }

    /// Half a leak is long enough to be rare, and the longer the distance between two can be.
    fn anchors(&self, needle: usize) -> impl Iterator<Item = Anchor> + use<> {
        let length = if self.count() < LEAST { self.least } else { self.least / 2 };
        let distance = self.least - length;
        let last = self.count() - length;
        (distance..=last).step_by(distance + 1).map(move |piece| Anchor { needle, piece, end: piece + length })
    }

    /// Where the leak begins of which the piece `piece` is at `at`; nothing when there are too few pieces around it.
    fn begin(&self, text: &[u8], at: usize, piece: usize) -> Option<usize> {
        let part = |i: usize| &self.text[self.pieces[i]..self.pieces[i + 1]];
        let (mut first, mut begin) = (piece, at);
        while first > 0 && text[..begin].ends_with(part(first - 1)) {
            first -= 1;
            begin -= part(first).len();
        }
        let (mut next, mut end) = (piece, at);
        while next < self.count() && text[end..].starts_with(part(next)) {
            end += part(next).len();
            next += 1;
        }
        // What looks the same in both is plain, and a needle of that form finds it.
        let escapes = |i: usize| self.pieces[i + 1] - self.pieces[i] > 1;
        let own = !matches!(self.form, Form::Url | Form::Json) || (first..next).any(escapes);
        (next - first >= self.least && own).then_some(begin)
    }
}

fn percent(byte: u8, space: &str, other: &dyn Fn(u8) -> String) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        b' ' => space.into(),
        _ => other(byte),
    }
}

fn json(byte: u8, escaped: &[u8]) -> Vec<u8> {
    match byte {
        b'"' => br#"\""#.to_vec(),
        b'\\' => br"\\".to_vec(),
        b'/' if escaped.contains(&byte) => br"\/".to_vec(),
        b'\n' => br"\n".to_vec(),
        b'\r' => br"\r".to_vec(),
        b'\t' => br"\t".to_vec(),
        _ if byte < 0x20 || escaped.contains(&byte) => format!("\\u{byte:04x}").into_bytes(),
        _ => vec![byte],
    }
}

/// Those characters of the base64 of any text that the value alone determines, when `alignment` bytes (modulo three) are
/// before it.
fn base64(value: &[u8], alignment: usize) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, alignment).chain(value.iter().copied()).collect();
    let text = STANDARD_NO_PAD.encode(&padded).into_bytes();
    let (first, last) = ((alignment * 8).div_ceil(6), padded.len() * 8 / 6);
    text[first.min(last)..last].to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(value: &str, text: &str) -> BTreeSet<(usize, Form)> {
        let needles = Needles::new([("v".to_owned(), value.to_owned())], &[]).unwrap();
        let (mut from, mut seen) = (0, BTreeSet::new());
        while let Some(at) = needles.next(text.as_bytes(), from) {
            seen.extend(needles.leaks(text.as_bytes(), at).map(|hit| (hit.at, hit.form)));
            from = at + 1;
        }
        seen
    }

    proptest! {
        #[test]
        fn every_row_of_twelve_is_a_leak_and_eleven_are_none(
            value in "[ -~]{12,48}", place in any::<proptest::sample::Index>(), before in "[ -~]{0,5}", after in "[ -~]{0,5}",
        ) {
            let from = place.index(value.len() - LEAST + 1);
            let text = format!("{before}{}{after}", &value[from..from + LEAST]);
            let has = |text: &str, form| found(&value, text).iter().any(|(_, seen)| *seen == form);
            prop_assert!(has(&text, Form::Plain));
            prop_assert!(has(&STANDARD_NO_PAD.encode(text), Form::Base64));
        }
    }

    #[test]
    fn eleven_characters_are_no_leak() {
        let value = "0123456789abcdef";
        for from in 0..=5 {
            assert_eq!(found(value, &format!("<{}>", &value[from..from + 11])), [].into());
            assert_eq!(found(value, &format!("<{}>", &value[from..(from + 12).min(16)])).len(), usize::from(from < 5));
        }
        assert_eq!(found("short", "a short text"), [(2, Form::Plain)].into());
        assert_eq!(found("short", "a shor"), [].into());
    }
}
