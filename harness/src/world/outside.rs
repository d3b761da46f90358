//! The one way from a world to the real internet: images that nobody here has are pulled from their own registries.
//!
//! The gateway lives in the world's network namespace, where there is no route to the outside. One of its threads
//! enters the machine's namespace again and pulls there, on behalf of the world's container runtime.

use std::{fs::File, path::Path, pin::Pin};

use nix::sched::{CloneFlags, setns};
use tokio::sync::{mpsc, oneshot};
use trinity_emulators::registry::Upstream;

use crate::{
    components::Store,
    failure::{Attempt, Result},
};

/// An image that is wanted, and where to tell its digest.
type Wanted = (String, oneshot::Sender<Result<String>>);

/// The machine's network, for pulling images.
pub struct Outside {
    wanted: mpsc::UnboundedSender<Wanted>,
}

impl Outside {
    /// Starts a thread in the network namespace that the file `network` holds.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn open(network: &Path, store: Store) -> Result<Self> {
        let attempted = || format!("enter the network of {}", network.display());
        let file = File::open(network).attempting(attempted)?;
        let (wanted, mut inbox) = mpsc::unbounded_channel::<Wanted>();
        let (entered, done) = std::sync::mpsc::channel();
        // Name resolution runs on threads that this one starts, so they are in the same namespace.
        std::thread::spawn(move || {
            let runtime = setns(file, CloneFlags::CLONE_NEWNET)
                .map_err(std::io::Error::from)
                .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
            let Ok(runtime) = runtime.map_err(|e| entered.send(Err(e))) else { return };
            let _ = entered.send(Ok(()));
            runtime.block_on(async {
                while let Some((reference, tell)) = inbox.recv().await {
                    // When nobody listens any more, the image is in the cache all the same.
                    let _ = tell.send(store.pull(&reference).await);
                }
            });
        });
        done.recv().attempting(attempted)?.attempting(attempted)?;
        Ok(Self { wanted })
    }
}

impl Upstream for Outside {
    fn pull<'a>(&'a self, reference: &'a str) -> Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>> {
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            self.wanted.send((reference.to_owned(), tell)).map_err(|e| e.to_string())?;
            told.await.map_err(|e| e.to_string())?.map_err(|failure| failure.to_string())
        })
    }
}
