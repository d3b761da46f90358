//! A Helm repository: `index.yaml` from the archives' own `Chart.yaml`, and the archives.

use std::{fs, io::Read, path::Path};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{Answer, Attempt, Error, Result, aws::sigv4::sha256_hex, config::Charts};

/// The repository that a path of a host belongs to, and the file in it.
pub(crate) fn find<'a>(all: &'a [Charts], host: &str, path: &'a str) -> Option<(&'a Charts, &'a str)> {
    let own = all.iter().filter(|charts| charts.host == host);
    own.filter_map(|charts| Some((charts, path.strip_prefix(&charts.path)?.strip_prefix('/')?))).next()
}

/// Answers a request for a file of a repository.
pub(crate) fn answer(charts: &Charts, file: &str) -> Result<Answer> {
    if file == "index.yaml" {
        let index = serde_yaml::to_string(&index(charts)?).attempting(|| "write index.yaml".into())?;
        return Ok(Answer::body(StatusCode::OK, "text/yaml", index));
    }
    let archive = charts.archives.iter().find(|a| a.file_name().is_some_and(|name| name == file));
    match archive {
        Some(archive) => {
            let bytes = fs::read(archive).attempting(|| format!("read {}", archive.display()))?;
            Ok(Answer::body(StatusCode::OK, "application/gzip", bytes))
        }
        None => Ok(Answer::text(StatusCode::NOT_FOUND, format!("this repository has no {file}\n"))),
    }
}

fn index(charts: &Charts) -> Result<Value> {
    let mut entries = Map::new();
    for archive in &charts.archives {
        let attempted = || format!("index {}", archive.display());
        let bytes = fs::read(archive).attempting(attempted)?;
        let mut chart: Value = serde_yaml::from_str(&chart_yaml(&bytes, archive)?).attempting(attempted)?;
        let name = chart["name"].as_str().unwrap_or_default().to_owned();
        let file = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        chart["urls"] = json!([file]);
        chart["digest"] = json!(sha256_hex(&bytes));
        if let Some(list) = entries.entry(name).or_insert_with(|| json!([])).as_array_mut() {
            list.push(chart);
        }
    }
    Ok(json!({"apiVersion": "v1", "entries": entries}))
}

/// `<chart>/Chart.yaml` of an archive.
fn chart_yaml(archive: &[u8], path: &Path) -> Result<String> {
    let attempted = || format!("find Chart.yaml in {}", path.display());
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in tar.entries().attempting(attempted)? {
        let mut entry = entry.attempting(attempted)?;
        let name = entry.path().attempting(attempted)?.into_owned();
        if name.components().count() == 2 && name.file_name().is_some_and(|f| f == "Chart.yaml") {
            let mut text = String::new();
            entry.read_to_string(&mut text).attempting(attempted)?;
            return Ok(text);
        }
    }
    Err(Error::new(attempted(), "the archive has none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_repositories_share_a_host() {
        let at = |path: &str| Charts { host: "h".into(), path: path.into(), archives: Vec::new() };
        let all = [at("/one"), at("/one-more")];
        let found = |host: &str, path: &'static str| find(&all, host, path).map(|(c, file)| (c.path.clone(), file));
        assert_eq!(found("h", "/one/index.yaml"), Some(("/one".into(), "index.yaml")));
        assert_eq!(found("h", "/one-more/a-1.tgz"), Some(("/one-more".into(), "a-1.tgz")));
        assert_eq!(found("h", "/index.yaml"), None);
        assert_eq!(found("other", "/one/index.yaml"), None);
        assert_eq!(find(&[at("")], "h", "/index.yaml").map(|(_, file)| file), Some("index.yaml"));
    }
}
