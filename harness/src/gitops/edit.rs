//! Changes of a platform's files, as a person would make them by hand.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::failure::{Attempt, Failure, Result};

/// A change of one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// Path in the platform's tree.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// What is done there.
    pub change: Change,
}

/// What is done to a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Lines are added below it.
    Below(String),
    /// A text in it gives way to another.
    Replace {
        /// The text.
        from: String,
        /// The other.
        to: String,
    },
}

/// Makes changes in the working tree `platform`, and returns the files that were changed, as they were before.
///
/// # Errors
/// When a file cannot be read or written, or a text to replace is not there.
pub fn make(platform: &Path, edits: &[Edit]) -> Result<BTreeMap<PathBuf, String>> {
    let mut files: BTreeMap<&PathBuf, Vec<&Edit>> = BTreeMap::new();
    for edit in edits {
        let of_file = files.entry(&edit.file).or_default();
        if !of_file.contains(&edit) {
            of_file.push(edit);
        }
    }
    let mut before = BTreeMap::new();
    for (file, mut edits) in files {
        let path = platform.join(file);
        let text = fs::read_to_string(&path).attempting(|| format!("read {}", path.display()))?;
        // From the end on, no change moves the lines of another.
        edits.sort_by_key(|edit| std::cmp::Reverse(edit.line));
        let mut lines: Vec<String> = text.lines().map(Into::into).collect();
        edits.into_iter().try_for_each(|edit| edit.apply(&mut lines))?;
        fs::write(&path, lines.join("\n") + "\n").attempting(|| format!("write {}", path.display()))?;
        before.insert(file.clone(), text);
    }
    Ok(before)
}

/// Gives files the texts back that they had.
///
/// # Errors
/// When one cannot be written.
pub fn restore(platform: &Path, before: &BTreeMap<PathBuf, String>) -> Result<()> {
    before.iter().try_for_each(|(file, text)| {
        let path = platform.join(file);
        fs::write(&path, text).attempting(|| format!("write {}", path.display()))
    })
}

impl Edit {
    fn apply(&self, lines: &mut Vec<String>) -> Result<()> {
        let missing = |what: &str| {
            let attempted = format!("change {}:{}", self.file.display(), self.line);
            Failure::new(attempted, format!("{what} is not there"))
        };
        let index = self.line.checked_sub(1).filter(|index| *index < lines.len()).ok_or_else(|| missing("the line"))?;
        match &self.change {
            Change::Below(text) => drop(lines.splice(index + 1..index + 1, text.lines().map(Into::into))),
            Change::Replace { from, to } if lines[index].contains(from) => {
                lines[index] = lines[index].replacen(from, to, 1);
            }
            Change::Replace { from, .. } => return Err(missing(from)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_file_do_not_move_each_other_and_can_be_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "one: 1.0\ntwo: 2\n").unwrap();
        let edit = |line, change| Edit { file: "a.yaml".into(), line, change };
        let replace = |from: &str| Change::Replace { from: from.into(), to: "3.0".into() };
        let edits = [
            edit(1, Change::Below("  added: x\n  more: y".into())),
            edit(2, Change::Below("last: z".into())),
            edit(1, replace("1.0")),
            // Said twice, it is made once.
            edit(2, Change::Below("last: z".into())),
        ];
        let before = make(folder.path(), &edits).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "one: 3.0\n  added: x\n  more: y\ntwo: 2\nlast: z\n");
        let failure = make(folder.path(), &[edit(1, replace("7.0"))]).unwrap_err().to_string();
        assert!(failure.contains("a.yaml:1") && failure.contains("7.0 is not there"), "{failure}");
        restore(folder.path(), &before).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "one: 1.0\ntwo: 2\n");
    }
}
