//! Which claims a run is about: all, suites and tests by their names, or one part of several.

use std::{fmt, str::FromStr};

use clap::Args;

use crate::{
    failure::{Failure, Result},
    judge::verdict::{Outcome, Verdict},
    world::Cloud,
};

/// What the command line says about suites.
#[derive(Args, Clone, Debug, Default)]
// The group would have the name of the type, which another set of arguments has, too.
#[group(skip)]
pub struct Asked {
    /// Only this suite, a file in `suites/tests`, or `leaks`, the search for secret values; can be repeated.
    #[arg(long = "suite", value_name = "NAME")]
    pub suites: Vec<String>,
    /// Only tests of suites whose name contains this; can be repeated.
    #[arg(long = "filter", value_name = "TEXT")]
    pub filters: Vec<String>,
    /// Only part I of N: as many runs as there are parts try everything, for example 1/2 and 2/2.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
}

/// One part of several, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    part: usize,
    of: usize,
}

/// The suites that one call of nextest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The platform at rest.
    Rest,
    /// Secrets and identities.
    Secrets,
    /// Metrics.
    Metrics,
}

/// What the suites about metrics are together.
pub const METRICS: &str = "all claims about metrics";
/// The harness's own claim that can be chosen by name, as suites are.
const LEAKS: &str = "leaks";

