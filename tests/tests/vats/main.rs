//! Tests of vats on the real engine: documented examples, vows, texts and the timer.

mod documents;
mod iterators;
mod lone_surrogates;
mod timer_bounds;
mod vows;
