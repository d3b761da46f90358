//! External Secrets' Helm chart from its published sources, for releases whose packaged chart cannot be had. The
//! project's own release scripts do the same: they stamp the version and make CRD templates from the CRD bundle.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use flate2::{Compression, GzBuilder};
use serde_yaml::Value;
use tar::{Builder, Header};
use walkdir::WalkDir;

use super::lock::Chart;
use crate::failure::{Attempt, Failure, Result};

/// What the project's `.helmignore` leaves out, and the README that stands in for the CRD templates.
const LEFT_OUT: [&str; 6] =
    ["Chart.lock", "README.md.gotmpl", "ci", "templates/crds/README.md", "tests", ".helmignore"];
/// Annotations that the templates add to every CRD.
const ANNOTATIONS: &str = r#"    {{- with .Values.crds.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if and .Values.crds.conversion.enabled .Values.webhook.certManager.enabled .Values.webhook.certManager.addInjectorAnnotations }}
    cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "external-secrets.fullname" . }}-webhook
    {{- end }}
"#;

/// Packages the chart in `module` as `target` (`.tgz`); equal sources make equal archives.
///
/// # Errors
/// When the module does not have the expected shape.
pub fn package(module: &Path, chart: &Chart, version: &str, target: &Path) -> Result<()> {
    let folder = module.join(&chart.folder);
    let attempted = || format!("package the chart {}", folder.display());
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for entry in WalkDir::new(&folder).sort_by_file_name() {
        let entry = entry.attempting(attempted)?;
        let name = entry.path().strip_prefix(&folder).attempting(attempted)?.to_owned();
        if entry.file_type().is_file() && !LEFT_OUT.iter().any(|left| name.starts_with(left)) {
            let bytes = fs::read(entry.path()).attempting(attempted)?;
            files.push(if name == Path::new("Chart.yaml") { (name, stamp(&bytes, version)?) } else { (name, bytes) });
        }
    }
    let bundle = module.join(&chart.crds);
    let text = fs::read_to_string(&bundle).attempting(|| format!("read {}", bundle.display()))?;
    for document in text.split("\n---\n") {
        let (name, template) = template(document.trim_start_matches("---\n"))?;
        files.push((Path::new("templates/crds").join(format!("{name}.yaml")), template.into_bytes()));
    }
    let file = File::create(target).attempting(attempted)?;
    let mut tar = Builder::new(GzBuilder::new().mtime(0).write(file, Compression::default()));
    for (name, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, Path::new("external-secrets").join(name), bytes.as_slice())
            .attempting(attempted)?;
    }
    tar.into_inner().and_then(|gzip| gzip.finish()).attempting(attempted)?;
    Ok(())
}

/// Chart.yaml with the release's version, and without the optional dependency, whose archive is elsewhere.
fn stamp(chart: &[u8], version: &str) -> Result<Vec<u8>> {
    let attempted = || "stamp Chart.yaml".to_owned();
    let mut fields: serde_yaml::Mapping = serde_yaml::from_slice(chart).attempting(attempted)?;
    fields.remove("dependencies");
    fields.insert("version".into(), version.into());
    fields.insert("appVersion".into(), format!("v{version}").into());
    serde_yaml::to_string(&fields).attempting(attempted).map(String::into_bytes)
}

/// Name and template of one CRD of the bundle.
fn template(document: &str) -> Result<(String, String)> {
    let attempted = || "make a CRD template".to_owned();
    let crd: Value = serde_yaml::from_str(document).attempting(attempted)?;
    let names = &crd["spec"]["names"];
    let (Some(name), Some(kind)) = (names["singular"].as_str(), names["kind"].as_str()) else {
        return Err(Failure::new(attempted(), "the bundle has a document that is no CRD"));
    };
    let optional = kind.contains("Cluster") || kind == "PushSecret";
    let condition = if optional {
        format!("and (.Values.installCRDs) (.Values.crds.create{kind})")
    } else {
        ".Values.installCRDs".into()
    };
    let Some((head, rest)) = document.split_once("  annotations:\n") else {
        return Err(Failure::new(attempted(), format!("{kind} has no annotations")));
    };
    Ok((
        name.into(),
        format!("{{{{- if {condition} }}}}\n{head}  annotations:\n{ANNOTATIONS}{}\n{{{{- end }}}}\n", rest.trim_end()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRD: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  annotations:\n    a: b\n  \
                       name: clustersecretstores.external-secrets.io\nspec:\n  names:\n    kind: ClusterSecretStore\n    singular: clustersecretstore\n";

    #[test]
    fn equal_sources_make_equal_charts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("chart/Chart.yaml", "name: external-secrets\nversion: 0.0.1\ndependencies: [{name: x}]\n");
        write("chart/tests/a.yaml", "left out");
        write("chart/templates/crds/README.md", "left out");
        write("bundle.yaml", CRD);
        let chart = Chart { folder: "chart".into(), crds: "bundle.yaml".into() };
        let archives = ["a.tgz", "b.tgz"].map(|name| {
            package(folder.path(), &chart, "1.2.3", &folder.path().join(name)).unwrap();
            fs::read(folder.path().join(name)).unwrap()
        });
        assert_eq!(archives[0], archives[1]);
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archives[0].as_slice()));
        let names: Vec<String> =
            tar.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["external-secrets/Chart.yaml", "external-secrets/templates/crds/clustersecretstore.yaml"]);
    }

    #[test]
    fn the_version_is_stamped_and_the_dependency_goes() {
        let text = String::from_utf8(
            stamp(b"version: 0.20.3\nappVersion: v0.20.3\ndependencies: [{name: x}]\n", "0.20.4").unwrap(),
        )
        .unwrap();
        assert_eq!(text, "version: 0.20.4\nappVersion: v0.20.4\n");
    }

    #[test]
    fn a_crd_of_an_optional_kind_has_both_conditions() {
        let (name, text) = template(CRD).unwrap();
        assert_eq!(name, "clustersecretstore");
        assert!(
            text.starts_with("{{- if and (.Values.installCRDs) (.Values.crds.createClusterSecretStore) }}\napiVersion"),
            "{text}"
        );
        assert!(text.contains("  annotations:\n    {{- with .Values.crds.annotations }}"), "{text}");
        assert!(text.ends_with("singular: clustersecretstore\n{{- end }}\n"), "{text}");
    }
}
