//! Not played yet.

pub mod canaries;
pub mod declared;

use std::collections::BTreeMap;

use axum::http::StatusCode;

use crate::{
    Answer, Error, Request, Result,
    cloud::{Cloud, Ground, Later, Trouble},
    config,
};

/// The cloud.
#[derive(Clone)]
pub struct Tenant;

impl Tenant {
    /// Opens it.
    ///
    /// # Errors
    /// Not played yet.
    pub fn open(_: &config::Azure, _: Ground) -> Result<Self> {
        Ok(Self)
    }
}

impl Cloud for Tenant {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn plays(&self, _: &str) -> bool {
        false
    }

    fn operation(&self, _: &str, _: &Request) -> String {
        String::new()
    }

    fn answer<'a>(&'a self, _: &'a str, _: Request) -> Later<'a, Answer> {
        Box::pin(async { Answer::text(StatusCode::NOT_IMPLEMENTED, "") })
    }

    fn trouble(&self, _: &str, _: &Request, _: Trouble) -> Answer {
        Answer::text(StatusCode::NOT_IMPLEMENTED, "")
    }

    fn declare(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn apply<'a>(&'a self, _: &'a BTreeMap<String, String>) -> Later<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn read<'a>(&'a self, name: &'a str) -> Later<'a, Result<String>> {
        Box::pin(async move { Err(Error::new(format!("read {name}"), "not played yet")) })
    }

    fn write<'a>(&'a self, name: &'a str, _: &'a str) -> Later<'a, Result<()>> {
        Box::pin(async move { Err(Error::new(format!("write {name}"), "not played yet")) })
    }

    fn delete<'a>(&'a self, name: &'a str) -> Later<'a, Result<()>> {
        Box::pin(async move { Err(Error::new(format!("delete {name}"), "not played yet")) })
    }
}
