//! Keys of the store, built part by part.
//!
//! A crank looks up a hundred keys and more. So a key is built without the machinery of [`std::fmt`], and in place: only a
//! long one is allocated.

use std::ops::Deref;

use crate::ids::{Endpoint, KRef};

/// A key of the store. Up to [`SHORT_BYTES`] it lies in place.
#[derive(Clone)]
pub(crate) struct Key {
    short: [u8; SHORT_BYTES],
    short_bytes: u8,
    /// All of the key, if it is longer than that.
    long: Option<Vec<u8>>,
}

/// Length of the longest key that lies in place, in bytes. Keys made of numbers are shorter.
const SHORT_BYTES: usize = 63;

impl Deref for Key {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.long {
            None => &self.short[..usize::from(self.short_bytes)],
            Some(long) => long,
        }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.escape_ascii())
    }
}

/// A key that is being built.
pub(crate) struct Builder(Key);

impl Builder {
    /// Begins with `prefix`.
    #[inline]
    pub(crate) fn new(prefix: &str) -> Self {
        let empty = Key { short: [0; SHORT_BYTES], short_bytes: 0, long: None };
        Self(empty).text(prefix)
    }

    /// Appends bytes.
    #[inline]
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        let begin = usize::from(self.0.short_bytes);
        match self.0.short.get_mut(begin..begin + bytes.len()) {
            Some(place) if self.0.long.is_none() => {
                place.copy_from_slice(bytes);
                self.0.short_bytes += bytes.len() as u8;
                self
            }
            _ => self.raw_to_long(bytes),
        }
    }

    #[cold]
    fn raw_to_long(mut self, bytes: &[u8]) -> Self {
        let mut long = self.0.long.take().unwrap_or_else(|| self.0.to_vec());
        long.extend_from_slice(bytes);
        self.0.long = Some(long);
        self
    }

    /// Appends a text.
    #[inline]
    pub(crate) fn text(self, text: &str) -> Self {
        self.raw(text.as_bytes())
    }

    /// Appends a number in decimal.
    pub(crate) fn number(self, mut number: u64) -> Self {
        let mut digits = [0; MAX_DIGITS];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return self.raw(&digits[at..]);
            }
        }
    }

    /// Appends a number in 16 hex digits, so that keys are in the order of their numbers.
    pub(crate) fn hex(self, number: u64) -> Self {
        let mut digits = [0; 16];
        for (digit, shift) in digits.iter_mut().zip((0..64).step_by(4).rev()) {
            *digit = b"0123456789abcdef"[(number >> shift) as usize & 15];
        }
        self.raw(&digits)
    }

    /// Appends an id: a letter and a number.
    pub(crate) fn id(self, letter: &str, number: u64) -> Self {
        self.text(letter).number(number)
    }

    /// Appends an endpoint, as it is displayed.
    pub(crate) fn endpoint(self, endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Vat(vat) => self.id("v", vat.0),
            Endpoint::Device(device) => self.id("d", device.0),
            Endpoint::Remote(remote) => self.id("r", remote.0),
            Endpoint::Kernel => self.text("kernel"),
        }
    }

    /// Appends a kref, as it is displayed.
    pub(crate) fn kref(self, kref: KRef) -> Self {
        match kref {
            KRef::Object(number) => self.id("ko", number),
            KRef::Promise(number) => self.id("kp", number),
            KRef::Device(number) => self.id("kd", number),
        }
    }

    /// Returns the key.
    #[inline]
    pub(crate) fn key(self) -> Key {
        self.0
    }
}

/// Digits of the greatest number.
const MAX_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DeviceId, RemoteId, VatId};

    #[test]
    fn numbers_and_ids_are_written_as_they_are_displayed() {
        let built = |build: &dyn Fn(Builder) -> Builder| {
            String::from_utf8_lossy(&build(Builder::new("k.")).key()).into_owned()
        };
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            assert_eq!(built(&|key| key.number(number)), format!("k.{number}"));
            assert_eq!(built(&|key| key.hex(number)), format!("k.{number:016x}"));
            for kref in [KRef::Object(number), KRef::Promise(number), KRef::Device(number)] {
                assert_eq!(built(&|key| key.kref(kref)), format!("k.{kref}"));
            }
            for endpoint in [
                Endpoint::Vat(VatId(number)),
                Endpoint::Device(DeviceId(number)),
                Endpoint::Remote(RemoteId(number)),
                Endpoint::Kernel,
            ] {
                assert_eq!(built(&|key| key.endpoint(endpoint)), format!("k.{endpoint}"));
            }
        }
        let long = "x".repeat(3 * SHORT_BYTES);
        assert_eq!(built(&|key| key.text(&long).text(".").number(7)), format!("k.{long}.7"));
        for bytes in SHORT_BYTES - 4..SHORT_BYTES + 4 {
            let text = "y".repeat(bytes);
            assert_eq!(built(&|key| key.text(&text).number(8).text("")), format!("k.{text}8"));
        }
    }
}
