//! What Argo CD makes of a platform, before anything runs: its applications with their objects, rendered by the same
//! programs, called as Argo CD calls them. What Argo CD could render and this cannot is refused, not left out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use walkdir::WalkDir;

use super::{manifest::parse, roots, set};
use crate::{
    command::Run,
    components::Store,
    failure::{Attempt, Failure, Result},
};

/// File names that make a folder a kustomization.
pub(super) const KUSTOMIZATIONS: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
/// Ends of the names of plain manifests.
pub(super) const MANIFESTS: [&str; 3] = ["yaml", "yml", "json"];

/// An application with everything that it consists of.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Namespace of objects that name none.
    pub namespace: String,
    /// Paths of its sources in the platform's tree; a chart of a repository has none.
    pub paths: Vec<String>,
    /// Its objects, of which the last wins when several have one name.
    pub objects: Vec<DynamicObject>,
}

/// An application as Git has it.
#[derive(Debug)]
pub struct Declared {
    /// Its manifest.
    pub manifest: DynamicObject,
    /// What it renders to, or why it does not.
    pub rendered: Result<Application>,
}

/// Renders the applications of one platform.
#[derive(Debug)]
pub struct Renderer {
    platform: PathBuf,
    kustomize: PathBuf,
    /// The platform's options for `kustomize build`, from its settings of Argo CD.
    options: Vec<String>,
    helm: PathBuf,
    /// Release of Kubernetes that charts are rendered for.
    kubernetes: String,
    charts: Vec<PathBuf>,
    /// Names of applications that are not rendered.
    without: BTreeSet<String>,
    /// Folder for what helm keeps, and for charts and values.
    scratch: TempDir,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    destination: Destination,
    source: Option<Source>,
    #[serde(default)]
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct Destination {
    server: Option<String>,
    name: Option<String>,
    #[serde(default)]
    namespace: String,
}

/// A source, with every field that has a meaning here; one with another is refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Source {
    #[serde(rename = "repoURL")]
    repo_url: String,
    #[serde(default)]
    target_revision: String,
    #[serde(rename = "name")]
    _name: Option<String>,
    path: Option<String>,
    chart: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    helm: Option<Helm>,
    #[serde(default)]
    directory: Directory,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Directory {
    #[serde(default)]
    recurse: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Helm {
    release_name: Option<String>,
    value_files: Vec<String>,
    ignore_missing_value_files: bool,
    values: Option<String>,
    values_object: Option<Value>,
    parameters: Vec<Parameter>,
    skip_crds: bool,
    skip_tests: bool,
    skip_schema_validation: bool,
    kube_version: Option<String>,
    api_versions: Vec<String>,
    namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Parameter {
    name: String,
    value: String,
    #[serde(default)]
    force_string: bool,
}

impl Renderer {
    /// Gets the programs and prepares to render the platform, whose settings of Argo CD are in another folder, with these
    /// chart archives.
    ///
    /// # Errors
    /// When no source has a program, or the platform's settings cannot be read.
    pub async fn find(store: &Store, platform: &Path, settings: &Path, charts: Vec<PathBuf>) -> Result<Self> {
        let argocd = store.lock.argocd()?;
        Ok(Self {
            platform: platform.to_owned(),
            kustomize: store.obtain(&argocd.kustomize).await?.path.join("kustomize"),
            options: build_options(&settings.join("argocd-cm.yaml"))?,
            helm: store.obtain(&argocd.helm).await?.path.join("helm"),
            kubernetes: store.lock.kubernetes.chosen.clone(),
            charts,
            without: BTreeSet::new(),
            scratch: TempDir::with_prefix("trinity-e2e-").attempting(|| "make a temporary folder".into())?,
        })
    }

    /// The same with further chart archives, and without the applications of these names, which cannot be had here.
    #[must_use]
    pub fn with(mut self, charts: Vec<PathBuf>, without: BTreeSet<String>) -> Self {
        self.charts.extend(charts);
        self.without = without;
        self
    }

    /// The applications of the file or folder `root`, the applications that they consist of, and theirs in turn, parents first.
    ///
    /// # Errors
    /// What cannot be rendered, and in which application.
    pub async fn applications(&self, root: &Path) -> Result<Vec<Application>> {
        self.declared(root).await?.into_iter().map(|declared| declared.rendered).collect()
    }

    /// The same, with what Git says of each: one that cannot be rendered does not keep the others from it.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub async fn declared(&self, root: &Path) -> Result<Vec<Declared>> {
        // A root of charts alone has none.
        let own = roots::repository(root).map(|url| plain(&url)).unwrap_or_default();
        let makes = |object: &DynamicObject| is_application(object) || is_set(object);
        let mut waiting: VecDeque<DynamicObject> = roots::objects(root)?.into_iter().filter(makes).collect();
        let (mut seen, mut declared) = (BTreeSet::new(), Vec::new());
        while let Some(manifest) = waiting.pop_front() {
            let name = manifest.metadata.name.clone().unwrap_or_default();
            if !seen.insert((is_set(&manifest), name.clone())) {
                continue;
            }
            if is_application(&manifest) && self.without.contains(&name) {
                continue;
            }
            if is_set(&manifest) {
                match set::applications(&manifest, &self.platform) {
                    Ok(applications) => waiting.extend(applications),
                    Err(failure) => declared.push(Declared { manifest, rendered: Err(failure) }),
                }
                continue;
            }
            let rendered =
                self.render(&name, &manifest, &own).await.attempting(|| format!("render application {name}"));
            let children = rendered.iter().flat_map(|application| &application.objects);
            waiting.extend(children.filter(|o| makes(o)).cloned());
            declared.push(Declared { manifest, rendered });
        }
        Ok(declared)
    }

    /// The objects of a chart with the chart's own values, rendered for the namespace of its name.
    ///
    /// # Errors
    /// When there is no such chart, or it cannot be rendered.
    pub async fn stock(&self, chart: &str, version: &str) -> Result<Vec<DynamicObject>> {
        let folder = self.unpack(chart, version)?;
        let yaml = self.chart(chart, chart, &folder, None, &BTreeSet::new()).await?;
        parse(&yaml, &format!("{chart} {version}"))
    }

    async fn render(&self, name: &str, manifest: &DynamicObject, own: &str) -> Result<Application> {
        let Spec { destination, source, sources } =
            serde_json::from_value(manifest.data["spec"].clone()).attempting(|| "understand its spec".into())?;
        let here = |name: &str| ["in-cluster", "https://kubernetes.default.svc"].contains(&name);
        if let Some(other) = destination.server.as_deref().or(destination.name.as_deref()).filter(|n| !here(n)) {
            return Err(Failure::new("find its cluster", format!("it is for {other}, which is another one")));
        }
        let sources: Vec<Source> = source.into_iter().chain(sources).collect();
        let foreign = sources.iter().filter(|s| s.chart.is_none()).find(|s| plain(&s.repo_url) != own);
        if let Some(Source { repo_url, .. }) = foreign {
            return Err(Failure::new("find its source", format!("{repo_url} is not the platform's own repository")));
        }
        let references: BTreeSet<&str> = sources.iter().filter_map(|source| source.reference.as_deref()).collect();
        let mut objects = BTreeMap::new();
        for source in &sources {
            for object in self.source(name, &destination.namespace, source, &references).await? {
                objects.insert(identity(&object), object);
            }
        }
        Ok(Application {
            name: name.into(),
            namespace: destination.namespace,
            paths: sources.iter().filter_map(|source| source.path.clone()).collect(),
            objects: objects.into_values().collect(),
        })
    }

    /// The objects of one source, by the kind of source that Argo CD takes it for.
    async fn source(
        &self,
        name: &str,
        namespace: &str,
        source: &Source,
        refs: &BTreeSet<&str>,
    ) -> Result<Vec<DynamicObject>> {
        let helm = source.helm.as_ref();
        let yaml = match (&source.chart, &source.path) {
            (Some(chart), _) => {
                let folder = self.unpack(chart, &source.target_revision)?;
                self.chart(name, namespace, &folder, helm, refs).await?
            }
            (None, Some(path)) => {
                let folder = self.platform.join(path);
                if !folder.is_dir() {
                    return Err(Failure::new(format!("find its path {path}"), "the platform has no such folder"));
                }
                if folder.join("Chart.yaml").exists() {
                    self.chart(name, namespace, &folder, helm, refs).await?
                } else if KUSTOMIZATIONS.iter().any(|file| folder.join(file).exists()) {
                    Run::new(&self.kustomize).arg("build").arg(&folder).args(&self.options).text().await?
                } else {
                    manifests(&folder, source.directory.recurse)?
                }
            }
            // It only lends its files to other sources.
            (None, None) if source.reference.is_some() => return Ok(Vec::new()),
            (None, None) => return Err(Failure::new("find its source", "it has neither a path nor a chart")),
        };
        let objects = parse(&yaml, name)?.into_iter().map(items).collect::<Result<Vec<_>>>()?;
        Ok(objects.into_iter().flatten().filter(|object| !is_test(object)).collect())
    }

    /// Unpacks the archive of a chart.
    fn unpack(&self, chart: &str, version: &str) -> Result<PathBuf> {
        let wanted = format!("{chart}-{version}.tgz");
        let names = || {
            let names = self.charts.iter().filter_map(|archive| archive.file_name());
            names.map(|name| name.to_string_lossy().into_owned()).collect::<Vec<_>>().join(", ")
        };
        let archive = self.charts.iter().find(|archive| archive.ends_with(&wanted)).ok_or_else(|| {
            Failure::new(format!("find chart {chart} {version}"), format!("there is no {wanted}, only {}", names()))
                .next("pin a version that the component lock has")
        })?;
        let attempted = || format!("unpack {}", archive.display());
        let folder = self.scratch.path().join(format!("{chart}-{version}"));
        let file = fs::File::open(archive).attempting(attempted)?;
        tar::Archive::new(GzDecoder::new(file)).unpack(&folder).attempting(attempted)?;
        Ok(folder.join(chart))
    }

    /// `helm template` as Argo CD calls it. Argo CD also tells helm which kinds the cluster serves; here helm knows its own.
    async fn chart(
        &self,
        name: &str,
        namespace: &str,
        folder: &Path,
        helm: Option<&Helm>,
        refs: &BTreeSet<&str>,
    ) -> Result<String> {
        let default = Helm::default();
        let helm = helm.unwrap_or(&default);
        let mut texts = helm.parameters.iter().map(|parameter| &parameter.value).chain(&helm.value_files);
        if let Some(text) = texts.find(|text| text.contains("ARGOCD_APP_") || text.contains("ARGOCD_ENV_")) {
            return Err(Failure::new(
                "find its values",
                format!("{text} is for Argo CD's build environment to fill in"),
            ));
        }
        let mut run = Run::new(&self.helm)
            .arg("template")
            .arg(folder)
            .args(["--name-template", helm.release_name.as_deref().unwrap_or(name)])
            .args(["--namespace", helm.namespace.as_deref().unwrap_or(namespace)])
            .args(["--kube-version", helm.kube_version.as_deref().unwrap_or(&self.kubernetes)]);
        for home in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            run = run.env(home, self.scratch.path());
        }
        for version in &helm.api_versions {
            run = run.args(["--api-versions", version]);
        }
        for file in &helm.value_files {
            let path = self.value_file(folder, file, refs)?;
            if path.exists() || !helm.ignore_missing_value_files {
                run = run.arg("--values").arg(path);
            }
        }
        if let Some(values) = helm.inline()? {
            let path = self.scratch.path().join(format!("{name}.yaml"));
            fs::write(&path, values).attempting(|| format!("write {}", path.display()))?;
            run = run.arg("--values").arg(path);
        }
        for Parameter { name, value, force_string } in &helm.parameters {
            run =
                run.arg(if *force_string { "--set-string" } else { "--set" }).arg(format!("{name}={}", escape(value)));
        }
        let flags = [
            (!helm.skip_crds, "--include-crds"),
            (helm.skip_tests, "--skip-tests"),
            (helm.skip_schema_validation, "--skip-schema-validation"),
        ];
        run.args(flags.into_iter().filter_map(|(set, flag)| set.then_some(flag))).text().await
    }

    /// A file of values: in the chart, in the platform when it begins with a slash, or in a source that lends its files.
    fn value_file(&self, chart: &Path, file: &str, refs: &BTreeSet<&str>) -> Result<PathBuf> {
        let refused = |why: &str| Failure::new(format!("find the values {file}"), why);
        if file.contains("://") {
            return Err(refused("they are not in the platform's repository"));
        }
        match file.strip_prefix('$').map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
            Some((reference, path)) if refs.contains(reference) => Ok(self.platform.join(path)),
            Some(_) => Err(refused("no source of the application has this ref")),
            None => Ok(file.strip_prefix('/').map_or_else(|| chart.join(file), |path| self.platform.join(path))),
        }
    }
}

