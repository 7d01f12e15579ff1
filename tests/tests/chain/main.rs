//! Tests of one whole chain from outside, over its JSON-RPC and its clock.

mod bad_input;
mod clock;
mod io;
mod outbox;
mod revocation;
mod revoked_objects;
mod services;
mod story;
mod subclusters;
