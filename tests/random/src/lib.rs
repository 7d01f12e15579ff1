//! The random generator of all tests: small, reproducible, and equal on every machine.
//!
//! A test that draws at random begins with [`Random::seeded`]. If it fails, its output names the seed, and
//! `CAPSTAN_TEST_SEED` repeats the run.
//!
//! ```
//! use capstan_test_random::Random;
//!
//! let mut random = Random::from(7);
//! let mut again = Random::from(7);
//! assert_eq!(random.number(), again.number());
//! assert!(random.below(10) < 10);
//! ```
#![forbid(unsafe_code)]

/// A generator of pseudo-random numbers, SplitMix64 (Steele, Lea, Flood 2014).
///
/// A generator that is dropped by a panic prints its seed.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// Creates a generator from a seed.
    pub fn from(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// Creates a generator from the seed in the environment variable `CAPSTAN_TEST_SEED`, or from `default` if it is not set.
    ///
    /// # Panics
    /// If the variable is not a number.
    pub fn seeded(default: u64) -> Self {
        let seed = match std::env::var("CAPSTAN_TEST_SEED") {
            Ok(text) => match text.parse() {
                Ok(seed) => seed,
                Err(error) => panic!("CAPSTAN_TEST_SEED is {text:?}: {error}"),
            },
            Err(_) => default,
        };
        // The harness shows this if the test fails, also where the process ends without unwinding.
        println!("seed: CAPSTAN_TEST_SEED={seed}");
        Self::from(seed)
    }

    /// Returns the seed that the generator was created from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the next number, uniform over all values.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Returns a number less than `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// Returns an index of a slice of this length, or 0 if the slice is empty.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length.max(1) as u64) as usize
    }

    /// Returns `true` once in `n` times, on average.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Returns random bytes.
    pub fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.number() as u8).collect()
    }

    /// Returns a copy of one of these, or `None` if there are none.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| self.choose(of).clone())
    }

    /// Returns one of these.
    ///
    /// # Panics
    /// If there are none.
    pub fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed of a random generator: {}", self.seed);
        }
    }
}
