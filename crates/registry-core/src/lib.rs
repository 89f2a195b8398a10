//! The life of a long-running query, from acceptance to the last page of its result.
//!
//! A *query* is one statement with a life: accepted by [`QueryRegistry`], carried by a *driver* task to an engine
//! behind the [`Backend`] trait, watched until its end, its rows kept in the *result store*. Everything that must
//! survive a crash stands in its *record*, kept in the *journal*; a *snapshot* is the outside view of it.
//!
//! One pure function, [`state::step`], changes records. Everything else carries out what it decides.

// The vocabulary.
pub mod backend;
pub mod clock;
pub mod error;
pub mod id;
pub mod options;
pub mod record;
pub mod snapshot;
pub mod state;

// Where things are kept.
pub mod instance;
pub mod journal;
pub mod results;
pub mod state_dir;

// The registry and what works for it.
mod config;
mod driver;
mod fence;
pub mod inspection;
mod line;
mod live;
pub mod metrics;
mod outcome;
mod pace;
mod presence;
mod reaper;
mod records;
pub mod registry;
mod room;
mod session;
mod shared;
mod tally;
mod upkeep;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use backend::Backend;
pub use registry::QueryRegistry;
