//! What a caller wants to see, from the query of `/render`.

use std::{ops::RangeInclusive, str::FromStr};

/// Pixels of a side.
const SIDE: RangeInclusive<u32> = 1..=4096;
/// Coordinates of the centre: the set lies within a distance of two from the origin.
const CENTRE: RangeInclusive<f64> = -2.0..=2.0;
/// Width of what is seen. Below the lowest, neighbouring pixels have the same coordinates.
const SCALE: RangeInclusive<f64> = 1e-12..=100.0;
/// Steps after which a point counts as one of the set.
const ITERATIONS: RangeInclusive<u32> = 1..=10_000;
/// Steps of all pixels together, so that no picture takes more than some seconds.
const STEPS: u64 = 1 << 30;
/// Names of the query, as errors list them.
const NAMES: &str = "width, height, x, y, scale and iterations";

/// A part of the complex plane, and how finely it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Real part of the centre.
    pub x: f64,
    /// Imaginary part of the centre.
    pub y: f64,
    /// Width of what is seen, in the plane's unit.
    pub scale: f64,
    /// Steps after which a point counts as one of the set.
    pub iterations: u32,
}

/// Why a query is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A parameter that there is not.
    #[error("there is no parameter {0:?}, only {NAMES}")]
    Unknown(String),
    /// A parameter that says two things.
    #[error("{0} is given twice")]
    Twice(String),
    /// A value that is not what its parameter takes.
    #[error("{name} is {value:?} and must be {wanted}")]
    Value {
        /// The parameter.
        name: String,
        /// What it was given.
        value: String,
        /// What it takes.
        wanted: String,
    },
    /// A picture that would take too long.
    #[error("width × height × iterations is {0} and must be at most {STEPS}")]
    Work(u64),
}

impl Default for View {
    /// The whole set.
    fn default() -> Self {
        Self { width: 256, height: 256, x: -0.5, y: 0.0, scale: 3.0, iterations: 256 }
    }
}

impl View {
    /// Reads a query; what it does not name is as in [`View::default`].
    ///
    /// # Errors
    /// When a parameter is unknown, given twice or not within its limits, or the picture would take too long.
    pub fn parse(query: &str) -> Result<Self, Refusal> {
        let mut view = Self::default();
        let mut seen = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if seen.contains(&name) {
                return Err(Refusal::Twice(name.into_owned()));
            }
            match name.as_ref() {
                "width" => view.width = within(&name, &value, "a whole number", &SIDE)?,
                "height" => view.height = within(&name, &value, "a whole number", &SIDE)?,
                "x" => view.x = within(&name, &value, "a number", &CENTRE)?,
                "y" => view.y = within(&name, &value, "a number", &CENTRE)?,
                "scale" => view.scale = within(&name, &value, "a number", &SCALE)?,
                "iterations" => view.iterations = within(&name, &value, "a whole number", &ITERATIONS)?,
                _ => return Err(Refusal::Unknown(name.into_owned())),
            }
            seen.push(name);
        }
        let work = view.pixels() * u64::from(view.iterations);
        if work > STEPS { Err(Refusal::Work(work)) } else { Ok(view) }
    }

    /// Pixels of the picture.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// A value that must be of its kind and within its limits; what is not a number is within none.
fn within<T>(name: &str, value: &str, kind: &str, limits: &RangeInclusive<T>) -> Result<T, Refusal>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    value.parse().ok().filter(|number| limits.contains(number)).ok_or_else(|| Refusal::Value {
        name: name.into(),
        value: value.into(),
        wanted: format!("{kind} from {} to {}", limits.start(), limits.end()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_named_has_its_default() {
        assert_eq!(View::parse(""), Ok(View::default()));
        let seen = View::parse("width=640&x=-0.75&scale=1e-3").unwrap();
        assert_eq!(seen, View { width: 640, x: -0.75, scale: 0.001, ..View::default() });
    }

    #[test]
    fn what_is_refused_is_named() {
        let refused = |query: &str| View::parse(query).unwrap_err().to_string();
        assert_eq!(refused("width=0"), "width is \"0\" and must be a whole number from 1 to 4096");
        assert_eq!(refused("height=4097"), "height is \"4097\" and must be a whole number from 1 to 4096");
        assert_eq!(refused("iterations=1.5"), "iterations is \"1.5\" and must be a whole number from 1 to 10000");
        assert_eq!(refused("x=NaN"), "x is \"NaN\" and must be a number from -2 to 2");
        assert_eq!(refused("y=inf"), "y is \"inf\" and must be a number from -2 to 2");
        assert_eq!(refused("scale=0"), "scale is \"0\" and must be a number from 0.000000000001 to 100");
        assert_eq!(refused("width="), "width is \"\" and must be a whole number from 1 to 4096");
        assert_eq!(refused("x=0&x=0"), "x is given twice");
        assert_eq!(refused("zoom=2"), "there is no parameter \"zoom\", only width, height, x, y, scale and iterations");
        assert_eq!(
            refused("width=4096&height=4096&iterations=10000"),
            "width × height × iterations is 167772160000 and must be at most 1073741824"
        );
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_within_the_limits(query in "(width|height|x|y|scale|iterations|z)=[-+0-9.eE]{0,6}(&(width|x|scale|iterations)=[-+0-9.eE%]{0,6}){0,3}") {
            if let Ok(view) = View::parse(&query) {
                prop_assert!(SIDE.contains(&view.width) && SIDE.contains(&view.height));
                prop_assert!(CENTRE.contains(&view.x) && CENTRE.contains(&view.y) && SCALE.contains(&view.scale));
                prop_assert!(ITERATIONS.contains(&view.iterations));
                prop_assert!(view.pixels() * u64::from(view.iterations) <= STEPS);
            }
        }

        #[test]
        fn what_is_within_the_limits_is_accepted(
            width in 1..=512_u32, height in 1..=512_u32, x in CENTRE, y in CENTRE, scale in SCALE, iterations in 1..=4096_u32
        ) {
            let view = View { width, height, x, y, scale, iterations };
            let query = format!("width={width}&height={height}&x={x}&y={y}&scale={scale}&iterations={iterations}");
            prop_assert_eq!(View::parse(&query), Ok(view));
        }
    }
}