/// What was chosen.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Suites of which anything runs.
    suites: Vec<String>,
    /// Parts of the names of their tests; all tests when there is none.
    filters: Vec<String>,
    /// Whether secret values are searched for.
    leaks: bool,
    /// What was asked for, for people; nothing when everything is chosen.
    said: Option<String>,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok();
        let parts = text.split_once('/').and_then(|(part, of)| Some((number(part)?, number(of)?)));
        match parts {
            Some((part, of)) if 1 <= part && part <= of => Ok(Self { part, of }),
            _ => Err("it is not of the form I/N with I from 1 to N, for example 1/2".into()),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

impl Asked {
    /// The arguments that say the same to another process.
    pub fn again(&self) -> Vec<String> {
        let suites = self.suites.iter().map(|suite| format!("--suite={suite}"));
        let filters = self.filters.iter().map(|filter| format!("--filter={filter}"));
        suites.chain(filters).chain(self.shard.map(|shard| format!("--shard={shard}"))).collect()
    }
}

impl Half {
    /// Where a suite runs.
    fn of(suite: &str) -> Self {
        match suite {
            "quiescence" => Self::Rest,
            "metrics" => Self::Metrics,
            _ => Self::Secrets,
        }
    }
}

impl Choice {
    /// Nothing: worlds are brought up, and that is all.
    pub fn none() -> Self {
        let said = Some("nothing, worlds are brought up and go on".into());
        Self { suites: Vec::new(), filters: Vec::new(), leaks: false, said }
    }

    /// What was asked for, of the `known` suites.
    ///
    /// # Errors
    /// When a suite does not exist, or nothing is left.
    pub fn of(asked: &Asked, known: &[String]) -> Result<Self> {
        let Asked { suites, filters, shard } = asked;
        let unknown = suites.iter().find(|name| *name != LEAKS && !known.contains(name));
        if let Some(name) = unknown {
            return Err(Failure::new(format!("choose the suite {name}"), "there is none of that name")
                .next(format!("these are there: {}, {LEAKS}", known.join(", "))));
        }
        let strange = |filter: &&String| filter.is_empty() || !filter.chars().all(of_a_name);
        if let Some(filter) = filters.iter().find(strange) {
            let seen = "names of tests have letters, digits, _ and : in them";
            return Err(Failure::new(format!("choose tests by {filter:?}"), seen).next("name a part of a test's name"));
        }
        let named = |name: &&String| suites.is_empty() || suites.contains(name);
        let mut chosen: Vec<String> = known.iter().filter(named).cloned().collect();
        if let Some(Shard { part, of }) = shard {
            if *of > chosen.len() {
                let seen = format!("there are {} suites, and a part has at least one", chosen.len());
                return Err(Failure::new(format!("make {of} parts"), seen).next("make fewer parts"));
            }
            // Suites stay whole: their tests have their order among themselves, and what Grafana Cloud is asked afterwards is
            // about the load that one of them has sent.
            chosen =
                chosen.into_iter().enumerate().filter(|(n, _)| n % of + 1 == *part).map(|(_, name)| name).collect();
        }
        if chosen.is_empty() && !filters.is_empty() {
            return Err(Failure::new(format!("choose tests by {}", filters.join(", ")), format!("{LEAKS} has none"))
                .next("name a suite, too, or leave --filter out"));
        }
        let mut said = Vec::new();
        if !suites.is_empty() {
            said.push(format!("suites {}", suites.join(", ")));
        }
        if !filters.is_empty() {
            said.push(format!("tests named {}", filters.join(" or ")));
        }
        if let Some(Shard { part, of }) = shard {
            said.push(format!("part {part} of {of} ({})", chosen.join(", ")));
        }
        let all = suites.is_empty() && filters.is_empty();
        Ok(Self {
            suites: chosen,
            filters: filters.clone(),
            leaks: all || suites.iter().any(|name| name == LEAKS),
            said: (!said.is_empty()).then(|| said.join("; ")),
        })
    }

    /// Whether worlds are only brought up.
    pub const fn is_idle(&self) -> bool {
        self.suites.is_empty() && !self.leaks
    }

    /// Whether any suite runs.
    pub const fn has_suites(&self) -> bool {
        !self.suites.is_empty()
    }

    /// Whether a group of claims is tried. The harness's own, but for the search for secret values, are whenever a platform is
    /// up: without them nothing else counts.
    pub fn has(&self, group: &str) -> bool {
        match group {
            LEAKS => self.leaks,
            "suites" => self.has_suites(),
            "canaries" | "platform" | "outside" | "lifecycle" => true,
            _ => !self.is_idle(),
        }
    }

    /// The tests of a half that run against the world of a cloud, in nextest's language; those suites that are `elsewhere` are
    /// left to others. Nothing when no suite is left.
    pub fn filterset(&self, half: Half, cloud: Cloud, elsewhere: &[&str]) -> Option<String> {
        let runs = |suite: &&String| Half::of(suite) == half && !elsewhere.contains(&suite.as_str());
        let suites: Vec<&str> = self.suites.iter().filter(runs).map(String::as_str).collect();
        // The cases of the other clouds have worlds of their own.
        (!suites.is_empty())
            .then(|| format!("test(/::case_[0-9]+_{cloud}$/) and binary(/^({})$/){}", suites.join("|"), self.named()))
    }

    /// The tests that were chosen by their names, against any of these clouds; nothing when they were not.
    pub fn by_name(&self, clouds: &[Cloud]) -> Option<String> {
        let clouds: Vec<&str> = clouds.iter().map(|cloud| cloud.name()).collect();
        let all =
            || format!("test(/::case_[0-9]+_({})$/) and binary(/^({})$/)", clouds.join("|"), self.suites.join("|"));
        self.names_tests().then(|| all() + &self.named())
    }

    /// What nextest's language has for the names.
    fn named(&self) -> String {
        let tests: Vec<String> = self.filters.iter().map(|filter| format!("test(~{filter})")).collect();
        if tests.is_empty() { String::new() } else { format!(" and ({})", tests.join(" or ")) }
    }

    /// What a half claims, as far as it is chosen.
    pub fn claim(&self, half: Half) -> &'static str {
        match half {
            Half::Rest => "a platform at rest stays as it is",
            Half::Secrets if self.said.is_none() => "all claims about secrets",
            Half::Secrets => "the chosen claims about secrets",
            Half::Metrics if self.filters.is_empty() => METRICS,
            Half::Metrics => "the chosen claims about metrics",
        }
    }

    /// Whether tests were chosen by their names: a suite may have none of such a name.
    pub const fn names_tests(&self) -> bool {
        !self.filters.is_empty()
    }

    /// A verdict about everything else, when there is such.
    pub fn left_out(&self) -> Option<Verdict> {
        self.said.as_ref().map(|_| Verdict::new("choice", "everything else", Outcome::NotRun("not chosen".into())))
    }

    /// A verdict about tests that were chosen by name, when none has been run in any world.
    pub fn in_vain(&self, verdicts: &[Verdict]) -> Option<Verdict> {
        let tried = !self.names_tests() || verdicts.iter().any(|verdict| verdict.group == "suites");
        (!tried).then(|| {
            let why = "no world of this run tries a test of such a name".to_owned();
            Verdict::new("choice", format!("tests named {}", self.filters.join(" or ")), Outcome::Failed(why))
        })
    }
}

/// Whether names of tests have it.
const fn of_a_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')
}

