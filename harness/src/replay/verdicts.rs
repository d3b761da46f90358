//! What a run has said, and what is said of its recording now.

use std::{collections::BTreeMap, fmt};

use crate::{
    exit::Exit,
    failure::Result,
    judge::verdict::Verdict,
    report::{
        data::{Claim, Counts, Link, Outcome, Report},
        gather::of_verdict,
    },
    world::Cloud,
};

/// Begin of lines that say more of the one above.
const INDENT: &str = "          ";
/// Groups of claims about what a run could not have or did not try: there is nothing in them to be judged.
const TOLD: [&str; 3] = ["applications", "images", "operator"];

/// A run, judged again.
#[derive(Debug)]
pub struct Replay {
    head: String,
    lines: Vec<Line>,
    /// Claims that nobody has judged again yet.
    rest: Vec<Claim>,
    quoted: Vec<String>,
}

/// A claim, then and now.
#[derive(Debug)]
struct Line {
    recorded: Claim,
    /// What is said of it now, or why nothing is.
    again: Result<Claim>,
}

impl Line {
    fn differs(&self) -> bool {
        self.again.as_ref().is_ok_and(|again| again.outcome != self.recorded.outcome)
    }

    fn word(&self) -> &'static str {
        match &self.again {
            Err(_) => "not run",
            Ok(_) if self.differs() => "DIFFERS",
            Ok(again) if kind(again) != kind(&self.recorded) => "cause",
            Ok(_) => "same",
        }
    }
}

impl Replay {
    /// Of a run of which nothing has been judged again yet.
    pub fn of(report: &Report) -> Self {
        let Report { run, begun, version, headline, .. } = report;
        let own = env!("CARGO_PKG_VERSION");
        let head =
            format!("run {run}, {begun}, by trinity-e2e {version}: {headline}\njudged again by trinity-e2e {own}");
        Self { head, lines: Vec::new(), rest: report.verdicts.clone(), quoted: Vec::new() }
    }

    /// What the run has said of the canaries of a cloud.
    pub fn canaries(&self, cloud: Cloud) -> Vec<Claim> {
        let canary = |claim: &&Claim| claim.cloud == Some(cloud) && claim.subject == "canaries";
        self.rest.iter().filter(canary).cloned().collect()
    }

    /// Adds what is said now of the claim of a group. A group of which the run has said nothing is left out.
    pub fn judged(&mut self, cloud: Cloud, group: &str, again: Result<Verdict>) {
        let of_group = |claim: &Claim| claim.cloud == Some(cloud) && claim.subject == group;
        let Some(place) = self.rest.iter().position(of_group) else { return };
        let recorded = self.rest.remove(place);
        self.lines.push(Line { recorded, again: again.map(|verdict| of_verdict(&verdict.of(cloud))) });
    }

    /// Adds what is said now of a world's chain of identity.
    pub fn linked(&mut self, cloud: Cloud, recorded: &[Link], again: Result<Vec<Link>>) {
        for link in recorded {
            let found =
                |links: &Vec<Link>| links.iter().find(|other| other.link == link.link).map(|link| claim(cloud, link));
            let again = match &again {
                Ok(links) => found(links).map(Ok),
                Err(failure) => Some(Err(failure.clone())),
            };
            self.lines.extend(again.map(|again| Line { recorded: claim(cloud, link), again }));
        }
    }

    /// Quotes what nobody has judged again.
    pub fn quote(&mut self, report: &Report) {
        let mut groups: BTreeMap<usize, Vec<Claim>> = BTreeMap::new();
        let first = |claim: &Claim| report.verdicts.iter().position(|other| other.about() == claim.about());
        for claim in self.rest.drain(..) {
            groups.entry(first(&claim).unwrap_or_default()).or_default().push(claim);
        }
        self.quoted.extend(groups.into_values().filter_map(|claims| {
            let one = claims.first()?;
            let why = if TOLD.contains(&one.subject.as_str()) { "tells what the run had" } else { "needs a cluster" };
            Some(format!("{:>8}  {}: {why}; the run said {}", "not run", one.about(), counted(&claims)))
        }));
    }

    /// How the command ends: whether each claim that was judged again came out as it had, if there was any.
    pub fn exit(&self) -> Exit {
        match (self.count(Line::differs), self.count(|line| line.again.is_ok())) {
            (0, 0) => Exit::Unproven,
            (0, _) => Exit::Passed,
            _ => Exit::Findings,
        }
    }

    fn count(&self, such: impl Fn(&Line) -> bool) -> usize {
        self.lines.iter().filter(|line| such(line)).count()
    }
}

