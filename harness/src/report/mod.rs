//! What a run tells: phases, verdicts, the final table, JUnit, and on failure a bundle of evidence.

pub mod bundle;
pub mod conclusion;
pub mod digest;
pub mod junit;
pub mod phases;
pub mod progress;
pub mod redact;
pub mod table;
pub mod terminal;

pub use phases::Phases;
