//! Whether the operator's webhook answers while it is replaced: one who applies an ExternalSecret meanwhile would know.

use std::{
    fmt,
    time::{Duration, Instant},
};

use kube::{Client, api::PostParams};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    failure::{Attempt, Result},
    observe::kinds::Kind,
};

/// Time between an answer and the next question: what lasts less goes unseen, and what asks more often takes the machine
/// from those it asks about.
const PAUSE: Duration = Duration::from_millis(100);

/// How the webhook has answered.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// How often it was asked.
    pub asked: usize,
    /// For how long it did not answer, all in all.
    pub away: Duration,
    /// How often in that time it was asked in vain.
    pub refused: usize,
    /// What the API server says against it now.
    pub last: Option<String>,
}

/// Questions under way.
pub struct Probe {
    told: watch::Receiver<Answers>,
    task: JoinHandle<()>,
}

impl Probe {
    /// Begins to rehearse the creation of an ExternalSecret, again and again; none is made.
    ///
    /// # Errors
    /// When the rehearsal cannot be written down.
    pub fn begin(client: &Client) -> Result<Self> {
        let object = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": {"name": "trinity-e2e-rehearsal", "namespace": "default"},
            "spec": {
                "secretStoreRef": {"kind": "ClusterSecretStore", "name": "rehearsal"},
                "target": {"name": "trinity-e2e-rehearsal"},
                "data": [{"secretKey": "key", "remoteRef": {"key": "key"}}],
            },
        });
        let object = serde_json::from_value(object).attempting(|| "write an ExternalSecret to rehearse".into())?;
        let api = Kind::ExternalSecret.within(client, "default");
        let (tell, told) = watch::channel(Answers::default());
        let task = tokio::spawn(async move {
            let rehearsal = PostParams { dry_run: true, ..PostParams::default() };
            let mut last = Instant::now();
            loop {
                let answer = api.create(&rehearsal, &object).await;
                let now = Instant::now();
                tell.send_modify(|answers| answers.after(answer.err().map(|e| e.to_string()), now - last));
                last = now;
                tokio::time::sleep(PAUSE).await;
            }
        });
        Ok(Self { told, task })
    }

    /// What was answered until now.
    pub fn until_now(&self) -> Answers {
        self.told.borrow().clone()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Answers {
    /// One more answer, this long after the one before.
    fn after(&mut self, refusal: Option<String>, since: Duration) {
        self.asked += 1;
        if refusal.is_some() {
            self.refused += 1;
            self.away += since;
        }
        self.last = refusal;
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asked {} times, in vain {}, for {:.1} s", self.asked, self.refused, self.away.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_an_answer_adds_up() {
        let mut answers = Answers::default();
        for refusal in [None, Some("one"), Some("other"), None, Some("third")] {
            answers.after(refusal.map(Into::into), Duration::from_millis(150));
        }
        assert_eq!((answers.asked, answers.refused, answers.away), (5, 3, Duration::from_millis(450)));
        assert_eq!(answers.last.as_deref(), Some("third"));
        answers.after(None, Duration::ZERO);
        assert_eq!(answers.last, None);
    }
}