fn claim(cloud: Cloud, link: &Link) -> Claim {
    Claim {
        cloud: Some(cloud),
        subject: "chain".into(),
        claim: link.link.clone(),
        outcome: link.outcome,
        seconds: 0.0,
        note: None,
        reason: (link.outcome != Outcome::Passed).then(|| link.seen.clone()),
        cause: None,
    }
}

/// The kind of a claim's cause, if it has one.
fn kind(claim: &Claim) -> Option<&str> {
    claim.cause.as_ref()?.kind.as_deref()
}

/// How many claims came out how.
fn counted(claims: &[Claim]) -> String {
    let counts = Counts::of(claims);
    let told = Outcome::ALL.map(|outcome| (counts.get(outcome), outcome.name()));
    let told: Vec<String> = told.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect();
    told.join(", ")
}

/// An outcome with the kind of its cause.
fn named(claim: &Claim) -> String {
    let kind = kind(claim).map_or_else(String::new, |kind| format!(" ({kind})"));
    format!("{}{kind}", claim.outcome.name())
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded, again } = self;
        write!(f, "{:>8}  {} {}: ", self.word(), recorded.about(), recorded.claim)?;
        let again = match again {
            Ok(again) => again,
            Err(failure) => return write!(f, "{}; the run said {}", failure.on_one_line(), named(recorded)),
        };
        write!(f, "{}", named(recorded))?;
        if self.word() == "same" {
            return Ok(());
        }
        write!(f, " → {}", named(again))?;
        for (word, claim) in [("then", recorded), ("now", again)] {
            let why = claim.reason.as_deref().unwrap_or("it holds");
            write!(f, "\n{INDENT}{word}: {}", why.replace('\n', &format!("\n{INDENT}")))?;
        }
        Ok(())
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.head)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.quoted.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        let (judged, differ) = (self.count(|line| line.again.is_ok()), self.count(Line::differs));
        let other = self.count(|line| line.word() == "cause");
        let cause = if other == 0 { String::new() } else { format!(", {other} of them for another cause") };
        write!(f, "{judged} claims judged again: {} came out as before{cause}, {differ} differ", judged - differ)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{failure::Failure, judge::verdict::Outcome as Came, report::gather::example};

    fn replay(outcome: Came) -> Replay {
        let report = example();
        let mut replay = Replay::of(&report);
        replay.judged(Cloud::Aws, "platform", Ok(Verdict::new("platform", "all is well", outcome)));
        replay.linked(Cloud::Aws, &report.clouds[0].chain, Ok(report.clouds[0].chain.clone()));
        replay.quote(&report);
        replay
    }

    #[test]
    fn what_comes_out_the_same_passes_and_the_rest_is_quoted() {
        let same = replay(Came::Failed("identity-refused: other words\n  next: a".into()));
        let text = same.to_string();
        assert_eq!(same.exit(), Exit::Passed, "{text}");
        for line in [
            "    same  aws platform root and all its applications are Synced and Healthy: failed (identity-refused)\n",
            "    same  aws chain token: passed\n",
            " not run  aws canaries: needs a cluster; the run said 1 passed\n",
            " not run  images: tells what the run had; the run said 1 not run\n",
            "2 claims judged again: 2 came out as before, 0 differ",
        ] {
            assert!(text.contains(line), "{line}\n\n{text}");
        }
    }

    #[test]
    fn another_cause_is_told_and_another_outcome_is_a_finding() {
        let other = replay(Came::Failed("unknown: nobody knows".into()));
        let text = other.to_string();
        assert_eq!(other.exit(), Exit::Passed);
        assert!(
            text.contains("failed (identity-refused) → failed (unknown)\n          then: identity-refused: "),
            "{text}"
        );
        assert!(text.contains("2 came out as before, 1 of them for another cause, 0 differ"), "{text}");
        let differs = replay(Came::Passed);
        let text = differs.to_string();
        assert_eq!(differs.exit(), Exit::Findings);
        assert!(text.contains(" DIFFERS  aws platform") && text.contains("\n          now: it holds"), "{text}");
    }

    #[test]
    fn what_cannot_be_judged_proves_nothing() {
        let report = example();
        let mut none = Replay::of(&report);
        let lacking = || Failure::new("judge the platform again", "the recording lacks pods");
        none.judged(Cloud::Aws, "platform", Err(lacking()));
        none.linked(Cloud::Aws, &report.clouds[0].chain, Err(lacking()));
        none.judged(Cloud::Aws, "waves", Ok(Verdict::new("waves", "of which the run has said nothing", Came::Passed)));
        none.quote(&report);
        assert_eq!(none.exit(), Exit::Unproven);
        let text = none.to_string();
        assert!(text.contains("lacks pods; the run said failed (identity-refused)"), "{text}");
        assert!(text.ends_with("0 claims judged again: 0 came out as before, 0 differ"), "{text}");
    }
}
