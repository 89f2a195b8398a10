//! What the binary can be told to do.

pub mod run;
pub mod serve;