impl Helm {
    /// The values that the application itself has; the object goes before the text.
    fn inline(&self) -> Result<Option<String>> {
        match &self.values_object {
            Some(object) => serde_yaml::to_string(object).map(Some).attempting(|| "write its values".into()),
            None => Ok(self.values.clone()),
        }
    }
}

/// A value for `--set`, in which a comma would begin the next one.
fn escape(value: &str) -> String {
    let mut text = String::new();
    for c in value.chars() {
        if c == ',' && !text.ends_with('\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// All plain manifests of a folder as one text.
pub(super) fn manifests(folder: &Path, recurse: bool) -> Result<String> {
    let attempted = || format!("read the manifests in {}", folder.display());
    let mut texts = Vec::new();
    for entry in WalkDir::new(folder).max_depth(if recurse { usize::MAX } else { 1 }).sort_by_file_name() {
        let entry = entry.attempting(attempted)?;
        let ending = entry.path().extension().unwrap_or_default();
        if entry.file_type().is_file() && MANIFESTS.iter().any(|known| ending == *known) {
            texts.push(fs::read_to_string(entry.path()).attempting(attempted)?);
        }
    }
    Ok(texts.join("\n---\n"))
}

/// Argo CD's setting `kustomize.buildOptions`.
fn build_options(settings: &Path) -> Result<Vec<String>> {
    if !settings.exists() {
        return Ok(Vec::new());
    }
    let attempted = || format!("read {}", settings.display());
    let text = fs::read_to_string(settings).attempting(attempted)?;
    let settings: ConfigMap = serde_yaml::from_str(&text).attempting(attempted)?;
    let options = settings.data.and_then(|mut data| data.remove("kustomize.buildOptions")).unwrap_or_default();
    Ok(options.split_whitespace().map(Into::into).collect())
}

/// The members of a list, or the object itself.
fn items(mut object: DynamicObject) -> Result<Vec<DynamicObject>> {
    let list = object.types.as_ref().is_some_and(|types| types.kind.ends_with("List"));
    match object.data.get_mut("items").filter(|_| list).map(Value::take) {
        Some(items) => serde_json::from_value(items).attempting(|| "read a list of objects".into()),
        None => Ok(vec![object]),
    }
}

/// A test of a chart, which Argo CD does not apply.
fn is_test(object: &DynamicObject) -> bool {
    let hook = object.metadata.annotations.as_ref().and_then(|annotations| annotations.get("helm.sh/hook"));
    hook.is_some_and(|hook| hook.split(',').all(|hook| hook.trim().starts_with("test")))
}

pub(super) fn is_application(object: &DynamicObject) -> bool {
    is(object, "Application")
}

pub(super) fn is_set(object: &DynamicObject) -> bool {
    is(object, "ApplicationSet")
}

fn is(object: &DynamicObject, kind: &str) -> bool {
    object.types.as_ref().is_some_and(|t| t.kind == kind && t.api_version.starts_with("argoproj.io/"))
}

/// Kind, namespace and name.
fn identity(object: &DynamicObject) -> (String, String, String) {
    let kind = object.types.as_ref().map(|t| format!("{} {}", t.api_version, t.kind)).unwrap_or_default();
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    (kind, text(&object.metadata.namespace), text(&object.metadata.name))
}

/// A repository's URL without what makes no difference.
pub(super) fn plain(url: &str) -> String {
    url.trim_end_matches('/').trim_end_matches(".git").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://example.com/platform";

    /// A renderer without programs, and a platform with these files.
    fn renderer(files: &[(&str, &str)]) -> (TempDir, Renderer) {
        let platform = TempDir::new().unwrap();
        for (name, text) in files {
            let path = platform.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let renderer = Renderer {
            platform: platform.path().into(),
            kustomize: "/nonexistent/kustomize".into(),
            options: Vec::new(),
            helm: "/nonexistent/helm".into(),
            kubernetes: "1.34.0".into(),
            charts: vec!["/nonexistent/some-1.0.0.tgz".into()],
            without: BTreeSet::new(),
            scratch: TempDir::new().unwrap(),
        };
        (platform, renderer)
    }

    fn application(name: &str, source: &str) -> String {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\nspec:\n  \
             destination: {{namespace: {name}-space}}\n  source: {{repoURL: {OWN}.git, {source}}}\n"
        )
    }

    async fn failure(source: &str) -> String {
        let files = [("root.yaml", application("root", source)), ("chart/Chart.yaml", String::new())];
        let (platform, renderer) = renderer(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
        renderer.applications(&platform.path().join("root.yaml")).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn applications_follow_from_the_root() {
        let list = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n";
        let test = "kind: Pod\napiVersion: v1\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n";
        let (platform, renderer) = renderer(&[
            ("root.yaml", &application("root", "path: clusters")),
            ("clusters/a.yaml", &application("a", "path: a")),
            ("clusters/b.yml", &application("b", "path: b, directory: {recurse: true}")),
            ("a/list.yaml", list),
            ("a/below/left-out.yaml", list),
            ("a/notes.txt", "no manifest"),
            ("b/below/one.json", r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}}"#),
            ("b/test.yaml", test),
        ]);
        let applications = renderer.applications(&platform.path().join("root.yaml")).await.unwrap();
        let told: Vec<(&str, &str, Vec<&str>)> = applications
            .iter()
            .map(|a| {
                let names = a.objects.iter().filter_map(|o| o.metadata.name.as_deref()).collect();
                (a.name.as_str(), a.namespace.as_str(), names)
            })
            .collect();
        let expected =
            [("root", "root-space", vec!["a", "b"]), ("a", "a-space", vec!["p"]), ("b", "b-space", vec!["q"])];
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn what_cannot_be_rendered_is_refused() {
        for (source, told) in [
            ("path: nowhere", "the platform has no such folder"),
            ("chart: some, targetRevision: 2.0.0", "there is no some-2.0.0.tgz, only some-1.0.0.tgz"),
            ("path: ., kustomize: {namePrefix: x}", "unknown field `kustomize`"),
            ("path: ., plugin: {}", "unknown field `plugin`"),
            ("path: chart, helm: {parameters: [{name: a, value: $ARGOCD_APP_NAME}]}", "build environment"),
            ("targetRevision: main", "neither a path nor a chart"),
        ] {
            let failure = failure(source).await;
            assert!(failure.contains("render application root") && failure.contains(told), "{failure}");
        }
    }

    #[test]
    fn values_are_found_where_argo_cd_finds_them() {
        let (platform, renderer) = renderer(&[]);
        let find = |file: &str| renderer.value_file(Path::new("/chart"), file, &BTreeSet::from(["values"]));
        assert_eq!(find("a.yaml").unwrap(), Path::new("/chart/a.yaml"));
        assert_eq!(find("/b/a.yaml").unwrap(), platform.path().join("b/a.yaml"));
        assert_eq!(find("$values/c/a.yaml").unwrap(), platform.path().join("c/a.yaml"));
        assert!(find("$other/a.yaml").is_err() && find("https://example.com/a.yaml").is_err());
    }

    #[test]
    fn a_comma_does_not_begin_another_parameter() {
        assert_eq!(escape("a,b"), "a\\,b");
        assert_eq!(escape("a\\,b"), "a\\,b");
    }
}
