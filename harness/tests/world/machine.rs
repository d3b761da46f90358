//! This machine, and the harness on it with a state folder of its own.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// The harness, apart from whatever else the user runs with it.
pub struct Machine {
    folder: TempDir,
    before: Traces,
    _lock: Flock<File>,
}

/// What a run could leave on a machine: control groups, mounts, network interfaces and packet filter rules.
struct Traces(BTreeSet<String>);

/// How a finished command went.
pub struct Told {
    pub success: bool,
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Machine {
    pub fn new() -> Self {
        // What a test has left that was itself killed.
        for left in fs::read_dir(env!("CARGO_TARGET_TMPDIR")).unwrap().flatten().map(|entry| entry.path()) {
            if lock(&left).is_ok() {
                down(&left.join("state"));
                fs::remove_dir_all(left).unwrap();
            }
        }
        let folder = TempDir::with_prefix_in("world-", env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        fs::write(folder.path().join("lock"), "").unwrap();
        Self { _lock: lock(folder.path()).unwrap(), folder, before: Traces::now() }
    }

    /// The state folder of the harness.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A folder for a test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of reports.
    pub fn reports(&self) -> PathBuf {
        self.folder.path().join("reports")
    }

    /// The evidence of the only run that has made a report, for the world of a cloud.
    pub fn evidence(&self, cloud: &str) -> PathBuf {
        let runs: Vec<PathBuf> = fs::read_dir(self.reports()).unwrap().flatten().map(|run| run.path()).collect();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].join(cloud).join("bundle")
    }

    /// The harness with arguments, not yet started.
    pub fn harness(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trinity-e2e"));
        command
            .args(args)
            .env("TRINITY_STATE", self.state())
            .env("TMPDIR", self.folder.path().join("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The main job with further arguments, not yet started.
    pub fn e2e(&self, args: &[&str]) -> Command {
        let mut command = self.harness(&["e2e", "--report"]);
        command.arg(self.reports()).args(args);
        command
    }

    /// The main job with further arguments, not yet started, with its state folder on a file system that only it sees.
    pub fn e2e_on(&self, kind: &str, options: &str, args: &[&str]) -> Command {
        let state = self.state();
        fs::create_dir_all(&state).unwrap();
        let mut command = Command::new("unshare");
        let mount = format!("mount -t {kind} -o {options} {kind} {} && exec \"$@\"", state.display());
        let job = self.e2e(args);
        command.args(["--mount", "sh", "-c", &mount, "sh"]).arg(job.get_program()).args(job.get_args());
        command.envs(job.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the harness to its end.
    pub fn run(&self, args: &[&str]) -> Told {
        Told::from(self.harness(args).output().unwrap())
    }

    /// Runs the main job to its end.
    pub fn run_e2e(&self, args: &[&str]) -> Told {
        Told::from(self.e2e(args).output().unwrap())
    }

    /// Asserts that nothing of any run is left.
    #[track_caller]
    pub fn assert_clean(&self) {
        for kind in ["runs", "worlds"] {
            let left: Vec<PathBuf> =
                fs::read_dir(self.state().join(kind)).into_iter().flatten().flatten().map(|e| e.path()).collect();
            assert!(left.is_empty(), "folders are left: {left:?}");
        }
        let files: Vec<PathBuf> =
            fs::read_dir(self.folder.path().join("tmp")).unwrap().flatten().map(|e| e.path()).collect();
        assert!(files.is_empty(), "temporary files are left: {files:?}");
        let processes = self.processes();
        assert!(processes.is_empty(), "processes are left: {processes:?}");
        let traces = Traces::now();
        let left: Vec<&String> = traces.0.difference(&self.before.0).collect();
        assert!(left.is_empty(), "control groups, mounts, interfaces or packet filter rules are left: {left:?}");
    }

    /// Processes of the harness's worlds and runs: id and command line.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let state = self.state().display().to_string();
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter_map(|id| {
                let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                command.contains(&state).then_some((id, command))
            })
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A test that fails must not leave its worlds without their folder.
        down(&self.state());
    }
}

/// Ends all worlds of a state folder.
fn down(state: &Path) {
    let told = Told::from(
        Command::new(env!("CARGO_BIN_EXE_trinity-e2e")).arg("down").env("TRINITY_STATE", state).output().unwrap(),
    );
    if !told.success {
        eprintln!("could not end the worlds in {}: {}", state.display(), told.all());
    }
}

/// The lock that a living test holds.
fn lock(folder: &Path) -> io::Result<Flock<File>> {
    let file = File::options().write(true).open(folder.join("lock"))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e.into())
}

impl Told {
    pub fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Everything it said.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// The folder of the run's report.
    #[track_caller]
    pub fn report(&self) -> &Path {
        Path::new(self.stdout.lines().find_map(|line| line.strip_prefix("report: ")).unwrap())
    }

    #[track_caller]
    pub fn assert_success(&self) {
        assert!(self.success, "{}", self.all());
    }

    /// Asserts that the run proves nothing, and blames nobody for it.
    #[track_caller]
    pub fn assert_unproven(&self) {
        assert_eq!(self.code, Some(2), "{}", self.all());
        assert!(self.stdout.contains(": UNPROVEN, ") && !self.stdout.contains("  FAILED  "), "{}", self.all());
    }

    #[track_caller]
    pub fn assert_says(&self, text: &str) {
        assert!(self.all().contains(text), "it does not say {text:?}:\n{}", self.all());
    }
}

impl Traces {
    fn now() -> Self {
        let tool = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output().unwrap();
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let fields = |kind: &str, text: &str, n: usize| -> Vec<String> {
            text.lines().filter_map(|line| line.split(' ').nth(n)).map(|found| format!("{kind} {found}")).collect()
        };
        let mut traces = BTreeSet::new();
        for group in walk(Path::new("/sys/fs/cgroup"), 3) {
            if group.parent().is_some_and(|parent| parent.ends_with("trinity-e2e")) {
                traces.insert(format!("group {}", group.display()));
            }
        }
        traces.extend(fields("mount", &fs::read_to_string("/proc/self/mountinfo").unwrap(), 4));
        traces.extend(fields("interface", &tool("ip", &["-o", "link"]), 1));
        // Docker's own rules count packets.
        traces.extend(tool("nft", &["--stateless", "list", "ruleset"]).lines().map(|line| format!("rule {line}")));
        Self(traces)
    }
}

/// A harness that is running. A test that fails ends it, before its [`Machine`] removes what it has made.
pub struct Running {
    child: Ended,
    moment: String,
    /// The lines that it has said since then.
    later: Receiver<String>,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

/// A child that does not outlive its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Neither is an error of a child that has ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Starts a command and waits until it says `text` on its standard error.
#[track_caller]
pub fn start_until(command: &mut Command, text: &str) -> Running {
    let mut child = Ended(command.spawn().unwrap());
    let mut output = child.0.stdout.take().unwrap();
    // Both pipes are read to their ends, or the harness would block when one is full.
    let stdout = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map_or_else(|e| e.to_string(), |_| text)
    });
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said = Vec::new();
    let found = lines.by_ref().any(|line| {
        let found = line.contains(text);
        said.push(line);
        found
    });
    let Some(moment) = said.last().filter(|_| found).cloned() else {
        panic!("the harness never said {text:?} and ended with {}:\n{}", child.0.wait().unwrap(), said.join("\n"));
    };
    let (tell, later) = mpsc::channel();
    // Nobody may be listening any more.
    let lines = lines.inspect(move |line| drop(tell.send(line.clone())));
    let stderr = thread::spawn(move || said.into_iter().chain(lines).collect::<Vec<_>>().join("\n"));
    Running { child, moment, later, stdout, stderr }
}

impl Running {
    /// The line for which [`start_until`] waited.
    pub fn moment(&self) -> &str {
        &self.moment
    }

    /// Waits until it says `text`.
    #[track_caller]
    pub fn until(&self, text: &str) {
        assert!(self.later.iter().any(|line| line.contains(text)), "the harness never said {text:?}");
    }

    /// Id of the harness's process.
    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends a signal to the harness itself.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.id().cast_signed()), signal).unwrap();
    }

    /// Waits until the harness has ended, whatever goes on without it.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.0.wait().unwrap()
    }

    /// Waits for the end of everything that holds its output.
    pub fn end(mut self) -> Told {
        let status = self.wait();
        let (stdout, stderr) = (self.stdout.join().unwrap(), self.stderr.join().unwrap());
        Told { success: status.success(), code: status.code(), stdout, stderr }
    }
}

/// Folders below `root`, to a depth.
fn walk(root: &Path, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
    {
        if depth > 1 {
            found.extend(walk(&entry.path(), depth - 1));
        }
        found.push(entry.path());
    }
    found
}
