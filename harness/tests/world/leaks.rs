//! Secret values that get out are found wherever they get to, and are not shown. Each kind of artifact gets another form.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use trinity_e2e::workspace;

use crate::{
    kept::Cluster,
    machine::{Machine, Told},
};

#[test]
fn planted_values_are_found_where_they_are() {
    let machine = Machine::new();
    let told = machine.run_e2e(&["--cloud", "aws", "--suite", "secret_path", "--keep"]);
    told.assert_success();
    machine.run(&["leaks"]).assert_success();

    let worlds = fs::read_dir(machine.state().join("worlds")).unwrap().flatten().map(|e| e.path());
    let world = worlds.into_iter().find(|path| path.join("world.json").exists()).unwrap();
    let cluster = Cluster::find(&machine, &world.file_name().unwrap().to_string_lossy());
    let value = cluster.kubectl(&[
        "get",
        "secret",
        "-n",
        "secrets-demo",
        "provider-test-secret",
        "-o",
        "go-template={{.data.message | base64decode}}",
    ]);
    let value = value.strip_prefix("hello-from-aws-").unwrap().strip_suffix("-changed").unwrap().to_owned();
    let planted = plant(&machine, &cluster, &world, &value);
    let told = machine.run(&["leaks", "--report", &machine.reports().display().to_string()]);
    let _ = fs::remove_file(snapshot());
    assert!(!told.success, "{}", told.all());
    let all = told.all();
    let missed: Vec<&(String, String)> = planted
        .iter()
        .filter(|(place, form)| !all.lines().any(|line| line.contains(place.as_str()) && line.contains(form.as_str())))
        .collect();
    assert!(missed.is_empty(), "nobody has found {missed:?}:\n{all}");
    assert!(all.contains("the secret value provider-test-secret is in "), "{all}");
    assert!(!all.contains("not searched") && !all.contains(&value[..12]), "{all}");
    machine.run(&["down"]).assert_success();
    machine.assert_clean();
}

fn snapshot() -> PathBuf {
    workspace().join("suites/snapshots/planted.snap.new")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Plants the value; the places, as they shall be told, with the forms.
fn plant(machine: &Machine, cluster: &Cluster, world: &Path, value: &str) -> Vec<(String, String)> {
    let mut planted = Vec::new();
    let mut told = |place: &str, form: &str| planted.push((place.to_owned(), form.to_owned()));
    let (reports, base64) = (machine.reports(), STANDARD.encode(format!("a {value}")));
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let append = |path: PathBuf, bytes: &[u8]| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes).unwrap();
    };

    // Objects of the API; the audit log has what is written to an Application.
    let file = reports.with_file_name("planted.yaml");
    let manifest = include_str!("leaks.yaml").replace("BASE64", &base64).replace("HEX", &hex).replace("PLAIN", value);
    fs::write(&file, manifest).unwrap();
    cluster.kubectl(&["apply", "-f", &file.display().to_string()]);
    cluster.kubectl(&["wait", "--for=condition=Ready", "pod/planted", "--timeout=60s"]);
    fs::remove_file(file).unwrap();
    let annotation = format!("planted={hex}");
    cluster.kubectl(&["annotate", "application", "-n", "argocd", "trinity-root-aws", &annotation]);
    told("ConfigMap default/planted,", "base64");
    told("Event default/planted,", "plain");
    told("Application argocd/trinity-root-aws,", "hex");
    told("the world's folder: audit.jsonl,", "hex");

    // What a Pod is, says and serves.
    told("log of Pod default/planted, container planted,", "hex");
    told("arguments of process ", "plain");
    told("environment of process ", "base64");
    told("/api/v1/namespaces/default/pods/planted:8000/proxy/metrics,", "base64");

    // Git, where no branch has it; and Redis, compressed.
    let blob = world.join("blob");
    fs::write(&blob, value).unwrap();
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(world.join("platform.git")).args(["hash-object", "-w"]).arg(&blob);
    Told::from(git.output().unwrap()).assert_success();
    fs::remove_file(blob).unwrap();
    told("Git object ", "plain");
    let set = format!(
        "echo {} | base64 -d | redis-cli -a \"$REDIS_PASSWORD\" --no-auth-warning -x set planted",
        STANDARD.encode(gzip(value.as_bytes()))
    );
    cluster.kubectl(&["exec", "-n", "argocd", "deploy/argocd-redis", "-c", "redis", "--", "sh", "-c", &set]);
    told("Redis key planted,", "plain in gzip");

    // Prometheus' configuration: it reads it again when it is told to.
    let volume = ["get", "pod", "-n", "observability", "-l", "app.kubernetes.io/name=prometheus", "-o"];
    let uid = cluster.kubectl(&[&volume[..], &["jsonpath={.items[0].metadata.uid}"]].concat());
    let rendered = format!("nodes/node/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/rendered/prometheus.yml");
    let config = fs::read_to_string(world.join(&rendered)).unwrap();
    let labels = format!("external_labels:\n    planted: {value}");
    fs::write(world.join(&rendered), config.replace("external_labels:", &labels)).unwrap();
    reload_prometheus(cluster, value);
    told(&format!("the world's folder: {rendered},"), "plain");
    told("/prometheus:http/proxy/api/v1/status/config,", "plain");

    // Files: logs of components, the journal, temporary files, and all that is reported.
    append(world.join("logs/coredns.log"), base64.as_bytes());
    told("the world's folder: logs/coredns.log,", "base64");
    append(world.join("gateway.jsonl"), format!(r#"{{"path":"/{value}"}}"#).as_bytes());
    told("the world's folder: gateway.jsonl,", "plain");
    append(world.join("nodes/node/tmp/planted.zst"), &zstd::encode_all(value.as_bytes(), 3).unwrap());
    told("the world's folder: nodes/node/tmp/planted.zst,", "plain in zstd");
    append(snapshot(), hex.to_uppercase().as_bytes());
    told("the platform's snapshots: planted.snap.new,", "hex");
    for (name, bytes, form) in [
        ("junit.xml", base64.clone().into_bytes(), "base64"),
        ("aws/bundle/events.txt", value.as_bytes().to_vec(), "plain"),
        ("aws/bundle/logs.tar.gz", gzip(base64.as_bytes()), "base64 in gzip"),
    ] {
        append(reports.join("planted").join(name), &bytes);
        told(&format!("the report: planted/{name},"), form);
    }
    planted
}

/// Sends Prometheus a signal, and waits until it shows what it has read.
fn reload_prometheus(cluster: &Cluster, text: &str) {
    let program = "--config.file=/etc/prometheus/prometheus.yml";
    let found = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let running = found.filter(|id| {
        let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).split('\0').any(|argument| argument == program)
    });
    running.for_each(|id| kill(Pid::from_raw(id), Signal::SIGHUP).unwrap());
    let page = "/api/v1/namespaces/observability/services/prometheus:http/proxy/api/v1/status/config";
    let begun = std::time::Instant::now();
    // It tells nobody when it is done.
    while !cluster.kubectl(&["get", "--raw", page]).contains(text) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "Prometheus has not read its configuration");
    }
}
