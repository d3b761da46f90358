//! Third-party programs, files and images: found in the cache, the mirror, a release, a registry, or built from
//! published sources; see `harness/components/lock.toml`.

pub mod artifact;
pub mod cache;
pub mod chart;
pub mod compose;
pub mod debian;
pub mod download;
pub mod image;
mod inheritance;
pub mod lock;
mod make;
pub mod product;
pub mod registry;
pub mod repository;
pub mod stand_in;
pub mod store;
pub mod survey;
pub mod unpacked;

pub use artifact::{Artifact, Chart, ImageSet, Missing, Need};
pub use cache::Origin;
pub use lock::Lock;
pub use product::Product;
pub use store::{Operator, Options, Store};