impl fmt::Display for Choice {
    /// What to add to the description of a run; nothing when everything was chosen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.said.as_ref().map_or(Ok(()), |said| write!(f, ", chosen: {said}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["denial", "drift", "lifecycle", "metrics", "quiescence", "secret_path", "waves"].map(str::to_owned).to_vec()
    }

    fn asked(suites: &[&str], filters: &[&str], shard: Option<&str>) -> Asked {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Asked { suites: owned(suites), filters: owned(filters), shard: shard.map(|shard| shard.parse().unwrap()) }
    }

    fn chosen(suites: &[&str], filters: &[&str], shard: Option<&str>) -> Choice {
        Choice::of(&asked(suites, filters, shard), &known()).unwrap()
    }

    #[test]
    fn without_a_choice_everything_runs_and_nothing_is_said() {
        let all = chosen(&[], &[], None);
        assert_eq!(all.to_string(), "");
        assert!(all.left_out().is_none() && all.in_vain(&[]).is_none() && all.has("leaks") && all.has("waves"));
        assert_eq!(all.claim(Half::Secrets), "all claims about secrets");
        let filter = all.filterset(Half::Secrets, Cloud::Gcp, &["waves"]).unwrap();
        assert_eq!(filter, "test(/::case_[0-9]+_gcp$/) and binary(/^(denial|drift|lifecycle|secret_path)$/)");
        let rest = all.filterset(Half::Rest, Cloud::Gcp, &[]).unwrap();
        assert_eq!(rest, "test(/::case_[0-9]+_gcp$/) and binary(/^(quiescence)$/)");
        assert_eq!(all.by_name(&[Cloud::Gcp]), None);
    }

    #[test]
    fn another_process_is_asked_for_the_same() {
        let again = asked(&["metrics", "leaks"], &["labels"], Some("1/2")).again();
        assert_eq!(again, ["--suite=metrics", "--suite=leaks", "--filter=labels", "--shard=1/2"]);
        assert!(Asked::default().again().is_empty());
    }

    #[test]
    fn what_was_not_chosen_does_not_run_and_is_said() {
        let choice = chosen(&["metrics"], &["labels", "c_"], None);
        assert_eq!(choice.to_string(), ", chosen: suites metrics; tests named labels or c_");
        assert_eq!(choice.filterset(Half::Secrets, Cloud::Aws, &[]), None);
        let filter = choice.filterset(Half::Metrics, Cloud::Aws, &[]).unwrap();
        assert!(filter.ends_with("binary(/^(metrics)$/) and (test(~labels) or test(~c_))"), "{filter}");
        assert_ne!(choice.claim(Half::Metrics), METRICS);
        assert!(!choice.has("leaks") && choice.has("canaries"));
        let left = choice.left_out().unwrap();
        assert_eq!(left.outcome, Outcome::NotRun("not chosen".into()));
        // A suite that is tried by another world is not tried twice.
        assert_eq!(chosen(&["drift"], &[], None).filterset(Half::Secrets, Cloud::Aws, &["drift"]), None);
    }

    #[test]
    fn a_choice_that_was_in_vain_is_a_failure() {
        let choice = chosen(&[], &["expired"], None);
        assert!(choice.in_vain(&[Verdict::new("canaries", "c", Outcome::Passed)]).unwrap().failed());
        assert!(choice.in_vain(&[Verdict::new("suites", "s", Outcome::Passed)]).is_none());
    }

    #[test]
    fn the_search_for_values_can_be_chosen() {
        let choice = chosen(&["leaks"], &[], None);
        assert!(choice.has("leaks") && !choice.has_suites() && !choice.has("suites"));
        let refused = Choice::of(&asked(&["leaks"], &["x"], None), &known()).unwrap_err().to_string();
        assert!(refused.contains("leaks has none"), "{refused}");
    }

    #[test]
    fn what_does_not_exist_is_refused_with_what_does() {
        let refused = |suites: &[&str], filters: &[&str], shard: Option<&str>| {
            Choice::of(&asked(suites, filters, shard), &known()).unwrap_err().to_string()
        };
        assert!(refused(&["metric"], &[], None).contains("these are there: denial, drift, "));
        assert!(refused(&[], &["a) or all("], None).contains("names of tests have letters"));
        assert!(refused(&[], &[""], None).contains("names of tests have letters"));
        assert!(refused(&["metrics"], &[], Some("1/2")).contains("there are 1 suites"));
        for wrong in ["0/2", "3/2", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_suite_is_in_one_part() {
        for of in 1..=known().len() {
            let parts: Vec<Choice> = (1..=of).map(|part| chosen(&[], &[], Some(&format!("{part}/{of}")))).collect();
            for suite in known() {
                let runs = |choice: &Choice| {
                    choice.filterset(Half::of(&suite), Cloud::Azure, &[]).is_some_and(|f| f.contains(&suite))
                };
                assert_eq!(parts.iter().filter(|part| runs(part)).count(), 1, "{suite} of {of}");
            }
            assert!(parts.iter().all(|part| part.has_suites() && part.has("leaks") && part.left_out().is_some()));
            assert!(parts[0].to_string().starts_with(&format!(", chosen: part 1 of {of} (denial")), "{}", parts[0]);
        }
    }

    #[test]
    fn nothing_chosen_runs_nothing() {
        let none = Choice::none();
        assert!(!none.has("waves") && !none.has("metrics") && !none.has("leaks") && none.has("platform"));
        assert!(
            [Half::Rest, Half::Secrets, Half::Metrics].iter().all(|h| none.filterset(*h, Cloud::Aws, &[]).is_none())
        );
    }
}
