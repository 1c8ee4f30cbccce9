//! Tests of the crate from outside. An independent checker says what a text may show; the corpora are in `testdata`.
#![allow(clippy::unwrap_used, reason = "this is all test code")]

mod attacks;
mod checker;
mod classes;
mod corpora;
mod cuts;
mod extremes;
mod facts;
mod golden;
mod literals;
mod manuals;
mod properties;
mod statements;
mod subject;
