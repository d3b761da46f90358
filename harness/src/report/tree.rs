//! The live tree of a run at the bottom of a terminal: the run, and under it each world, with its phase, for how long, and how
//! long that took in an earlier run. What is shown meanwhile scrolls above it.
//!
//! Phases feed it. A process has one at the most, and none where the standard error shows only lines. No text of a platform is in
//! it, so it is not remembered as what is shown is.

use std::{
    fmt::Write,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::earlier::Earlier;

/// Time from one drawing to the next: no second is left out.
const EVERY: Duration = Duration::from_millis(500);
/// Place of the run; its worlds come after it.
const RUN: usize = 0;

static TREE: OnceLock<Tree> = OnceLock::new();

/// From now on a tree is drawn on the standard error for as long as there are phases.
pub fn show() {
    TREE.get_or_init(|| Tree::on(ProgressDrawTarget::stderr()));
}

/// The next run is expected to take as long as those whose reports are in this folder, on kept worlds or on new ones.
pub fn expect(reports: &Path, kept: bool) {
    if let Some(tree) = TREE.get() {
        tree.branches().earlier = Earlier::read(reports, kept);
    }
}

/// Says something below the tree, until it goes.
pub fn say(text: String) {
    if let Some(tree) = TREE.get() {
        tree.branches().said = Some(text);
    }
}

/// Writes something to the terminal, whole lines, above the tree if there is one.
pub fn above<T>(write: impl FnOnce() -> T) -> T {
    match TREE.get() {
        Some(tree) => tree.above(write),
        None => write(),
    }
}

/// Takes the tree away, because the process ends.
pub fn remove() {
    if let Some(tree) = TREE.get() {
        tree.end(RUN);
    }
}

/// The line of a run, or of one of its worlds. With that of the run the whole tree goes.
#[derive(Debug)]
pub struct Line(Option<usize>);

impl Line {
    /// Begins one; the first is that of the run.
    pub fn begin(of: &'static str, phase: &'static str) -> Self {
        let Some(tree) = TREE.get() else { return Self(None) };
        let place = tree.begin(of, phase);
        if place == RUN {
            tree.bar.enable_steady_tick(EVERY);
        }
        Self(Some(place))
    }

    /// Tells the phase that begins now.
    pub fn at(&self, phase: &'static str) {
        if let Some((tree, place)) = TREE.get().zip(self.0) {
            tree.branches().at(place, phase, Instant::now());
        }
    }

    /// Tells that there is no other phase.
    pub fn end(&mut self) {
        if let Some((tree, place)) = TREE.get().zip(self.0.take()) {
            tree.end(place);
        }
    }
}

/// What breaks off has no last phase.
impl Drop for Line {
    fn drop(&mut self) {
        self.end();
    }
}

/// The tree as it is drawn.
struct Tree {
    bar: ProgressBar,
    branches: Arc<Mutex<Branches>>,
}

impl Tree {
    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        let branches = Arc::new(Mutex::new(Branches::default()));
        let drawn = Arc::clone(&branches);
        let text = move |_: &ProgressState, to: &mut dyn Write| {
            // What is written to is a text in memory.
            let _ = to.write_str(&hold(&drawn).text(Instant::now()));
        };
        if let Ok(style) = ProgressStyle::with_template("{tree}") {
            bar.set_style(style.with_key("tree", text));
        }
        Self { bar, branches }
    }

    fn branches(&self) -> MutexGuard<'_, Branches> {
        hold(&self.branches)
    }

    fn begin(&self, of: &'static str, phase: &'static str) -> usize {
        self.branches().begin(of, phase, Instant::now())
    }

    fn end(&self, place: usize) {
        self.branches().end(place, Instant::now());
        if place == RUN {
            self.bar.disable_steady_tick();
            self.above(|| ());
        }
    }

    /// Draws the tree anew after something was written where it is.
    fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

fn hold(branches: &Mutex<Branches>) -> MutexGuard<'_, Branches> {
    branches.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the tree tells.
#[derive(Debug, Default)]
struct Branches {
    all: Vec<Branch>,
    said: Option<String>,
    earlier: Earlier,
}

#[derive(Debug)]
struct Branch {
    of: &'static str,
    phase: &'static str,
    /// When it began.
    begun: Instant,
    /// When the phase did.
    since: Instant,
    /// When it ended.
    ended: Option<Instant>,
}

impl Branches {
    fn begin(&mut self, of: &'static str, phase: &'static str, now: Instant) -> usize {
        self.all.push(Branch { of, phase, begun: now, since: now, ended: None });
        self.all.len() - 1
    }

    fn at(&mut self, place: usize, phase: &'static str, now: Instant) {
        if let Some(branch) = self.all.get_mut(place) {
            (branch.phase, branch.since) = (phase, now);
        }
    }

