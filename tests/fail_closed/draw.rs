//! Chance that can be repeated: everything drawn follows from one number.

use std::env;

/// Draws. The same seed gives the same draws.
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    /// The draws of sequence number `index`, from `FAIL_CLOSED_SEED` or else the usual seed.
    pub(crate) fn seeded(index: u64) -> Self {
        let seed = env::var_os("FAIL_CLOSED_SEED").map_or(1, |text| {
            let number = text.to_str().and_then(|text| text.parse().ok());
            number.unwrap_or_else(|| panic!("FAIL_CLOSED_SEED is a number, not {text:?}"))
        });
        Self(u64::wrapping_mul(seed, 0x2545_f491_4f6c_dd1d) ^ (index << 32))
    }

    /// Another, that does not depend on how much is drawn from this one.
    pub(crate) fn apart(&mut self) -> Self {
        Self(self.next())
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound as u64)).expect("it is below a usize")
    }

    /// True this often of a hundred times.
    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// One of these, each as often as its weight says.
    pub(crate) fn weighted<T: Copy>(&mut self, of: &[(usize, T)]) -> T {
        let mut left = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, what) in of {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *what,
            }
        }
        unreachable!("the weights are what was drawn from")
    }

    /// So many characters of base64url.
    pub(crate) fn text(&mut self, length: usize) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let letters = (0..length).map(|_| char::from(*self.one(ALPHABET)));
        letters.collect()
    }
}

/// Says which draws led to a failure.
pub(crate) struct Confession(pub(crate) String);

impl Drop for Confession {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = env::var_os("FAIL_CLOSED_SEED");
            eprintln!("--- {} with FAIL_CLOSED_SEED={seed:?} (none is 1)", self.0);
        }
    }
}
