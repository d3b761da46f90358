//! The main job with its worlds kept: what they are good for, side by side, and how they go.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use quick_junit::{Report, TestCaseStatus};
use tokio::net::TcpListener;
use trinity_e2e::{
    components::{Options, Store},
    world::Cloud,
};
use trinity_emulators::{config::Images, registry::Registry};
use walkdir::WalkDir;

use crate::{
    machine::{Machine, Told},
    platforms::FLEET,
    verify,
};

/// Time for one suite on a kept world, twice; half of it is usual.
const QUICK: Duration = Duration::from_secs(20);

/// kubectl for one kept world.
pub struct Cluster {
    kubectl: PathBuf,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// The kept world of this name, as `trinity-e2e kubeconfig` tells it.
    pub fn find(machine: &Machine, world: &str) -> Self {
        let told = machine.run(&["kubeconfig", world]);
        told.assert_success();
        // The second line of the hint is a command that can be copied.
        let hint = told.stderr.lines().last().unwrap();
        Self { kubectl: hint.split(' ').next().unwrap().into(), kubeconfig: told.stdout.trim().into() }
    }

    /// The same with another kubeconfig.
    pub fn with(cluster: &Self, kubeconfig: PathBuf) -> Self {
        Self { kubectl: cluster.kubectl.clone(), kubeconfig }
    }

    /// Its kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A file of the world's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.kubeconfig.parent().and_then(Path::parent).unwrap().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(args).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        let told = Told::from(self.command(args).output().unwrap());
        told.assert_success();
        told.stdout
    }
}

