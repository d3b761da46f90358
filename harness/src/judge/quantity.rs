//! Kubernetes quantities, exact: CPU in thousandths of a processor, memory in bytes. Fractions of these are rounded up, as
//! Kubernetes rounds them when it schedules.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::failure::{Failure, Result};

/// What each suffix multiplies by: base and exponent.
const SUFFIXES: [(&str, u128, i32); 16] = [
    ("Ki", 1024, 1),
    ("Mi", 1024, 2),
    ("Gi", 1024, 3),
    ("Ti", 1024, 4),
    ("Pi", 1024, 5),
    ("Ei", 1024, 6),
    ("n", 10, -9),
    ("u", 10, -6),
    ("m", 10, -3),
    ("k", 10, 3),
    ("M", 10, 6),
    ("G", 10, 9),
    ("T", 10, 12),
    ("P", 10, 15),
    ("E", 10, 18),
    ("", 10, 0),
];

/// Processors, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpu(
    /// Thousandths.
    pub u64,
);

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(
    /// Bytes.
    pub u64,
);

/// A text as so many units of 10^-`digits`, rounded up.
///
/// # Errors
/// When it is no quantity, is negative, or is too large to count.
fn units(text: &str, digits: i32) -> Result<u64> {
    let refused = |why: &str| {
        Failure::new(format!("read the quantity {text:?}"), why)
            .next("write it as Kubernetes does, for example 940m, 2 or 1.5 for CPU and 256Mi or 1Gi for memory")
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(refused("it does not begin with a number that is not negative"));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).and_then(|digits| digits.parse::<i32>().ok());
    let (base, exponent) = match exponent {
        Some(exponent) => (10, exponent),
        None => {
            let known = SUFFIXES.iter().find(|(known, ..)| *known == suffix);
            known.map(|(_, base, exponent)| (*base, *exponent)).ok_or_else(|| refused("its suffix is none"))?
        }
    };
    let large = || refused("it is too large");
    let decimals = i32::try_from(fraction.len()).map_err(|_| large())?;
    let mut value: u128 = match format!("{whole}{fraction}").trim_start_matches('0') {
        "" => return Ok(0),
        digits => digits.parse().map_err(|_| large())?,
    };
    let mut tens = digits.saturating_sub(decimals);
    if base == 10 {
        tens = tens.saturating_add(exponent);
    } else {
        let factor = base.checked_pow(exponent.unsigned_abs()).ok_or_else(large)?;
        value = value.checked_mul(factor).ok_or_else(large)?;
    }
    let power = 10_u128.checked_pow(tens.unsigned_abs());
    let units = match power {
        Some(power) if tens >= 0 => value.checked_mul(power).ok_or_else(large)?,
        None if tens >= 0 => return Err(large()),
        // A divisor that is too large to write leaves less than one unit.
        power => power.map_or(1, |power| value.div_ceil(power)),
    };
    u64::try_from(units).map_err(|_| large())
}

impl FromStr for Cpu {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        units(text, 3).map(Self)
    }
}

impl FromStr for Memory {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        units(text, 0).map(Self)
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) { write!(f, "{}", self.0 / 1000) } else { write!(f, "{}m", self.0) }
    }
}

impl fmt::Display for Memory {
    /// In the largest binary unit that says it exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = |shift: &u32| self.0 != 0 && self.0.trailing_zeros() >= *shift;
        match [(30, "Gi"), (20, "Mi"), (10, "Ki")].iter().find(|(shift, _)| exact(shift)) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// In YAML a quantity without a suffix may be a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Whole(u64),
    Fraction(f64),
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Fraction(number) => write!(f, "{number}"),
        }
    }
}

macro_rules! quantity {
    ($kind:ident) => {
        impl Add for $kind {
            type Output = Self;

            /// Stops at the largest number there is.
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl Sum for $kind {
            fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
                all.fold(Self::default(), Add::add)
            }
        }

        impl Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                Written::deserialize(deserializer)?.to_string().parse().map_err(de::Error::custom)
            }
        }
    };
}

quantity!(Cpu);
quantity!(Memory);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_mean_what_kubernetes_means_by_them() {
        for (text, thousandths) in [
            ("940m", 940),
            ("2", 2000),
            ("0.1", 100),
            (".5", 500),
            ("1.", 1000),
            ("2e1", 20_000),
            ("1E-1", 100),
            ("1k", 1_000_000),
            // Less than a thousandth is one.
            ("100u", 1),
            ("1n", 1),
            ("1e-99", 1),
            ("1.0001m", 2),
            ("0", 0),
            ("0E", 0),
        ] {
            assert_eq!(text.parse::<Cpu>().unwrap(), Cpu(thousandths), "{text}");
        }
        for (text, bytes) in
            [("256Mi", 256 << 20), ("1.5Gi", 3 << 29), ("1G", 1_000_000_000), ("128974848", 128_974_848), ("1500m", 2)]
        {
            assert_eq!(text.parse::<Memory>().unwrap(), Memory(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "m", "-1", "+1", "1 Gi", "1KI", "1.2.3", "one", "1ee2", "1e", "9e99", "99999Ei", "."] {
            let failure = text.parse::<Cpu>().unwrap_err().to_string();
            assert!(failure.contains("next: write it as Kubernetes does"), "{text}: {failure}");
        }
    }

    #[test]
    fn yaml_may_have_numbers() {
        let read = |text: &str| serde_yaml::from_str::<Cpu>(text);
        assert_eq!(read("2").unwrap(), Cpu(2000));
        assert_eq!(read("0.5").unwrap(), Cpu(500));
        assert_eq!(read("940m").unwrap(), Cpu(940));
        assert!(read("-1").is_err() && read("[1]").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_the_same(thousandths: u64, bytes: u64) {
            prop_assert_eq!(Cpu(thousandths).to_string().parse::<Cpu>().unwrap(), Cpu(thousandths));
            prop_assert_eq!(Memory(bytes).to_string().parse::<Memory>().unwrap(), Memory(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.]{0,50}[a-zA-Z+-]{0,3}[0-9]{0,12}") {
            let _ = (text.parse::<Cpu>(), text.parse::<Memory>());
        }
    }
}
