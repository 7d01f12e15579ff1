//! Whether costs and counts grow faster than the logarithm of the size.
//!
//! A batch of m keys touches some m log(n / m) nodes of a tree of n keys. So what grows with the logarithm is a constant
//! and as much again for each decade: its increments from decade to decade do not grow.

/// Factor by which an increment of a time may exceed those before it. CPU times of one run differ by as much beside other work.
const SCATTER: f64 = 2.0;
/// Factor by which a time may grow over a decade whatever it did before, for the same reason. A linear cost grows tenfold,
/// and a square root threefold.
const STEP: f64 = 1.6;
/// Nodes by which an AVL tree grows at most in height with each decade: 1.44 times the binary logarithm of ten.
const DECADE_NODES: f64 = 4.8;

/// Returns whether a time grows faster. The times are those of sizes that are each ten times the one before.
pub(super) fn time_exceeds(times: &[f64]) -> bool {
    match times {
        [before @ .., last] if before.len() > 1 => {
            // Not the last but one: that may have been measured in a quiet moment.
            let most = before.iter().copied().fold(0.0, f64::max);
            last - most > SCATTER * largest_increment(before) && *last > STEP * most
        }
        _ => false,
    }
}

/// Returns whether a count grows faster. Counts do not scatter. A tree that gets larger than a cache begins to be read from
/// there on, at most by as many nodes a decade as the tree gets higher. What is written to
/// a journal has no such start: `is_journal`.
pub(super) fn count_exceeds(counts: &[f64], is_journal: bool) -> bool {
    let start = if is_journal { 0.0 } else { DECADE_NODES };
    match counts {
        [.., last_but_one, last] => {
            let largest = largest_increment(&counts[..counts.len() - 1]);
            last - last_but_one > (1.25 * largest).max(start) && *last > STEP * last_but_one
        }
        _ => false,
    }
}

fn largest_increment(values: &[f64]) -> f64 {
    values.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of a function at ten thousand to ten million.
    fn at_sizes(of: impl Fn(f64) -> f64) -> [f64; 4] {
        [1e4, 1e5, 1e6, 1e7].map(of)
    }

    #[test]
    fn an_offset_and_a_logarithm_pass_and_roots_do_not() {
        for offset in [0.0, 1.0, 100.0] {
            let logarithm = at_sizes(|size| offset + size.ln());
            assert!(!time_exceeds(&logarithm) && !count_exceeds(&logarithm, true), "{offset}");
            for power in [0.5, 1.0] {
                let root = at_sizes(|size| offset + size.powf(power));
                assert!(time_exceeds(&root) && count_exceeds(&root, false), "{offset} {power}");
            }
        }
    }

    #[test]
    fn a_cache_that_no_longer_holds_all_passes() {
        assert!(!count_exceeds(&[0.0, 0.0, 1.0, 2.0], false));
        assert!(count_exceeds(&[0.04, 0.4, 4.0], true));
    }
}
