//! Ctrl-C, and what else asks a run to end. The first time, what runs is broken off and everything that was made is taken down in
//! order; the second time, this process ends at once and leaves the rest to `trinity-e2e sweep`.

use std::sync::{
    OnceLock,
    atomic::{AtomicI32, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::info;

use crate::{
    failure::{Attempt, Failure, Result},
    report::tree,
};

/// What a process adds to the number of the signal that ended it, by the shells' convention.
const SIGNALLED: i32 = 128;

/// A signal that asks a run to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Interrupt,
    Terminate,
}

/// What is to be done about a signal.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Break off what runs, and take down what was made.
    TearDown,
    /// End at once, with this exit code.
    End(i32),
}

/// What has been asked so far.
#[derive(Debug)]
struct Interrupts {
    asked: watch::Sender<Option<Asked>>,
}

/// Those of this process, which listens from the first work on that can be broken off.
static INTERRUPTS: OnceLock<Interrupts> = OnceLock::new();

/// A process that this one ends with itself; zero is none.
static COMPANION: AtomicI32 = AtomicI32::new(0);

/// When a second signal ends this process at once, that process gets one, too; nothing, when there is none any more.
pub fn end_with(companion: Option<Pid>) {
    COMPANION.store(companion.map_or(0, Pid::as_raw), Ordering::Relaxed);
}

/// Does `work`, unless somebody ends the run by SIGINT or SIGTERM, or has done so before.
///
/// # Errors
/// Those of the work, or that it was broken off.
pub async fn uninterrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    if INTERRUPTS.get().is_none() {
        listen()?;
    }
    INTERRUPTS.get_or_init(Interrupts::new).unless(work).await
}

/// From now on, these signals do not end this process by themselves.
fn listen() -> Result<()> {
    let attempted = || "listen for signals".to_owned();
    let mut interrupt = signal(SignalKind::interrupt()).attempting(attempted)?;
    let mut terminate = signal(SignalKind::terminate()).attempting(attempted)?;
    if INTERRUPTS.set(Interrupts::new()).is_err() {
        // Another piece of work was faster, and listens.
        return Ok(());
    }
    tokio::spawn(async move {
        loop {
            let asked = tokio::select! {
                _ = interrupt.recv() => Asked::Interrupt,
                _ = terminate.recv() => Asked::Terminate,
            };
            match INTERRUPTS.get_or_init(Interrupts::new).hear(asked) {
                Answer::TearDown => {
                    tree::say(format!("{}: taking down what was made; once more ends at once", asked.told()));
                    info!(
                        "{}: taking down in order what was made, and telling what was seen; once more ends at once and leaves it",
                        asked.told()
                    );
                }
                Answer::End(code) => {
                    info!(
                        "{} again: ended at once; what was made is left, and `trinity-e2e sweep` removes it",
                        asked.told()
                    );
                    tree::remove();
                    let companion = COMPANION.load(Ordering::Relaxed);
                    if companion != 0 {
                        // It may have ended meanwhile.
                        let _ = kill(Pid::from_raw(companion), Signal::SIGINT);
                    }
                    std::process::exit(code);
                }
            }
        }
    });
    Ok(())
}

impl Asked {
    const fn told(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupted (SIGINT)",
            Self::Terminate => "ended (SIGTERM)",
        }
    }

    const fn number(self) -> i32 {
        match self {
            Self::Interrupt => SignalKind::interrupt().as_raw_value(),
            Self::Terminate => SignalKind::terminate().as_raw_value(),
        }
    }
}

impl Interrupts {
    fn new() -> Self {
        Self { asked: watch::Sender::new(None) }
    }

    fn hear(&self, asked: Asked) -> Answer {
        if self.asked.borrow().is_some() {
            return Answer::End(SIGNALLED + asked.number());
        }
        self.asked.send_replace(Some(asked));
        Answer::TearDown
    }

    async fn unless<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut heard = self.asked.subscribe();
        let broken_off = async {
            // The sender is this.
            let asked = heard.wait_for(Option::is_some).await.ok().and_then(|asked| *asked);
            let told = asked.map_or("nobody listens any more", Asked::told);
            Failure::new("finish the run", format!("it was {told}")).interrupted()
        };
        tokio::select! {
            biased;
            failure = broken_off => Err(failure),
            outcome = work => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::failure::Kind;

    #[tokio::test]
    async fn the_first_signal_breaks_work_off_and_the_second_ends_at_once() {
        let interrupts = Interrupts::new();
        let (outcome, answer) =
            tokio::join!(interrupts.unless(pending::<Result<()>>()), async { interrupts.hear(Asked::Interrupt) });
        let failure = outcome.unwrap_err();
        assert_eq!((answer, failure.kind()), (Answer::TearDown, Kind::Interruption));
        assert_eq!(failure.seen(), "it was interrupted (SIGINT)");
        assert_eq!(interrupts.hear(Asked::Interrupt), Answer::End(130));
        assert_eq!(interrupts.hear(Asked::Terminate), Answer::End(143));
    }

    #[tokio::test]
    async fn no_work_begins_after_a_signal() {
        let interrupts = Interrupts::new();
        assert_eq!(interrupts.unless(async { Ok(1) }).await.unwrap(), 1);
        interrupts.hear(Asked::Terminate);
        let failure = interrupts.unless(async { Ok(2) }).await.unwrap_err();
        assert_eq!(failure.seen(), "it was ended (SIGTERM)");
    }
}
