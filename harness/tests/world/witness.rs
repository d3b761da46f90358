//! The official SDKs, unmodified, drive each emulator: they find it under the cloud's real host names and trust its
//! authority, and nothing else about them is changed.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rstest::rstest;
use trinity_e2e::{
    components::{Options, Store},
    workspace,
};
use trinity_emulators::config;

use crate::machine::{Machine, Told};

/// An emulator in a network of its own, where it has the cloud's ports and addresses.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // Neither is an error of a process that has ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

impl Emulator {
    /// Plays `cloud` until it is dropped; `folder` gets what it writes.
    fn start(machine: &Machine, cloud: &str, folder: &Path) -> Self {
        let hosts = folder.with_extension("hosts");
        let declared = workspace().join(format!("fixtures/worlds/{cloud}.yaml"));
        // A hosts file knows no wildcards, and the vaults of the declaration are few.
        let vaults = ["trinity-dev-azure", "trinity-canaries", "trinity-canary-policies", "trinity-witness"];
        let names = config::Cloud::read(cloud, &declared).unwrap().hosts().into_iter().flat_map(|host| {
            match host.strip_prefix('*') {
                Some(rest) => vaults.map(|vault| format!("{vault}{rest}")).to_vec(),
                None => vec![host],
            }
        });
        let names: String = names.map(|host| format!("127.0.0.1 {host}\n")).collect();
        let metadata = "169.254.169.254 metadata.google.internal metadata\n";
        fs::write(&hosts, format!("127.0.0.1 localhost\n{metadata}{names}")).unwrap();
        let script = format!(
            "ip link set lo up && ip addr add 169.254.169.254/32 dev lo && mount --bind {} /etc/hosts \
             && exec {} emulators --cloud {cloud} --port 443 --metadata 169.254.169.254:80 --folder {}",
            hosts.display(),
            env!("CARGO_BIN_EXE_trinity-e2e"),
            folder.display()
        );
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "sh", "-c", &script]).env("TRINITY_STATE", machine.state());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            said.push(line);
            if said.last().is_some_and(|line| line == "ready") {
                return Self(child);
            }
        }
        let told = Told::from(child.wait_with_output().unwrap());
        panic!("the emulator did not become ready:\n{}\n{}", said.join("\n"), told.all());
    }

    /// A program in the emulator's network.
    fn beside(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.0.id().to_string(), "--"]).arg(program);
        command
    }
}

#[rstest]
#[case::aws("aws")]
#[case::gcp("gcp")]
#[case::azure("azure")]
fn official_sdks_bear_the_emulator_out(#[case] cloud: &str) {
    let machine = Machine::new();
    let folder = machine.reports().with_file_name(cloud);
    let emulator = Emulator::start(&machine, cloud, &folder);
    let store = Store::open(Options::default()).unwrap();
    let sdks = tokio::runtime::Runtime::new().unwrap().block_on(store.obtain("sdks")).unwrap();
    let script = workspace().join(format!("emulators/witnesses/{cloud}.py"));
    let output = emulator
        .beside(&sdks.path.join("bin/python"))
        .arg("-B")
        .arg(&script)
        .env("TRINITY_EMULATORS", &folder)
        .env("TMPDIR", machine.reports().with_file_name("tmp"))
        .output()
        .unwrap();
    let told = Told::from(output);
    told.assert_success();
    // What the script says it witnesses, it has witnessed, and nothing else counts.
    let claims = told.stdout.lines().filter(|line| line.ends_with(" ok")).count();
    assert!(claims > 0 && claims == told.stdout.lines().count(), "{}", told.all());
    // No value that a client has seen is in the journal.
    let values = fs::read_to_string(folder.join("values.json")).unwrap();
    let values: std::collections::BTreeMap<String, String> = serde_json::from_str(&values).unwrap();
    let journal = fs::read_to_string(folder.join("gateway.jsonl")).unwrap();
    assert!(values.values().all(|value| !journal.contains(value)), "a value is in the journal");
    println!("{cloud}: {claims} claims witnessed");
    drop(emulator);
    machine.assert_clean();
}
