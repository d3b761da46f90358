//! A platform that is named by the URL of its Git repository: fetched once for each commit.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    command::Run,
    components::cache::hash_bytes,
    failure::{Attempt, Failure, Result},
    workspace,
};

/// The folder with the platform: `platform` itself, or, of a URL, its newest commit; `?ref=` names a branch or a tag.
///
/// # Errors
/// When there is no such folder, or the repository cannot be fetched.
pub async fn folder(platform: &Path) -> Result<PathBuf> {
    match platform.to_str().filter(|text| text.contains("://") || text.starts_with("git@")) {
        Some(url) => fetched(url, &workspace().join("target/platforms")).await,
        None => platform.canonicalize().map_err(|e| {
            Failure::new(format!("find the platform {}", platform.display()), e)
                .next("--platform names a folder with the platform's Git tree, or the URL of its repository")
                .misused()
        }),
    }
}

/// A commit's tree stays as it is, so runs can share it.
async fn fetched(url: &str, store: &Path) -> Result<PathBuf> {
    let (repository, revision) = url.split_once("?ref=").map_or((url, None), |(url, revision)| (url, Some(revision)));
    let user = repository.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
    if user.is_some_and(|(user, _)| user.contains(':')) {
        return Err(Failure::new("fetch the platform", "its URL has a password in it, which would be in every report")
            .next("let Git ask a credential helper, or use SSH")
            .misused());
    }
    let attempted = || format!("fetch the platform {url}");
    fs::create_dir_all(store).attempting(|| format!("make {}", store.display()))?;
    let making = TempDir::with_prefix_in("fetching-", store).attempting(attempted)?;
    let tree = making.path().join("tree");
    let branch = revision.iter().flat_map(|revision| ["--branch", revision]);
    // Nobody is there to type a password.
    let clone =
        Run::new("git").args(["clone", "--quiet", "--depth", "1"]).args(branch).args(["--", repository]).arg(&tree);
    clone.env("GIT_TERMINAL_PROMPT", "0").output().await.attempting(attempted)?;
    let commit = Run::new("git").args(["rev-parse", "HEAD"]).folder(&tree).text().await.attempting(attempted)?;
    let place = store.join(format!("{}-{commit}", &hash_bytes(repository.as_bytes())[..8]));
    match fs::rename(&tree, &place) {
        // It has been fetched before.
        Err(_) if place.is_dir() => Ok(place),
        renamed => renamed.map(|()| place.clone()).attempting(|| format!("make {}", place.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn git(folder: &Path, args: &[&str]) {
        let identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"];
        Run::new("git").args(identity).args(args).folder(folder).output().await.unwrap();
    }

    #[tokio::test]
    async fn a_branch_is_fetched_once() {
        let folder = tempfile::tempdir().unwrap();
        let (repository, store) = (folder.path().join("repository"), folder.path().join("store"));
        fs::create_dir(&repository).unwrap();
        git(&repository, &["init", "--quiet", "--initial-branch=main"]).await;
        fs::write(repository.join("file"), "one").unwrap();
        git(&repository, &["add", "."]).await;
        git(&repository, &["commit", "--quiet", "-m", "one"]).await;
        git(&repository, &["checkout", "--quiet", "-b", "next"]).await;
        fs::write(repository.join("file"), "two").unwrap();
        git(&repository, &["commit", "--quiet", "-am", "two"]).await;
        let url = format!("file://{}", repository.display());
        let next = fetched(&format!("{url}?ref=next"), &store).await.unwrap();
        assert_eq!(fs::read_to_string(next.join("file")).unwrap(), "two");
        assert_eq!(fetched(&format!("{url}?ref=next"), &store).await.unwrap(), next);
        let main = fetched(&format!("{url}?ref=main"), &store).await.unwrap();
        assert_eq!(fs::read_to_string(main.join("file")).unwrap(), "one");
        let entries: Vec<_> = fs::read_dir(&store).unwrap().collect();
        assert_eq!(entries.len(), 2, "{entries:?}");
        assert!(fetched(&format!("{url}?ref=absent"), &store).await.unwrap_err().to_string().contains("absent"));
    }

    #[tokio::test]
    async fn a_password_is_refused_and_not_told() {
        let failure = fetched("https://user:hunter2@git.example.com/platform", Path::new("/nonexistent")).await;
        let told = failure.unwrap_err().to_string();
        assert!(told.contains("a password") && !told.contains("hunter2"), "{told}");
    }
}
