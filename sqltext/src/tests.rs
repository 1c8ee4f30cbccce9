//! Tables of statements in, text out.

mod facts;
mod fingerprints;
mod texts;
