//! Argo CD's Redis, by its own protocol (RESP 2), reached as `kubectl port-forward` does it.

use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Portforwarder},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    time::timeout,
};

use crate::{
    failure::{Attempt, Failure, Result},
    gitops::argocd::NAMESPACE,
};

/// Name of its Secret, and of the application of its Pod.
const NAME: &str = "argocd-redis";
const PORT: u16 = 6379;
/// Time for one answer; it has everything in memory.
const ANSWER: Duration = Duration::from_secs(15);

/// A connection.
pub struct Redis<S> {
    stream: BufStream<S>,
    /// What forwards it, for as long as it is used.
    _forwarder: Option<Portforwarder>,
}

/// What Redis answers; a number is its text, and nothing is no text.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// One text.
    One(Vec<u8>),
    /// Several.
    Many(Vec<Reply>),
}

/// Connects; nothing when no Redis runs: it keeps all in memory, so there is nothing to be had then.
///
/// # Errors
/// When it runs and cannot be reached, or does not take the password of its Secret.
pub async fn open(client: &Client) -> Result<Option<Redis<impl AsyncRead + AsyncWrite + Send + Unpin>>> {
    let attempted = || format!("reach Argo CD's Redis ({NAMESPACE}/{NAME})");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let secret = secrets.get_opt(NAME).await.attempting(attempted)?;
    let password = secret.and_then(|secret| secret.data?.remove("auth")).unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let own = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    let running = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
    let found = pods.list(&own).await.attempting(attempted)?.items.into_iter().find(running);
    let Some(pod) = found else { return Ok(None) };
    let mut forwarder = pods.portforward(&pod.name_any(), &[PORT]).await.attempting(attempted)?;
    let stream = forwarder.take_stream(PORT).ok_or_else(|| Failure::new(attempted(), "its port is not forwarded"))?;
    let mut redis = Redis { stream: BufStream::new(stream), _forwarder: Some(forwarder) };
    redis.ask(&[b"AUTH", &password.0]).await?;
    Ok(Some(redis))
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Redis<S> {
    /// Sends a command and returns its answer.
    ///
    /// # Errors
    /// What Redis says against it, or that it says nothing in time.
    pub async fn ask(&mut self, command: &[&[u8]]) -> Result<Reply> {
        // Neither a password nor a key is told.
        let name = String::from_utf8_lossy(command.first().copied().unwrap_or_default()).into_owned();
        let attempted = || format!("ask Argo CD's Redis to {name}");
        let mut request = format!("*{}\r\n", command.len()).into_bytes();
        for word in command {
            request.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat());
        }
        self.stream.write_all(&request).await.attempting(attempted)?;
        self.stream.flush().await.attempting(attempted)?;
        timeout(ANSWER, reply(&mut self.stream)).await.attempting(attempted)?.attempting(attempted)
    }
}

/// Reads an answer.
fn reply<R: AsyncBufRead + Send + Unpin>(from: &mut R) -> BoxFuture<'_, Result<Reply, String>> {
    Box::pin(async move {
        let mut line = Vec::new();
        from.read_until(b'\n', &mut line).await.map_err(|e| e.to_string())?;
        let text = line.strip_suffix(b"\r\n").ok_or("the connection ended")?;
        let (kind, text) = text.split_first().ok_or("it answers nothing")?;
        let length = || String::from_utf8_lossy(text).parse::<i64>().map_err(|e| e.to_string());
        match kind {
            b'+' | b':' => Ok(Reply::One(text.to_vec())),
            b'-' => Err(String::from_utf8_lossy(text).into_owned()),
            b'$' => {
                let Ok(length) = usize::try_from(length()?) else { return Ok(Reply::Many(Vec::new())) };
                let mut content = vec![0; length + 2];
                from.read_exact(&mut content).await.map_err(|e| e.to_string())?;
                content.truncate(length);
                Ok(Reply::One(content))
            }
            b'*' => {
                let mut replies = Vec::new();
                for _ in 0..length()? {
                    replies.push(reply(from).await?);
                }
                Ok(Reply::Many(replies))
            }
            other => Err(format!("it answers with {:?}", char::from(*other))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Result<Reply, String> {
        reply(&mut text.as_bytes()).await
    }

    #[tokio::test]
    async fn answers_are_understood() {
        let one = |text: &str| Reply::One(text.into());
        assert_eq!(read("+OK\r\n").await, Ok(one("OK")));
        assert_eq!(read("$4\r\na\r\nb\r\n").await, Ok(one("a\r\nb")));
        assert_eq!(read("$-1\r\n").await, Ok(Reply::Many(vec![])));
        assert_eq!(
            read("*2\r\n$1\r\n0\r\n*1\r\n:7\r\n").await,
            Ok(Reply::Many(vec![one("0"), Reply::Many(vec![one("7")])]))
        );
        assert_eq!(read("-NOAUTH no\r\n").await, Err("NOAUTH no".into()));
        assert!(read("$4\r\na").await.is_err());
    }

    /// Asks as [`open`] and its users do, of a Redis that answers so to the password and to the key.
    async fn asked(to_password: &'static [u8], to_key: &'static [u8]) -> Result<Reply> {
        let (own, mut other) = tokio::io::duplex(1024);
        let server = tokio::spawn(async move {
            let exchange = [
                (&b"*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n"[..], to_password),
                (&b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"[..], to_key),
            ];
            for (wanted, answer) in exchange {
                let mut request = vec![0; wanted.len()];
                // Who is refused asks no more.
                if other.read_exact(&mut request).await.is_err() {
                    return;
                }
                assert_eq!(request, wanted);
                other.write_all(answer).await.unwrap();
            }
        });
        let mut redis = Redis { stream: BufStream::new(own), _forwarder: None };
        let answer = match redis.ask(&[b"AUTH", b"pw"]).await {
            Ok(_) => redis.ask(&[b"GET", b"k"]).await,
            refused => refused,
        };
        drop(redis);
        server.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn redis_is_asked_in_its_own_protocol() {
        assert_eq!(asked(b"+OK\r\n", b"$3\r\na\nb\r\n").await.unwrap(), Reply::One(b"a\nb".to_vec()));
        assert_eq!(asked(b"+OK\r\n", b"$-1\r\n").await.unwrap(), Reply::Many(Vec::new()));
        let refused = asked(b"-WRONGPASS no\r\n", b"").await.unwrap_err().to_string();
        assert!(refused.contains("WRONGPASS") && !refused.contains("pw"), "{refused}");
    }
}
