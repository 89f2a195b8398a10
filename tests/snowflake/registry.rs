//! The registry over the stand-in: what a restart finds, and how many calls a query costs.
