//! What the crate's tests share.

/// A small generator of reproducible choices (xorshift64*). The seed comes from `CAPSTAN_TEST_SEED`,
/// or is fixed; failure messages print it.
pub(crate) struct Random {
    pub(crate) seed: u64,
    state: u64,
}

impl Random {
    pub(crate) fn from_env() -> Self {
        let seed = std::env::var("CAPSTAN_TEST_SEED").ok().and_then(|s| s.parse().ok());
        let seed = seed.unwrap_or(0x5eed_0001);
        Self { seed, state: seed | 1 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// One to three small changes of `bytes`.
    pub(crate) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(out.len() + 1);
            match self.below(5) {
                0 if at < out.len() => out[at] ^= 1 << self.below(8),
                1 if at < out.len() => drop(out.remove(at)),
                2 => out.insert(at, self.next() as u8),
                3 => out.truncate(at),
                _ => {
                    let from = self.below(bytes.len() + 1);
                    let to = from + self.below(bytes.len() - from + 1);
                    let piece = bytes[from..to].to_vec();
                    out.splice(at..at, piece);
                }
            }
        }
        out
    }
}
