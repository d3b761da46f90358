//! What Argo CD keeps in its Redis, mostly compressed: manifests, and the live objects that it compares with them.

use kube::Client;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    failure::{Failure, Result},
    judge::leaks::Search,
    observe::redis::{self, Redis, Reply},
};

/// Searches every key with what is under it. A Redis that does not run has nothing: it keeps all in memory.
///
/// # Errors
/// When Redis cannot be reached or refuses.
pub async fn keys(search: &Search, client: &Client) -> Result<()> {
    let Some(mut redis) = redis::open(client).await? else { return Ok(()) };
    let strange = |seen: &str| Err(Failure::new("list what is in Argo CD's Redis", seen));
    let mut cursor = b"0".to_vec();
    loop {
        let Reply::Many(page) = redis.ask(&[b"SCAN", &cursor, b"COUNT", b"1000"]).await? else {
            return strange("SCAN gives no list");
        };
        let [Reply::One(next), Reply::Many(keys)] = page.as_slice() else {
            return strange("SCAN gives no cursor and keys");
        };
        for key in keys {
            let Reply::One(key) = key else { continue };
            one(search, &mut redis, key).await?;
        }
        cursor.clone_from(next);
        if cursor == b"0" {
            return Ok(());
        }
    }
}

async fn one<S: AsyncRead + AsyncWrite + Send + Unpin>(
    search: &Search,
    redis: &mut Redis<S>,
    key: &[u8],
) -> Result<()> {
    let kind = redis.ask(&[b"TYPE", key]).await?;
    let Reply::One(kind) = &kind else { return Ok(()) };
    let name = format!("Redis key {}", String::from_utf8_lossy(key));
    let content = match kind.as_slice() {
        // It has expired since it was listed.
        b"none" => return Ok(()),
        b"string" => redis.ask(&[b"GET", key]).await?,
        b"hash" => redis.ask(&[b"HGETALL", key]).await?,
        b"list" => redis.ask(&[b"LRANGE", key, b"0", b"-1"]).await?,
        b"set" => redis.ask(&[b"SMEMBERS", key]).await?,
        b"zset" => redis.ask(&[b"ZRANGE", key, b"0", b"-1"]).await?,
        b"stream" => redis.ask(&[b"XRANGE", key, b"-", b"+"]).await?,
        other => {
            search.missed(&name, format!("nobody knows how to read a {}", String::from_utf8_lossy(other)));
            return Ok(());
        }
    };
    let mut all = vec![key];
    texts(&content, &mut all);
    search.bytes(&name, &all.join(&b'\n'));
    Ok(())
}

/// All texts of an answer.
fn texts<'a>(reply: &'a Reply, all: &mut Vec<&'a [u8]>) {
    match reply {
        Reply::One(text) => all.push(text),
        Reply::Many(replies) => replies.iter().for_each(|reply| texts(reply, all)),
    }
}
