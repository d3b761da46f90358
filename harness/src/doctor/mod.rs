//! What this machine can do for the main job: one line for each thing that matters, what follows from it, and what to do. Nothing is
//! made, changed or removed.

pub mod line;
mod machine;
mod programs;
mod sources;
mod traces;

use crate::{cluster::kind::doctor, components::Store, failure::Result};
use line::{Line, State, told};

/// Worlds of the main job, when no cloud is named.
const WORLDS: u64 = 3;

/// Looks at everything and prints it; true when the main job would run.
///
/// # Errors
/// When the component lock or what worlds have left cannot be read.
pub async fn run(store: &Store) -> Result<bool> {
    let mut lines = machine::lines(store);
    let print = |lines: &[Line]| lines.iter().for_each(|line| println!("{line}"));
    print(&lines);
    let (programs, sources) = tokio::join!(programs::lines(store), sources::lines(store));
    let rest = [programs, sources?, vec![docker().await], traces::lines(store)].concat();
    print(&rest);
    lines.extend(rest);
    println!("{}", conclusion(&lines));
    Ok(!lines.iter().any(Line::forbids))
}

/// Whether the main job would run.
fn conclusion(lines: &[Line]) -> String {
    let against: Vec<&str> = lines.iter().filter(|line| line.forbids()).map(|line| line.what.as_str()).collect();
    match against.is_empty() {
        true => "`trinity-e2e e2e` would run here".into(),
        false => format!("`trinity-e2e e2e` would not run here: {}", against.join(", ")),
    }
}

async fn docker() -> Line {
    match doctor::look().await {
        Ok(version) => Line::optional(
            "Docker",
            State::Ok,
            format!("{version}; `e2e --backend kind` tries whether it runs privileged containers"),
        ),
        Err(failure) if doctor::curable(&failure) => Line::optional("Docker", State::Unusable, told(&failure)),
        Err(failure) => {
            Line::optional("Docker", State::Missing, format!("only `--backend kind` needs it; {}", told(&failure)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_main_job_needs_decides() {
        let lines = [
            Line::needed("user", State::Ok, "root"),
            Line::optional("Docker", State::Missing, "only for kind"),
            Line::needed("memory", State::Unusable, "too little"),
        ];
        assert_eq!(conclusion(&lines[..2]), "`trinity-e2e e2e` would run here");
        assert_eq!(conclusion(&lines), "`trinity-e2e e2e` would not run here: memory");
    }
}
