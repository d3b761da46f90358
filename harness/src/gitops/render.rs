//! What Argo CD makes of a platform, before anything runs: its applications with their objects, rendered by the same
//! programs, called as Argo CD calls them. What Argo CD could render and this cannot is told, not left out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use walkdir::WalkDir;

use super::{
    abroad::{Charts, Lack},
    manifest::parse,
    rendered::{Rendered, Unrendered},
    roots, set,
};
use crate::{
    command::Run,
    components::{Missing, Need, Store, repository::Release},
    failure::{Attempt, Failure, Result},
    world::Cloud,
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
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its manifest, or that of the ApplicationSet whose applications are not known.
    pub manifest: DynamicObject,
    /// What it renders to, or why it does not.
    pub rendered: Result<Application, Unrendered>,
}

impl Declared {
    /// What it is, for people.
    pub fn name(&self) -> String {
        let kind = if is_set(&self.manifest) { "ApplicationSet" } else { "application" };
        format!("{kind} {}", self.manifest.metadata.name.as_deref().unwrap_or_default())
    }
}

/// What ends the rendering of an application: this program could not do its work, or the application has no objects.
#[derive(Debug)]
enum Stop {
    Harness(Failure),
    Application(Unrendered),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Harness(failure)
    }
}

impl From<Unrendered> for Stop {
    fn from(why: Unrendered) -> Self {
        Self::Application(why)
    }
}

/// Renders the applications of one platform.
#[derive(Debug)]
pub struct Renderer<'a> {
    store: &'a Store,
    platform: PathBuf,
    kustomize: PathBuf,
    /// The platform's options for `kustomize build`, from its settings of Argo CD.
    options: Vec<String>,
    helm: PathBuf,
    /// Release of Kubernetes that charts are rendered for.
    kubernetes: String,
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

impl<'a> Renderer<'a> {
    /// Gets the programs and prepares to render the platform, whose settings of Argo CD are in another folder.
    ///
    /// # Errors
    /// When no source has a program, or the platform's settings cannot be read.
    pub async fn find(store: &'a Store, platform: &Path, settings: &Path) -> Result<Self> {
        let argocd = store.lock.argocd()?;
        Ok(Self {
            store,
            platform: platform.to_owned(),
            kustomize: store.obtain(&argocd.kustomize).await?.path.join("kustomize"),
            options: build_options(&settings.join("argocd-cm.yaml"))?,
            helm: store.obtain(&argocd.helm).await?.path.join("helm"),
            kubernetes: store.lock.kubernetes.chosen.clone(),
            scratch: TempDir::with_prefix("trinity-e2e-").attempting(|| "make a temporary folder".into())?,
        })
    }

    /// The applications of each cloud: those of its root, which is a file or a folder, the applications that they consist of,
    /// and theirs in turn, parents first. One that cannot be rendered does not keep the others from it.
    ///
    /// # Errors
    /// When a root cannot be read, or a program does not run.
    pub async fn all(&self, roots: &[(Cloud, PathBuf)]) -> Result<Rendered> {
        let clouds = roots.iter().map(async |(cloud, root)| Ok((*cloud, self.declared(*cloud, root).await?)));
        let mut rendered = Rendered::default();
        for (cloud, (declared, charts)) in try_join_all(clouds).await? {
            rendered.add(cloud, declared, charts.foreign);
        }
        Ok(rendered)
    }

    async fn declared(&self, cloud: Cloud, root: &Path) -> Result<(Vec<Declared>, Charts)> {
        // A root of charts alone has none.
        let own = roots::repository(root).map(|url| plain(&url)).unwrap_or_default();
        let makes = |object: &DynamicObject| is_application(object) || is_set(object);
        let mut waiting: VecDeque<DynamicObject> = roots::objects(root)?.into_iter().filter(makes).collect();
        let (mut seen, mut declared, mut charts) = (BTreeSet::new(), Vec::new(), Charts::default());
        while let Some(manifest) = waiting.pop_front() {
            let name = manifest.metadata.name.clone().unwrap_or_default();
            if !seen.insert((is_set(&manifest), name.clone())) {
                continue;
            }
            if is_set(&manifest) {
                match set::applications(&manifest, &self.platform) {
                    Ok(applications) => waiting.extend(applications),
                    Err(failure) => declared.push(Declared { manifest, rendered: Err(Unrendered::Unknown(failure)) }),
                }
                continue;
            }
            let rendered = match charts.add(self.store, &manifest, &own).await {
                Ok(()) => match self.render(&name, &manifest, &charts).await {
                    Ok(application) => Ok(application),
                    Err(Stop::Application(why)) => Err(why.of(&name)),
                    Err(Stop::Harness(failure)) => {
                        return Err(failure.within(format!("render application {name}")));
                    }
                },
                Err(Lack { repository, reason }) => {
                    let what = Need::Application { cloud, name, repository };
                    Err(Unrendered::Absent(Missing { what, reason }))
                }
            };
            let children = rendered.iter().flat_map(|application| &application.objects);
            waiting.extend(children.filter(|o| makes(o)).cloned());
            declared.push(Declared { manifest, rendered });
        }
        Ok((declared, charts))
    }

