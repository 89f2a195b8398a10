//! The shapes of requests and answers, protocol by protocol. They are read leniently: what is not known is passed over.

pub(crate) mod driver;
pub(crate) mod sql_api;
