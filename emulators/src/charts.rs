//! A Helm repository: `index.yaml` from the archives' own `Chart.yaml`, and the archives.

use std::{fs, io::Read, path::Path};

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{Answer, Attempt, Error, Result, aws::sigv4::sha256_hex, config::Charts};

/// Answers a request for `path`.
pub(crate) fn answer(charts: &Charts, path: &str) -> Result<Answer> {
    let file = path.trim_start_matches('/');
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