    /// The objects in the archive of a chart with the chart's own values, rendered for the namespace of its name.
    ///
    /// # Errors
    /// When there is no such archive, or it cannot be rendered.
    pub async fn stock(&self, chart: &str, archive: &Path) -> Result<Vec<DynamicObject>> {
        let folder = self.unpack(chart, archive)?;
        match self.chart(chart, chart, &folder, None, &BTreeSet::new()).await {
            Ok(yaml) => parse(&yaml, &archive.display().to_string()),
            Err(Stop::Harness(failure)) => Err(failure),
            Err(Stop::Application(why)) => Err(Failure::new(format!("render {}", archive.display()), why)),
        }
    }

    async fn render(&self, name: &str, manifest: &DynamicObject, charts: &Charts) -> Result<Application, Stop> {
        let Spec { destination, source, sources } = serde_json::from_value(manifest.data["spec"].clone())
            .attempting(|| "understand its spec".into())
            .map_err(Unrendered::Unknown)?;
        let here = |name: &str| ["in-cluster", "https://kubernetes.default.svc"].contains(&name);
        if let Some(other) = destination.server.as_deref().or(destination.name.as_deref()).filter(|n| !here(n)) {
            let seen = format!("it is for {other}, which is another one");
            return Err(Unrendered::Unknown(Failure::new("find its cluster", seen)).into());
        }
        let sources: Vec<Source> = source.into_iter().chain(sources).collect();
        let references: BTreeSet<&str> = sources.iter().filter_map(|source| source.reference.as_deref()).collect();
        let mut objects = BTreeMap::new();
        for source in &sources {
            for object in self.source(name, &destination.namespace, source, &references, charts).await? {
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
        charts: &Charts,
    ) -> Result<Vec<DynamicObject>, Stop> {
        let helm = source.helm.as_ref();
        let yaml = match (&source.chart, &source.path) {
            (Some(chart), _) => {
                let release = source.release(chart);
                let archive =
                    charts.archive(&release).ok_or_else(|| Failure::new(format!("find {release}"), "nobody got it"))?;
                self.chart(name, namespace, &self.unpack(chart, archive)?, helm, refs).await?
            }
            (None, Some(path)) => {
                let folder = self.platform.join(path);
                if !folder.is_dir() {
                    let next = "correct the path in the application, or add the folder";
                    let failure = Failure::new(format!("find its path {path}"), "the platform has no such folder");
                    return Err(Unrendered::Broken(failure.next(next)).into());
                }
                if folder.join("Chart.yaml").exists() {
                    self.chart(name, namespace, &folder, helm, refs).await?
                } else if KUSTOMIZATIONS.iter().any(|file| folder.join(file).exists()) {
                    let next = format!("correct the kustomization {path}: the same command shows whether it builds");
                    built(Run::new(&self.kustomize).arg("build").arg(&folder).args(&self.options), &next).await?
                } else {
                    manifests(&folder, source.directory.recurse).map_err(Unrendered::Broken)?
                }
            }
            // It only lends its files to other sources.
            (None, None) if source.reference.is_some() => return Ok(Vec::new()),
            (None, None) => {
                let failure = Failure::new("find its source", "it has neither a path nor a chart");
                return Err(Unrendered::Broken(failure.next("give its source a path or a chart")).into());
            }
        };
        let objects = parse(&yaml, name).and_then(|objects| objects.into_iter().map(items).collect::<Result<Vec<_>>>());
        let objects = objects.map_err(Unrendered::Broken)?;
        Ok(objects.into_iter().flatten().filter(|object| !is_test(object)).collect())
    }

    /// Unpacks the archive of a chart to a folder of its own.
    fn unpack(&self, chart: &str, archive: &Path) -> Result<PathBuf> {
        let attempted = || format!("unpack {}", archive.display());
        let folder = TempDir::new_in(&self.scratch).attempting(attempted)?.keep();
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
    ) -> Result<String, Stop> {
        let default = Helm::default();
        let helm = helm.unwrap_or(&default);
        let mut texts = helm.parameters.iter().map(|parameter| &parameter.value).chain(&helm.value_files);
        if let Some(text) = texts.find(|text| text.contains("ARGOCD_APP_") || text.contains("ARGOCD_ENV_")) {
            let seen = format!("{text} is for Argo CD's build environment to fill in");
            return Err(Unrendered::Unknown(Failure::new("find its values", seen)).into());
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
            let attempted = || format!("write the values of application {name}");
            let path = TempDir::new_in(&self.scratch).attempting(attempted)?.keep().join("values.yaml");
            fs::write(&path, values).attempting(attempted)?;
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
        let run = run.args(flags.into_iter().filter_map(|(set, flag)| set.then_some(flag)));
        built(run, "correct the values that the application gives to the chart, or the chart").await
    }

    /// A file of values: in the chart, in the platform when it begins with a slash, or in a source that lends its files.
    fn value_file(&self, chart: &Path, file: &str, refs: &BTreeSet<&str>) -> Result<PathBuf, Unrendered> {
        let refused = |why: &str| Failure::new(format!("find the values {file}"), why);
        if file.contains("://") {
            return Err(Unrendered::Unknown(refused("they are not in the platform's repository")));
        }
        match file.strip_prefix('$').map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
            Some((reference, path)) if refs.contains(reference) => Ok(self.platform.join(path)),
            Some(_) => Err(Unrendered::Broken(refused("no source of the application has this ref"))),
            None => Ok(file.strip_prefix('/').map_or_else(|| chart.join(file), |path| self.platform.join(path))),
        }
    }
}

/// What a program says on its standard output. That it refuses its input is the application's fault; `next` says what to do.
async fn built(run: Run, next: &str) -> Result<String, Stop> {
    let output = run.answer().await?.map_err(|failure| Unrendered::Broken(failure.next(next)))?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}

impl Source {
    /// The release of a chart that it names.
    fn release(&self, chart: &str) -> Release {
        Release { repository: self.repo_url.clone(), chart: chart.into(), version: self.target_revision.clone() }
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
    use crate::components::Options;

    const OWN: &str = "https://example.com/platform";

    /// A platform with these files, and what renders it without programs.
    struct Platform {
        tree: TempDir,
        store: Store,
    }

    impl Platform {
        fn new(files: &[(&str, &str)]) -> Self {
            let tree = TempDir::new().unwrap();
            for (name, text) in files {
                let path = tree.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let cache = Some(tree.path().join(".cache"));
            Self { store: Store::open(Options { cache, mirror: None }).unwrap(), tree }
        }

        /// With this program in kustomize's place, and no helm.
        fn renderer(&self, kustomize: &str) -> Renderer<'_> {
            Renderer {
                store: &self.store,
                platform: self.tree.path().into(),
                kustomize: kustomize.into(),
                options: Vec::new(),
                helm: "/nonexistent/helm".into(),
                kubernetes: "1.34.0".into(),
                scratch: TempDir::new().unwrap(),
            }
        }

        async fn rendered(&self, kustomize: &str) -> Result<Rendered> {
            self.renderer(kustomize).all(&[(Cloud::Aws, self.tree.path().join("root.yaml"))]).await
        }
    }

    fn application(name: &str, source: &str) -> String {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\nspec:\n  \
             destination: {{namespace: {name}-space}}\n  source: {{repoURL: {OWN}.git, {source}}}\n"
        )
    }

    #[tokio::test]
    async fn applications_follow_from_the_root() {
        let list = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n";
        let test = "kind: Pod\napiVersion: v1\nmetadata: {name: t, annotations: {helm.sh/hook: test}}\n";
        let platform = Platform::new(&[
            ("root.yaml", &application("root", "path: clusters")),
            ("clusters/a.yaml", &application("a", "path: a")),
            ("clusters/b.yml", &application("b", "path: b, directory: {recurse: true}")),
            ("a/list.yaml", list),
            ("a/below/left-out.yaml", list),
            ("a/notes.txt", "no manifest"),
            ("b/below/one.json", r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}}"#),
            ("b/test.yaml", test),
        ]);
        let rendered = platform.rendered("/nonexistent/kustomize").await.unwrap();
        let told: Vec<(&str, &str, Vec<&str>)> = rendered
            .applications(Cloud::Aws)
            .map(|a| {
                let names = a.objects.iter().filter_map(|o| o.metadata.name.as_deref()).collect();
                (a.name.as_str(), a.namespace.as_str(), names)
            })
            .collect();
        let expected =
            [("root", "root-space", vec!["a", "b"]), ("a", "a-space", vec!["p"]), ("b", "b-space", vec!["q"])];
        assert_eq!(told, expected);
        assert!(rendered.is_whole() && rendered.of(Cloud::Gcp).is_empty());
    }

    #[tokio::test]
    async fn one_that_cannot_be_rendered_is_told_with_the_reason() {
        type Kind = fn(&Unrendered) -> bool;
        let broken: Kind = |why| matches!(why, Unrendered::Broken(_));
        let unknown: Kind = |why| matches!(why, Unrendered::Unknown(_));
        for (kind, source, told) in [
            (broken, "path: nowhere", "the platform has no such folder"),
            (broken, "targetRevision: main", "neither a path nor a chart"),
            (broken, "path: list", "root"),
            (broken, "path: chart, helm: {valueFiles: [$other/a.yaml]}", "no source of the application has this ref"),
            (unknown, "path: ., kustomize: {namePrefix: x}", "unknown field `kustomize`"),
            (unknown, "path: ., plugin: {}", "unknown field `plugin`"),
            (unknown, "path: chart, helm: {parameters: [{name: a, value: $ARGOCD_APP_NAME}]}", "build environment"),
        ] {
            let platform = Platform::new(&[
                ("root.yaml", &application("root", source)),
                ("chart/Chart.yaml", ""),
                ("list/a.yaml", "a: [b"),
            ]);
            let rendered = platform.rendered("/nonexistent/kustomize").await.unwrap();
            let (_, why) = rendered.unrendered(Cloud::Aws).next().unwrap();
            assert!(kind(why), "{source}: {why:?}");
            let why = why.to_string();
            assert!(why.contains("render application root") && why.contains(told), "{why}");
        }
    }

    #[tokio::test]
    async fn a_chart_that_nobody_has_is_absent() {
        // A range is refused before anybody is asked for it.
        let source = application("root", "chart: some, targetRevision: 2.x");
        let platform = Platform::new(&[("root.yaml", &source)]);
        let rendered = platform.rendered("/nonexistent/kustomize").await.unwrap();
        let missing: Vec<_> = rendered.missing().collect();
        assert_eq!(missing[0].what.application(), Some("root"));
        assert!(missing[0].reason.contains("its version is a range"), "{missing:?}");
    }

    /// The one fails, and its sibling is rendered; that a program does not run is nobody's fault.
    #[tokio::test]
    async fn what_a_program_refuses_is_the_applications_fault() {
        let platform = Platform::new(&[
            ("root.yaml", &format!("{}---\n{}", application("one", "path: one"), application("two", "path: two"))),
            ("one/kustomization.yaml", "resources: [pod.yaml]"),
            ("two/pod.yaml", "{apiVersion: v1, kind: Pod, metadata: {name: p}}"),
        ]);
        let rendered = platform.rendered("false").await.unwrap();
        let (declared, why) = rendered.unrendered(Cloud::Aws).next().unwrap();
        assert_eq!(declared.name(), "application one");
        let why = why.to_string();
        for told in ["could not render application one: could not run `false build ", "exit status: 1", "next: correct"]
        {
            assert!(why.contains(told), "{why}");
        }
        assert_eq!(rendered.applications(Cloud::Aws).map(|a| a.name.as_str()).collect::<Vec<_>>(), ["two"]);
        let failure = platform.rendered("/nonexistent/kustomize").await.unwrap_err().to_string();
        assert!(failure.contains("render application one"), "{failure}");
    }

    #[test]
    fn values_are_found_where_argo_cd_finds_them() {
        let platform = Platform::new(&[]);
        let renderer = platform.renderer("/nonexistent/kustomize");
        let find = |file: &str| renderer.value_file(Path::new("/chart"), file, &BTreeSet::from(["values"]));
        assert_eq!(find("a.yaml").unwrap(), Path::new("/chart/a.yaml"));
        assert_eq!(find("/b/a.yaml").unwrap(), platform.tree.path().join("b/a.yaml"));
        assert_eq!(find("$values/c/a.yaml").unwrap(), platform.tree.path().join("c/a.yaml"));
        assert!(find("$other/a.yaml").is_err() && find("https://example.com/a.yaml").is_err());
    }

    #[test]
    fn a_comma_does_not_begin_another_parameter() {
        assert_eq!(escape("a,b"), "a\\,b");
        assert_eq!(escape("a\\,b"), "a\\,b");
    }
}
