//! Content that has to be unpacked before it can be searched: gzip, zstd, and either of them in base64.

use std::{
    fmt,
    io::{self, Write},
};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use flate2::write::GzDecoder;
use zstd::stream::write::Decoder;

use super::scanner::{Scanner, Seen};

/// How packed content begins. In base64 it begins with the base64 of that, and what was encoded twice, as Helm does, with
/// the base64 of the base64.
pub const MAGICS: [&[u8]; 6] = [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"H4sI", b"KLUv", b"SDRzS", b"S0xVd"];

/// Takes whatever a log has cut off: the last character may have bits too many, and there is no padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// How content is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 4648, either alphabet.
    Base64,
}

impl Kind {
    /// What begins here.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let kinds = [Self::Gzip, Self::Zstd].into_iter().chain(std::iter::repeat(Self::Base64));
        MAGICS.iter().zip(kinds).find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Base64 => "base64",
        })
    }
}

/// One packed stream: it takes all bytes from its beginning on, and ends by itself.
#[derive(Debug)]
pub struct Unpacker {
    kind: Kind,
    at: u64,
    decoder: Decoding,
}

enum Decoding {
    Gzip(Box<GzDecoder<Scanner>>),
    Zstd(Box<Decoder<'static, Scanner>>),
    Base64(Base64),
}

impl fmt::Debug for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decoding")
    }
}

impl Unpacker {
    /// For a stream that begins at `at`; what comes out goes to `inside`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new(kind: Kind, at: u64, inside: Scanner) -> io::Result<Self> {
        let decoder = match kind {
            Kind::Gzip => Decoding::Gzip(Box::new(GzDecoder::new(inside))),
            Kind::Zstd => Decoding::Zstd(Box::new(Decoder::new(inside)?)),
            Kind::Base64 => Decoding::Base64(Base64 { group: Vec::new(), inside }),
        };
        Ok(Self { kind, at, decoder })
    }

    /// How it is packed.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it begins.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// Takes bytes; false when no more of them belong to the stream. Bytes that only looked like the beginning of a stream
    /// end it, too.
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let taken = match &mut self.decoder {
                Decoding::Gzip(decoder) => decoder.write(bytes),
                Decoding::Zstd(decoder) => decoder.write(bytes),
                Decoding::Base64(decoder) => Ok(decoder.write(bytes)),
            };
            match taken {
                Ok(taken) if taken > 0 && self.inside().has_room() => bytes = &bytes[taken..],
                _ => return false,
            }
        }
        true
    }

    /// Ends it, and the search of what came out.
    pub fn end(mut self) -> Seen {
        // A stream that was cut off is no error: what was in it has come out.
        let _ = match &mut self.decoder {
            Decoding::Gzip(decoder) => decoder.try_finish(),
            Decoding::Zstd(decoder) => decoder.flush(),
            Decoding::Base64(decoder) => {
                decoder.decode();
                Ok(())
            }
        };
        self.inside().end()
    }

    fn inside(&mut self) -> &mut Scanner {
        match &mut self.decoder {
            Decoding::Gzip(decoder) => decoder.get_mut(),
            Decoding::Zstd(decoder) => decoder.get_mut(),
            Decoding::Base64(decoder) => &mut decoder.inside,
        }
    }
}

/// A run of base64; it ends with the first byte that is none.
struct Base64 {
    group: Vec<u8>,
    inside: Scanner,
}

impl Base64 {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let run = bytes.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte)).count();
        for part in bytes[..run].chunks(4096) {
            self.group.extend(part.iter().map(|byte| match byte {
                b'-' => b'+',
                b'_' => b'/',
                other => *other,
            }));
            let rest = self.group.split_off(self.group.len() / 4 * 4);
            self.decode();
            self.group = rest;
        }
        // A run that ends here takes nothing more.
        run
    }

    fn decode(&mut self) {
        // One character alone is no byte.
        let whole = if self.group.len() % 4 == 1 { self.group.len() - 1 } else { self.group.len() };
        if let Ok(bytes) = LENIENT.decode(&self.group[..whole]) {
            // A scanner takes everything.
            let _ = self.inside.write_all(&bytes);
        }
        self.group.clear();
    }
}
