//! Tests of nodes that stop, crash or disagree, and of the ways on.

mod critical_vat;
mod divergence;
mod faulty_disk;
mod simulator;
mod taken_out;
