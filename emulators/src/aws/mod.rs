//! An AWS account as far as secrets need it: STS that verifies web identities, IAM that decides, and Secrets Manager
//! in front of a LocalStack that keeps the values.

pub mod account;
pub mod canaries;
pub mod declared;
#[cfg(test)]
mod fixture;
pub mod iam;
pub mod secretsmanager;
pub mod sigv4;
pub mod store;
pub mod sts;

pub use account::Account;
