//! Reproducible pseudo-random numbers.

/// A pseudo-random generator: SplitMix64 (Steele, Lea, Flood 2014). It gives the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns a generator with this seed.
    pub fn from(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a generator with the seed in the environment variable `CAPSTAN_TEST_SEED`, or with `default`.
    ///
    /// It prints the seed, which the test harness shows if the test fails.
    pub fn seeded(default: u64) -> Self {
        let seed = match std::env::var("CAPSTAN_TEST_SEED") {
            Ok(text) => text.parse().expect("CAPSTAN_TEST_SEED is a number"),
            Err(_) => default,
        };
        println!("seed: CAPSTAN_TEST_SEED={seed}");
        Self(seed)
    }

    /// Returns the next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number less than `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// Returns `true` once in `n` times on average.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Returns one of `items`, or `None` if there are none.
    pub fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        (!items.is_empty()).then(|| items[self.below(items.len() as u64) as usize].clone())
    }
}
