//! A headless Chromium, driven over the pipe of its DevTools: when this process ends, however that happens, the pipe is
//! closed, and Chromium ends with it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long an answer may take on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(120);
/// How long Chromium may take to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(20);

/// DevTools speak on the third and fourth file, which are Chromium's own two pipes here.
const START: &str = "exec 3<&0 4>&1 0</dev/null 1>&2; exec chromium-headless-shell \"$@\"";

/// A browser with one page.
pub struct Browser {
    process: Child,
    pipe: Option<ChildStdin>,
    answers: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    /// What it told without being asked.
    events: Vec<Value>,
    folder: TempDir,
}

impl Browser {
    /// Starts it.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("trinity-e2e-page-").tempdir().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", START, "sh"])
            // Root has no sandbox, and containers have a small /dev/shm.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .arg("--remote-debugging-pipe")
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("said")).unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        let (sender, answers) = mpsc::channel();
        let said = process.stdout.take().unwrap();
        thread::spawn(move || {
            let mut said = BufReader::new(said).split(0);
            while let Some(Ok(message)) = said.next() {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    return;
                }
            }
        });
        let pipe = process.stdin.take();
        let mut browser = Self { process, pipe, answers, calls: 0, session: None, events: Vec::new(), folder };
        let page = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let session = browser.call("Target.attachToTarget", json!({"targetId": page["targetId"], "flatten": true}));
        browser.session = session["sessionId"].as_str().map(Into::into);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Makes the window so wide (CSS pixels), in `light` or `dark`.
    pub fn look(&mut self, width: u32, scheme: &str) {
        let phone = width < 600;
        let height = if phone { 844 } else { 900 };
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
        self.settled();
    }

    /// Opens a file and waits until it is drawn.
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        self.call("Page.navigate", json!({"url": address(file)}));
        let begun = Instant::now();
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.receive(begun, "Page.loadEventFired");
            self.events.push(event);
        }
        self.settled();
    }

    /// Waits until what was changed is drawn.
    pub fn settled(&mut self) {
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))");
    }

    /// The value of an expression, or of its promise, in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self
            .call("Runtime.evaluate", json!({"expression": expression, "awaitPromise": true, "returnByValue": true}));
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// An expression's value, which is a text.
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.evaluate(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Presses a key by its name in the DOM, and waits until what it changes is drawn.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let text = match key {
            "Enter" => "\r",
            one if one.len() == 1 => one,
            _ => "",
        };
        let event =
            |kind: &str, text: &str| json!({"type": kind, "key": key, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", event("keyDown", text));
        self.call("Input.dispatchKeyEvent", event("keyUp", ""));
        self.settled();
    }

    /// Types a text into what has the focus.
    pub fn enter(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
        self.settled();
    }

    /// Turns the wheel over a place (CSS pixels), with the control key held.
    pub fn turn(&mut self, (x, y): (f64, f64), by: f64) {
        let event = json!({"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": by, "modifiers": 2});
        self.call("Input.dispatchMouseEvent", event);
        self.settled();
    }

    /// Addresses that the page has asked for since it was opened, and what the browser has complained about.
    pub fn told(&mut self) -> (Vec<String>, Vec<String>) {
        self.settled();
        let of = |method: &'static str| self.events.iter().filter(move |event| event["method"] == method);
        let asked = of("Network.requestWillBeSent").map(|event| event["params"]["request"]["url"].to_string());
        let complaints =
            of("Log.entryAdded").chain(of("Runtime.exceptionThrown")).map(|event| event["params"].to_string());
        (asked.collect(), complaints.collect())
    }

    /// Writes a picture of the whole page.
    pub fn picture(&mut self, file: &Path) {
        let size = self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
        let clip = json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let shot = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip}));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()).unwrap();
    }

    /// Calls a method and returns its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let sent = self.pipe.as_mut().map(|pipe| pipe.write_all(format!("{message}\0").as_bytes()));
        assert!(matches!(sent, Some(Ok(()))), "call {method}: {sent:?}\n{}", self.said());
        let begun = Instant::now();
        loop {
            let answer = self.receive(begun, method);
            if answer["id"] == id {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn receive(&self, begun: Instant, wanted: &str) -> Value {
        match self.answers.recv_timeout(DEADLINE.saturating_sub(begun.elapsed())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("no {wanted} in {DEADLINE:?}\n{}", self.said()),
            Err(RecvTimeoutError::Disconnected) => panic!("Chromium ended before {wanted}\n{}", self.said()),
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_else(|e| e.to_string())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when its pipe does; until all its processes have, they write into the folder that is removed next.
        self.pipe = None;
        let begun = Instant::now();
        while let Ok(_) | Err(RecvTimeoutError::Timeout) = self.answers.recv_timeout(Duration::from_millis(100)) {
            if begun.elapsed() > FAREWELL {
                break;
            }
        }
        let _ = killpg(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

/// The URL of a file.
pub fn address(file: &Path) -> String {
    let file: PathBuf = file.canonicalize().unwrap();
    format!("file://{}", file.display())
}
