//! The steps in which a load grows, and how each is spread over the worlds.

/// Steps of a load, all of which add as many secrets.
pub const STEPS: usize = 4;

/// How many of all `secrets` the world in this place gets in a step, of which the first is 1.
pub fn share(secrets: usize, step: usize, place: usize, worlds: usize) -> usize {
    between(between(secrets, step - 1, STEPS), place, worlds)
}

/// The size of a part, of which the first is 0, when so many things are parted as evenly as they can be.
fn between(things: usize, part: usize, parts: usize) -> usize {
    things * (part + 1) / parts - things * part / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_secrets_are_in_some_world_and_no_step_or_world_is_idle() {
        for (secrets, worlds) in [(12, 3), (13, 3), (1000, 3), (1001, 2), (5, 1)] {
            let shares = (1..=STEPS).flat_map(|step| (0..worlds).map(move |place| share(secrets, step, place, worlds)));
            let shares: Vec<usize> = shares.collect();
            assert_eq!(shares.iter().sum::<usize>(), secrets, "{secrets} on {worlds}");
            assert!(shares.iter().all(|share| *share > 0), "{secrets} on {worlds}: {shares:?}");
        }
    }

    #[test]
    fn steps_are_equal() {
        let step = |step| (0..3).map(|place| share(1000, step, place, 3)).sum::<usize>();
        assert_eq!([1, 2, 3, 4].map(step), [250; 4]);
        assert_eq!([0, 1, 2].map(|place| share(1000, 1, place, 3)), [83, 83, 84]);
    }
}
