//! What happened in a world, told from its records while they are there: the timeline, and the chain of identity.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use trinity_emulators::journal::Line;

use super::{
    chain::{self, Evidence},
    data::{Link, Moment, SecretState},
    redact::Redactor,
    timeline::Timeline,
};
use crate::{
    clock::Clock,
    failure::{Attempt, Result},
    judge::verdict::Verdict,
    observe::audit,
    world::Description,
};

/// Time in which the API server has to tell of stores and service accounts; a second is usual.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happened in a world.
pub struct Story {
    /// The links from service account to value.
    pub chain: Vec<Link>,
    /// What happened, in the order of time.
    pub timeline: Vec<Moment>,
    /// How many entries of the timeline there was no room for.
    pub left_out: usize,
}

impl Default for Story {
    /// Of a world that never came up.
    fn default() -> Self {
        Self { chain: chain::absent(), timeline: Vec::new(), left_out: 0 }
    }
}

/// What is known of a world beside its records.
pub struct Known {
    /// By what times are.
    pub clock: Clock,
    /// What takes its values out.
    pub redactor: Redactor,
    /// The platform's ExternalSecrets.
    pub secrets: Vec<SecretState>,
    /// All verdicts until now.
    pub verdicts: Vec<Verdict>,
    /// From when on suites stirred it, if they did.
    pub stirred: Option<Timestamp>,
    /// All requests to the outside.
    pub calls: Vec<Line>,
}

impl Known {
    /// Tells what happened. What cannot be read, the chain says.
    ///
    /// # Errors
    /// When the telling is broken off.
    pub async fn story(self, world: &Description) -> Result<Story> {
        let attempted = || format!("tell what happened in {}", world.name);
        let asked = timeout(PATIENCE, async { chain::accounts(&world.client().await?).await }).await;
        let accounts = asked.attempting(|| "list the stores".into()).and_then(|accounts| accounts);
        let log = world.audit.clone();
        // The log is long, and other worlds go on meanwhile.
        let told = tokio::task::spawn_blocking(move || {
            let Self { clock, redactor, secrets, verdicts, stirred, calls } = &self;
            let (stirred, writes) = (*stirred, audit::read(&log));
            // A kept world has those of earlier runs.
            let of_run = writes.as_deref().unwrap_or_default();
            let of_run = &of_run[of_run.partition_point(|write| write.done < clock.begun())..];
            let evidence = Evidence { accounts: &accounts, writes: &writes, calls, secrets, verdicts, stirred };
            let chain = evidence.chain(redactor);
            let mut timeline = Timeline::new(*clock, redactor);
            timeline.writes(of_run);
            timeline.requests(calls, stirred);
            let (timeline, left_out) = timeline.end();
            Story { chain, timeline, left_out }
        });
        told.await.attempting(attempted)
    }
}