    fn end(&mut self, place: usize, now: Instant) {
        if place == RUN {
            *self = Self::default();
        } else if let Some(branch) = self.all.get_mut(place) {
            branch.ended = Some(now);
        }
    }

    /// All lines; nothing without a run. The first is empty, because what a terminal echoes of Ctrl-C moves the tree down by one
    /// line, of which the first stays where it was.
    fn text(&self, now: Instant) -> String {
        let Some((run, worlds)) = self.all.split_first() else { return String::new() };
        let width = worlds.iter().map(|world| world.of.len()).max().unwrap_or_default();
        let mut lines = vec![String::new(), format!("{}  {}", run.of, self.told(run, now))];
        for (place, world) in worlds.iter().enumerate() {
            let edge = if place + 1 == worlds.len() { "└─" } else { "├─" };
            lines.push(format!("{edge} {:width$}  {}", world.of, self.told(world, now)));
        }
        lines.extend(self.said.clone());
        lines.join("\n")
    }

    fn told(&self, branch: &Branch, now: Instant) -> String {
        match branch.ended {
            Some(ended) => format!("ended after {} s", seconds(branch.begun, ended)),
            None => {
                let expected = self.earlier.took(branch.of, branch.phase);
                let expected = expected.map(|took| format!(" of about {:.0} s", took.as_secs_f64()));
                format!("{}, {} s{}", branch.phase, seconds(branch.since, now), expected.unwrap_or_default())
            }
        }
    }
}

/// Whole seconds from one time to another.
fn seconds(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_secs()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use indicatif::{InMemoryTerm, TermLike};

    use super::*;
    use crate::report::{data::FILE, gather::example};

    #[test]
    fn each_line_tells_the_seconds_of_its_phase_and_what_is_expected() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::write(folder.path().join("run").join(FILE), example().json().unwrap()).unwrap();
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut branches = Branches { earlier: Earlier::read(folder.path(), false), ..Branches::default() };
        assert_eq!(branches.text(begun), "");
        branches.begin("run", "sweep", begun);
        assert_eq!(branches.text(after(1)), "\nrun  sweep, 1 s");
        branches.at(RUN, "worlds", after(2));
        let worlds = ["aws", "gcp", "azure"].map(|cloud| branches.begin(cloud, "cluster", after(2)));
        branches.at(worlds[0], "suites", after(7));
        branches.at(worlds[1], "platform", after(7));
        branches.end(worlds[2], after(9));
        let lines = [
            "",
            "run  worlds, 17 s of about 90 s",
            "├─ aws    suites, 12 s of about 86 s",
            "├─ gcp    platform, 12 s",
            "└─ azure  ended after 7 s",
        ];
        assert_eq!(branches.text(after(19)), lines.join("\n"));
        branches.said = Some("interrupted".into());
        assert_eq!(branches.text(after(19)), [&lines[..], &["interrupted"]].concat().join("\n"));
        branches.end(RUN, after(20));
        branches.at(worlds[0], "report", after(20));
        assert_eq!(branches.text(after(20)), "");
    }

    #[test]
    fn lines_scroll_above_the_tree_until_it_goes() {
        let screen = InMemoryTerm::new(10, 40);
        let tree = Tree::on(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        let shown = |line: &str| {
            tree.above(|| screen.write_line(line)).unwrap();
            screen.contents().lines().map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown("one"), ["one"], "nothing is drawn without a run");
        tree.begin("run", "worlds");
        let world = tree.begin("aws", "cluster");
        assert_eq!(shown("two"), ["one", "two", "", "run  worlds", "└─ aws  cluster"]);
        tree.begin("gcp", "cluster");
        tree.branches().at(world, "platform", Instant::now());
        let lines = ["one", "two", "three", "", "run  worlds", "├─ aws  platform", "└─ gcp  cluster"];
        assert_eq!(shown("three"), lines);
        tree.end(RUN);
        assert_eq!(screen.contents(), "one\ntwo\nthree");
        assert_eq!(shown("four"), ["one", "two", "three", "four"]);
    }

    #[test]
    fn what_the_terminal_echoes_of_ctrl_c_leaves_no_line_of_the_tree_behind() {
        let screen = InMemoryTerm::new(10, 40);
        let tree = Tree::on(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        tree.begin("run", "worlds");
        tree.above(|| screen.write_line("one")).unwrap();
        screen.write_str("^C").unwrap();
        tree.branches().said = Some("interrupted".into());
        tree.above(|| screen.write_line("two")).unwrap();
        assert_eq!(screen.contents().matches("run  worlds").count(), 1, "{}", screen.contents());
        assert!(
            screen.contents().ends_with("\ninterrupted") && !screen.contents().contains("^C"),
            "{}",
            screen.contents()
        );
        tree.end(RUN);
        assert_eq!(screen.contents(), "one\n\ntwo");
    }
}
