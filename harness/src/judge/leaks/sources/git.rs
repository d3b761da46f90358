//! The objects of a Git repository, unpacked by git.

use std::{collections::BTreeMap, path::Path};

use crate::{
    command::Run,
    failure::{Attempt, Failure, Result},
    judge::leaks::Search,
};

/// Searches all objects of the bare repository, those included that no branch has.
///
/// # Errors
/// When git cannot read it.
pub async fn objects(search: &Search, bare: &Path) -> Result<()> {
    let git = |args: &[&str]| Run::new("git").arg("--git-dir").arg(bare).args(args);
    let listed = git(&["rev-list", "--all", "--objects"]).text().await?;
    let paths: BTreeMap<&str, &str> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
    let all = git(&["cat-file", "--batch", "--batch-all-objects", "--unordered"]).output().await?;
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        let (head, content, after) = object(rest).ok_or_else(|| {
            Failure::new(format!("read the objects of {}", bare.display()), "git says something else than its manual")
        })?;
        let head = std::str::from_utf8(head).attempting(|| "read the head of an object".into())?;
        let id = head.split(' ').next().unwrap_or_default();
        let file = paths.get(id).filter(|path| !path.is_empty()).map(|path| format!(", {path}")).unwrap_or_default();
        search.bytes(&format!("Git object {head}{file}"), content);
        rest = after;
    }
    Ok(())
}

/// Head, content and what follows, as git-cat-file(1) prints them: `<id> <type> <size>`, a line feed, so many bytes, and
/// another line feed.
fn object(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, rest) = text.split_at(text.iter().position(|byte| *byte == b'\n')?);
    let size: usize = std::str::from_utf8(head).ok()?.rsplit(' ').next()?.parse().ok()?;
    Some((head, rest.get(1..=size)?, rest.get(size + 2..)?))
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use trinity_emulators::git::snapshot;

    use super::*;
    use crate::judge::leaks::scanner::needles;

    #[tokio::test]
    async fn a_file_of_an_earlier_commit_is_searched() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, bare) = (folder.path().join("tree"), folder.path().join("bare.git"));
        fs::create_dir(&tree).unwrap();
        assert!(Command::new("git").args(["init", "--quiet"]).arg(&tree).status().unwrap().success());
        fs::write(tree.join("secret.yaml"), "password: 0123456789abcdef\n".repeat(100)).unwrap();
        snapshot(&tree, &bare).await.unwrap();
        fs::write(tree.join("secret.yaml"), "password: in the cloud\n").unwrap();
        snapshot(&tree, &bare).await.unwrap();
        let search = Search::new(needles([("v".to_owned(), "0123456789abcdef".to_owned())]).unwrap());
        objects(&search, &bare).await.unwrap();
        let searched = search.end();
        assert_eq!(searched.artifacts, 6, "two commits, trees and files");
        let [find] = searched.finds.as_slice() else { panic!("{:?}", searched.finds) };
        assert!(find.artifact.ends_with(" blob 2700, secret.yaml") && find.places == 100, "{find}");
    }
}