#[test]
fn kept_worlds_can_be_used_side_by_side_and_leave_nothing() {
    let machine = Machine::new();
    let buildable = Store::open(Options::default()).unwrap().lock.operator.buildable;
    let first = machine.run_e2e(&["--keep"]);
    first.assert_success();
    are_in_the_tables(&Cloud::ALL, &first);
    let second = up_and_again(&machine, &["--operator", &buildable, "--cloud", "gcp"]);
    are_in_the_tables(&[Cloud::Gcp], &second);
    claims_are_in_the_reports(&first);
    all_is_searched_for_leaks(&first);
    recorded_runs_are_judged_again(&machine, &[&first, &second]);
    a_cell_is_no_pass_of_the_pinned_release(&second, &buildable);
    a_choice_is_tried_again_in_seconds(&machine);

    let ambiguous = machine.run(&["kubeconfig"]);
    assert!(!ambiguous.success);
    let words = ambiguous.stderr.split([' ', ',', '\n']);
    let names: Vec<&str> = words.filter(|word| Cloud::ALL.iter().any(|c| word.starts_with(&format!("{c}-")))).collect();
    assert_eq!(names.len(), 4, "four worlds should be named: {}", ambiguous.stderr);
    let clusters: Vec<(&str, Cluster)> = names.iter().map(|name| (*name, Cluster::find(&machine, name))).collect();
    let server = ["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
    let servers: BTreeSet<String> = clusters.iter().map(|(_, cluster)| cluster.kubectl(&server)).collect();
    assert_eq!(servers.len(), 4);
    for (name, cluster) in &clusters {
        kubectl_works(cluster);
        keys_and_values_are_in_memory(&machine, cluster);
        temporary_files_go_with_the_world(&machine, cluster);
        no_value_is_in_the_reports(&machine, name, cluster, &[&first, &second]);
    }
    an_image_from_elsewhere_is_pulled(&clusters[0].1);
    let (name, cluster) = &clusters[0];
    verify::reads_and_writes_nothing(&machine, name, cluster);

    machine.run(&["down"]).assert_success();
    machine.assert_clean();
}

/// Of the world's keys, and of etcd's data as etcd sees them; and nothing dumps core.
fn keys_and_values_are_in_memory(machine: &Machine, cluster: &Cluster) {
    let data = cluster.file("etcd");
    let etcd = format!("--data-dir={}", data.display());
    let (id, _) = machine.processes().into_iter().find(|(_, command)| command.contains(&etcd)).unwrap();
    let root = PathBuf::from(format!("/proc/{id}/root"));
    let member = root.join(data.strip_prefix("/").unwrap()).join("member/snap/db");
    let key = cluster.file("pki/gateway.key");
    for file in [member, cluster.kubeconfig().to_owned(), key] {
        assert_eq!(statfs(&file).unwrap().filesystem_type(), TMPFS_MAGIC, "{}", file.display());
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "there are data beside those in memory");
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

/// However a kubelet ends, which looks with a folder of its own how mounts behave.
fn temporary_files_go_with_the_world(machine: &Machine, cluster: &Cluster) {
    let root = cluster.file("settings/kubelet.json").display().to_string();
    let (id, _) = machine.processes().into_iter().find(|(_, command)| command.contains(&root)).unwrap();
    let environment = fs::read_to_string(format!("/proc/{id}/environ")).unwrap();
    assert!(environment.split('\0').any(|variable| variable == "TMPDIR=/run"), "{environment}");
}

/// A world that is brought up and nothing else; then a part is tried on it.
fn up_and_again(machine: &Machine, args: &[&str]) -> Told {
    let report = machine.folder().join("up");
    let up = machine.run(&[&["up", "--report", report.to_str().unwrap()], args].concat());
    up.assert_success();
    up.assert_says("world gcp-");
    up.assert_says("export KUBECONFIG=");
    let lines: Vec<&str> = up.stdout.lines().collect();
    for line in [lines[0], lines[lines.len() - 1]] {
        assert!(line.contains("chosen: nothing, worlds are brought up and go on"), "{line}");
    }
    assert!(!up.stdout.contains("all claims about"), "{}", up.stdout);
    let again = machine.run_e2e(&[&["--reuse", "--suite", "secret_path"], args].concat());
    again.assert_success();
    assert!(again.stdout.lines().next().unwrap().contains(", on kept worlds gcp-"), "{}", again.stdout);
    again
}

/// One suite on the world with the pinned release; its report is apart, because it has not all claims.
fn a_choice_is_tried_again_in_seconds(machine: &Machine) {
    let report = machine.folder().join("chosen");
    let begun = Instant::now();
    let args = ["--cloud", "gcp", "--suite", "secret_path", "--filter", "stores", "--filter", "crds", "--repeat", "2"];
    let told = machine.run(&[&["e2e", "--reuse", "--report", report.to_str().unwrap()][..], &args].concat());
    told.assert_success();
    assert!(begun.elapsed() < QUICK, "it took {:?}:\n{}", begun.elapsed(), told.all());
    let lines: Vec<&str> = told.stdout.lines().collect();
    for line in [lines[0], lines[lines.len() - 1]] {
        assert!(line.contains("chosen: suites secret_path; tests named stores or crds"), "{line}");
    }
    told.assert_says(" passed  gcp rounds every test comes out the same in 2 rounds (2 tests)");
    told.assert_says("not run  choice everything else: not chosen");
    let run = fs::read_dir(report).unwrap().flatten().next().unwrap().path();
    for place in ["gcp/secrets", "gcp/round-2/secrets"] {
        let cases =
            Report::deserialize_from_str(&fs::read_to_string(run.join(place).join("nextest/e2e/junit.xml")).unwrap());
        let suites = cases.unwrap().test_suites;
        let names: BTreeSet<&str> =
            suites.iter().flat_map(|suite| &suite.test_cases).map(|case| case.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(["crds_are_established::case_2_gcp", "stores_are_valid::case_2_gcp"]));
    }
    let vain = machine.run_e2e(&["--reuse", "--cloud", "gcp", "--filter", "no_such_test"]);
    assert!(!vain.success);
    vain.assert_says("none of the chosen suites has such a one");
    let other = machine.run_e2e(&["--reuse", "--platform", FLEET]);
    assert!(!other.success);
    other.assert_says("is of the platform ");
}

/// The state of these clouds' secrets, the time of their phases and the memory they took.
fn are_in_the_tables(clouds: &[Cloud], told: &Told) {
    for cloud in clouds {
        let row = format!("| trinity-{cloud}: Valid ");
        assert!(told.stdout.lines().any(|l| l.contains(&row) && l.contains("SecretSynced")), "{}", told.stdout);
        assert!(told.stdout.contains(&format!("| {cloud} (s) ")), "{}", told.stdout);
        assert!(told.stdout.contains(&format!("passed  {cloud} canaries: ")), "{}", told.stdout);
    }
    let memory = told.stdout.lines().find(|l| l.contains("memory, peak")).unwrap_or_default();
    assert_eq!(memory.matches(" MiB").count(), clouds.len(), "{}", told.stdout);
}

/// Both the suites' and the harness's own claims are in the JUnit file, and the components with their sources.
fn claims_are_in_the_reports(told: &Told) {
    let text = fs::read_to_string(told.report().join("junit.xml")).unwrap();
    let report = Report::deserialize_from_str(&text).unwrap();
    let claims: BTreeMap<String, bool> = report
        .test_suites
        .iter()
        .flat_map(|suite| &suite.test_cases)
        .map(|case| (case.name.to_string(), matches!(case.status, TestCaseStatus::Success { .. })))
        .collect();
    for claim in [
        "secrets_equal_what_the_backend_holds::case_2_gcp",
        "alone::expired::case_2_gcp",
        "sender::b_outage_of_the_receiver_loses_nothing::case_2_gcp",
        "forged signature → invalid_grant",
    ] {
        assert_eq!(claims.get(claim), Some(&true), "{claims:#?}");
    }
    assert!(text.contains("quay.io/argoproj/argocd:v3.2.11"), "{text}");
}

/// One verdict is of each world, and one of the run; all say how much they have searched.
fn all_is_searched_for_leaks(told: &Told) {
    let line = |text: &str| told.stdout.lines().find(|line| line.contains(text)).unwrap_or_default();
    for subject in ["passed  aws leaks ", "passed  gcp leaks ", "passed  azure leaks ", "passed  leaks "] {
        assert!(line(subject).contains(" artifacts, "), "{subject}:\n{}", told.stdout);
    }
}

/// Without a cluster they come out as they did; and what was changed in a recording comes out otherwise.
fn recorded_runs_are_judged_again(machine: &Machine, runs: &[&Told]) {
    let again = |folder: &Path| machine.run(&["report", "--replay", folder.to_str().unwrap()]);
    for run in runs {
        let told = again(run.report());
        told.assert_success();
        told.assert_says("    same  gcp platform ");
        assert!(told.stdout.trim_end().ends_with(" came out as before, 0 differ"), "{}", told.stdout);
    }
    let folder = runs[0].report();
    let objects = folder.join("gcp/recording/objects/applications.argoproj.io.json");
    let recorded = fs::read_to_string(&objects).unwrap();
    fs::write(&objects, recorded.replace(r#""Healthy""#, r#""Degraded""#)).unwrap();
    let told = again(folder);
    assert_eq!(told.code, Some(1), "{}", told.all());
    told.assert_says(" DIFFERS  gcp platform ");
    fs::write(&objects, recorded).unwrap();
}

/// First and last line say what was tested, and the pinned release has a verdict of its own: not run.
fn a_cell_is_no_pass_of_the_pinned_release(told: &Told, version: &str) {
    let lines: Vec<&str> = told.stdout.lines().collect();
    for line in [lines[0], lines[lines.len() - 1]] {
        assert!(line.contains(&format!("external-secrets {version}")) && line.contains("says nothing about"), "{line}");
    }
    assert!(lines.last().unwrap().ends_with(", 0 failed, 3 not run"), "{}", told.stdout);
}

/// `logs`, `exec` and `port-forward` reach a Pod.
fn kubectl_works(cluster: &Cluster) {
    assert!(cluster.kubectl(&["get", "nodes"]).contains(" Ready "));
    let inside =
        ["exec", "-n", "observability", "deploy/prometheus", "-c", "prometheus", "--", "prometheus", "--version"];
    assert!(cluster.kubectl(&inside).contains("2.55.1"));
    let logs = cluster.kubectl(&["logs", "-n", "argocd", "deploy/argocd-repo-server"]);
    assert!(logs.contains("argocd-repo-server is listening"), "{logs}");
    let mut forward = cluster
        .command(&["port-forward", "-n", "workloads", "svc/mandelbrot", ":80"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // kubectl goes on writing to this pipe, and ends when nobody reads it.
    let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let address = line.split(' ').find(|word| word.starts_with("127.0.0.1:")).unwrap().to_owned();
    let picture = format!("http://{address}/render?width=8&height=8");
    let picture = runtime().block_on(async { reqwest::get(picture).await.unwrap().bytes().await.unwrap() });
    assert!(picture.starts_with(b"\x89PNG"));
    forward.kill().unwrap();
    forward.wait().unwrap();
}

/// The secret's value is in no report and in nothing that was printed, neither plain nor in base64.
fn no_value_is_in_the_reports(machine: &Machine, world: &str, cluster: &Cluster, told: &[&Told]) {
    let get = |template: &str| {
        cluster.kubectl(&["get", "secret", "-n", "secrets-demo", "provider-test-secret", "-o", template])
    };
    let password =
        ["get", "secret", "-n", "observability", "grafana-cloud-remote-write", "-o", "jsonpath={.data.password}"];
    let password = cluster.kubectl(&password);
    let plain = get("go-template={{.data.message | base64decode}}");
    let encoded = get("jsonpath={.data.message}");
    let cloud = world.split('-').next().unwrap();
    assert!(plain.starts_with(&format!("hello-from-{cloud}-")), "{plain}");
    // The changing test adds to the value, so the report has to be free of what it added to.
    let original = plain.trim_end_matches("-changed");
    for told in told {
        assert!(!told.all().contains(original) && !told.all().contains("glc_"), "a value was printed");
    }
    for file in WalkDir::new(machine.reports()).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let text = String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned();
        assert!(
            !text.contains(original)
                && !text.contains(encoded.trim_end_matches('='))
                && !text.contains("glc_")
                && !text.contains(password.trim_end_matches('=')),
            "a value is in {}",
            file.path().display()
        );
    }
}

/// An image that no lock lists comes from its own registry, here one on the machine's loopback; and an image that
/// nobody has is refused with the reason.
fn an_image_from_elsewhere_is_pulled(cluster: &Cluster) {
    let runtime = runtime();
    let store = Store::open(Options::default()).unwrap();
    let address = runtime.block_on(async {
        let busybox = "docker.io/library/busybox:1.36";
        let images = store.images(&[busybox]).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let refs = BTreeMap::from([("docker.io/some/app:1".to_owned(), images.refs[busybox].clone())]);
        let registry = Registry::new(&Images { blobs: images.blobs, refs }, None);
        tokio::spawn(registry.serve(listener));
        address
    });
    let image = format!("--image={address}/some/app:1");
    cluster.kubectl(&[
        "run",
        "elsewhere",
        &image,
        "--restart=Never",
        "--image-pull-policy=Always",
        "--command",
        "--",
        "sleep",
        "600",
    ]);
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/elsewhere", "--timeout=60s"]);

    let image = format!("--image={address}/some/app:2");
    cluster.kubectl(&["run", "nowhere", &image, "--restart=Never"]);
    cluster.kubectl(&[
        "wait",
        "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull",
        "pod/nowhere",
        "--timeout=60s",
    ]);
    let journal = fs::read_to_string(cluster.file("gateway.jsonl")).unwrap();
    assert!(journal.contains(&format!("nobody here has the image {address}/some/app:2")), "{journal}");
    cluster.kubectl(&["delete", "pod", "elsewhere", "nowhere", "--now"]);

    // The user's cache shall not keep what only this test needed.
    let cache = store.cache();
    for (key, _) in cache.entries().into_iter().filter(|(_, entry)| entry.name.starts_with(&address.to_string())) {
        cache.forget(&key).unwrap();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    // Opening a store chooses the process's TLS provider, which the HTTP client needs even without TLS.
    Store::open(Options::default()).unwrap();
    tokio::runtime::Runtime::new().unwrap()
}
