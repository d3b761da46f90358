//! What earlier runs have left, on purpose or not.

use super::line::{Line, State, told};
use crate::{components::Store, status::Status};

/// What is to be said of them.
pub fn lines(store: &Store) -> Vec<Line> {
    let status = match Status::look(store.cache()) {
        Ok(status) => status,
        Err(failure) => return vec![Line::optional("worlds", State::Unusable, told(&failure))],
    };
    vec![leftovers(&status.leftovers), worlds(&status.worlds.iter().map(|w| w.name.as_str()).collect::<Vec<_>>())]
}

fn leftovers(names: &[String]) -> Line {
    match names {
        [] => Line::optional("leftovers", State::Ok, "nothing is left of killed runs"),
        names => {
            let told = format!("the next run, or `sweep`, removes {}", names.join(", "));
            Line::optional("leftovers", State::Unusable, told)
        }
    }
}

fn worlds(names: &[&str]) -> Line {
    match names {
        [] => Line::optional("worlds", State::Ok, "none is running"),
        names => {
            let told = format!("these run and take memory, and `down` ends the kept ones: {}", names.join(", "));
            Line::optional("worlds", State::Ok, told)
        }
    }
}
