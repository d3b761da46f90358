//! Git over smart HTTP, and snapshots of working trees.

use std::{path::Path, process::Stdio};

use axum::{body::Body, http::StatusCode, response::Response};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Answer, Attempt, Error, Request, Result, config::Repository};

/// Who a snapshot's commits are from. Fixed, so that equal trees make equal commits.
const IDENTITY: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "trinity-e2e"),
    ("GIT_AUTHOR_EMAIL", "trinity-e2e@localhost"),
    ("GIT_AUTHOR_DATE", "2026-01-01T00:00:00Z"),
    ("GIT_COMMITTER_NAME", "trinity-e2e"),
    ("GIT_COMMITTER_EMAIL", "trinity-e2e@localhost"),
    ("GIT_COMMITTER_DATE", "2026-01-01T00:00:00Z"),
];

/// Commits the files of `worktree` as they are now (changes and new files included, ignored files not) to branch
/// `main` of the bare repository `bare`, which is made when needed. The user's own repository is only read.
/// Returns the commit.
///
/// # Errors
/// When git fails.
pub async fn snapshot(worktree: &Path, bare: &Path) -> Result<String> {
    if !bare.exists() {
        git(worktree, &["init", "--quiet", "--bare", "--initial-branch=main", &bare.to_string_lossy()], bare).await?;
        // Argo CD asks for commits by their id.
        git(worktree, &["config", "uploadpack.allowAnySHA1InWant", "true"], bare).await?;
    }
    git(worktree, &["add", "--all", "."], bare).await?;
    let tree = git(worktree, &["write-tree"], bare).await?;
    let parent = git(worktree, &["rev-parse", "--verify", "--quiet", "main^{commit}"], bare).await.ok();
    if let Some(parent) = &parent
        && git(worktree, &["rev-parse", &format!("{parent}^{{tree}}")], bare).await? == tree
    {
        return Ok(parent.clone());
    }
    let mut args = vec!["commit-tree", "-m", "working tree", &tree];
    if let Some(parent) = &parent {
        args.extend(["-p", parent]);
    }
    let commit = git(worktree, &args, bare).await?;
    git(worktree, &["update-ref", "refs/heads/main", &commit], bare).await?;
    Ok(commit)
}

/// Gives branch `main` another name, also for what it will be: platforms follow branches of any name.
///
/// # Errors
/// When it can be no name of a branch.
pub async fn alias(bare: &Path, name: &str) -> Result<()> {
    let branch = format!("refs/heads/{name}");
    git(bare, &["check-ref-format", &branch], bare).await?;
    git(bare, &["symbolic-ref", &branch, "refs/heads/main"], bare).await.map(drop)
}

/// Runs git on the bare repository with the platform's folder as its working tree and an index of its own.
async fn git(worktree: &Path, args: &[&str], bare: &Path) -> Result<String> {
    let attempted = || format!("run git {} for {}", args.join(" "), worktree.display());
    let mut command = Command::new("git");
    command.args(args).current_dir(worktree).stdin(Stdio::null()).env("GIT_INDEX_FILE", bare.join("snapshot-index"));
    if args.first() != Some(&"init") {
        command.env("GIT_DIR", bare).env("GIT_WORK_TREE", worktree);
    }
    let output = command.envs(IDENTITY).output().await.attempting(attempted)?;
    if !output.status.success() {
        return Err(Error::new(attempted(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The repository that a path belongs to, and the rest of the path.
pub(crate) fn find<'a>(repositories: &'a [Repository], host: &str, path: &str) -> Option<(&'a Repository, String)> {
    repositories.iter().filter(|r| r.host == host).find_map(|repository| {
        let rest = path.strip_prefix(repository.path.trim_end_matches(".git"))?;
        let rest = rest.strip_prefix(".git").unwrap_or(rest);
        (rest.is_empty() || rest.starts_with('/')).then(|| (repository, rest.to_owned()))
    })
}

/// Answers with `git http-backend`, which is a CGI program (RFC 3875).
pub(crate) async fn answer(repository: &Repository, rest: &str, request: Request) -> Result<Answer> {
    let attempted = || format!("serve {}", repository.folder.display());
    let query = request.uri().query().unwrap_or_default().to_owned();
    if rest == "/git-receive-pack" || query.contains("git-receive-pack") {
        return Ok(Answer::text(StatusCode::FORBIDDEN, "this repository is read-only\n"));
    }
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &repository.folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        // The folder may belong to another user than the gateway's.
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("PATH_INFO", rest)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", request.method().as_str())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("CONTENT_LENGTH", request.body().len().to_string())
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().attempting(attempted)?;
    if let Some(mut stdin) = child.stdin.take() {
        // git may answer, and close, before it has read everything.
        let _ = stdin.write_all(request.body()).await;
    }
    let output = child.wait_with_output().await.attempting(attempted)?;
    let split = output.stdout.windows(4).position(|w| w == b"\r\n\r\n");
    let Some(split) = split else {
        return Err(Error::new(attempted(), String::from_utf8_lossy(&output.stderr).trim()));
    };
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output.stdout[..split]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => {
                let code: u16 = status.split(' ').next().unwrap_or_default().parse().attempting(attempted)?;
                response = response.status(code);
            }
            Some((name, value)) => response = response.header(name, value),
            None => {}
        }
    }
    let body = Body::from(output.stdout[split + 4..].to_vec());
    Ok(Answer::plain(response.body(body).attempting(attempted)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_snapshot_has_uncommitted_files_and_leaves_the_repository_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (user, bare) = (folder.path().join("user"), folder.path().join("bare.git"));
        std::fs::create_dir_all(user.join("sub")).unwrap();
        let run = |args: &[&str]| {
            let output =
                std::process::Command::new("git").args(args).current_dir(&user).envs(IDENTITY).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        run(&["init", "--quiet"]);
        std::fs::write(user.join("sub/committed"), "1").unwrap();
        run(&["add", "."]);
        run(&["commit", "--quiet", "-m", "one"]);
        std::fs::write(user.join("sub/new"), "2").unwrap();
        let before = run(&["status", "--porcelain"]);
        let first = snapshot(&user.join("sub"), &bare).await.unwrap();
        assert_eq!(first, snapshot(&user.join("sub"), &bare).await.unwrap());
        assert_eq!(run(&["status", "--porcelain"]), before);
        let listed = git(&user, &["ls-tree", "--name-only", "main"], &bare).await.unwrap();
        assert_eq!(listed, "committed\nnew");
        std::fs::write(user.join("sub/new"), "3").unwrap();
        let second = snapshot(&user.join("sub"), &bare).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(git(&user, &["rev-parse", "main~1"], &bare).await.unwrap(), first);
    }

    #[test]
    fn a_path_finds_its_repository() {
        let all = [Repository { host: "github.com".into(), path: "/trinity/platform".into(), folder: "/x".into() }];
        assert_eq!(find(&all, "github.com", "/trinity/platform.git/info/refs").unwrap().1, "/info/refs");
        assert_eq!(find(&all, "github.com", "/trinity/platform/info/refs").unwrap().1, "/info/refs");
        assert!(find(&all, "github.com", "/trinity/platform-two/info/refs").is_none());
        assert!(find(&all, "gitlab.com", "/trinity/platform/info/refs").is_none());
    }
}
