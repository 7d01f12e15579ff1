//! Tests of vats on the real engine: documented examples, vows, texts and the timer.

mod documents;
mod dynamic;
mod iterators;
mod lone_surrogates;
mod raw;
mod timer_bounds;
mod vatstore;
mod vows;
