//! Worlds that go step by step together, so that what one process does for all of them can be told for each step.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::world::Cloud;

/// How far each world has come; one that has left is not waited for.
#[derive(Debug)]
pub struct Meeting {
    reached: watch::Sender<BTreeMap<Cloud, usize>>,
}

/// The place of a world, which leaves when this is dropped.
#[derive(Debug)]
pub struct Guest<'a> {
    meeting: &'a Meeting,
    cloud: Cloud,
    reached: usize,
}

impl Meeting {
    /// Of the worlds of these clouds. Each is waited for until it has joined and left.
    pub fn of(clouds: &[Cloud]) -> Self {
        Self { reached: watch::Sender::new(clouds.iter().map(|cloud| (*cloud, 0)).collect()) }
    }

    /// The world of a cloud comes.
    pub const fn join(&self, cloud: Cloud) -> Guest<'_> {
        Guest { meeting: self, cloud, reached: 0 }
    }
}

impl Guest<'_> {
    /// Waits until every world that has not left has waited as often as this one.
    pub async fn all_here(&mut self) {
        self.reached += 1;
        let Self { meeting, cloud, reached } = &*self;
        meeting.reached.send_modify(|all| {
            all.insert(*cloud, *reached);
        });
        // The sender is there as long as the meeting.
        let _ = meeting.reached.subscribe().wait_for(|all| all.values().all(|others| others >= reached)).await;
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.meeting.reached.send_modify(|all| {
            all.remove(&self.cloud);
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn nobody_goes_on_before_all_who_have_not_left() {
        let meeting = Meeting::of(&Cloud::ALL);
        let (mut one, mut two, three) =
            (meeting.join(Cloud::Aws), meeting.join(Cloud::Gcp), meeting.join(Cloud::Azure));
        let mut first = Box::pin(one.all_here());
        assert_eq!(first.as_mut().now_or_never(), None, "two are missing");
        let mut second = Box::pin(two.all_here());
        assert_eq!(second.as_mut().now_or_never(), None, "one is missing");
        drop(three);
        assert_eq!((first.now_or_never(), second.now_or_never()), (Some(()), Some(())));
        assert_eq!(one.all_here().now_or_never(), None, "the next step is another one");
        assert_eq!(two.all_here().now_or_never(), Some(()), "it had waited");
    }
}
