//! Seeded randomness, and mutations of bytes.

/// Splitmix64: the same numbers for the same seed, everywhere.
pub struct Chance(u64);

impl Chance {
    /// The numbers of one input of one batch.
    pub fn of(seed: u64, batch: u64, case: u64) -> Chance {
        let mut chance =
            Chance(seed ^ batch.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ case.wrapping_mul(0xd1b5_4a32_d192_ed03));
        chance.next();
        chance
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// Mutates bytes in a few places: flips bits, removes or repeats pieces, inserts words.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, words: &[&str]) {
        // Every second input is changed in one place only, so that it passes the first checks.
        let places = if self.one_in(2) { 1 } else { 1 + self.below(4) };
        for _ in 0..places {
            let at = self.below(bytes.len() + 1);
            let end = (at + 1 + self.below(16)).min(bytes.len());
            match self.below(10) {
                0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 if at < bytes.len() => bytes[at] = self.next() as u8,
                3 => drop(bytes.drain(at.min(end)..end)),
                4 => {
                    let piece = bytes[at.min(end)..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                5 if self.one_in(4) => bytes.truncate(at),
                6 if self.one_in(64) => {
                    // Many times, to reveal recursion and quadratic cost.
                    let times = 1 << (4 + self.below(11));
                    let piece = self.pick(words).as_bytes().repeat(times);
                    bytes.splice(at..at, piece);
                }
                7 if at < bytes.len() => {
                    let to = self.below(bytes.len());
                    bytes.swap(at, to);
                }
                _ => {
                    let word = self.pick(words).as_bytes().to_vec();
                    let over = if self.one_in(2) { end } else { at };
                    bytes.splice(at.min(over)..over, word);
                }
            }
        }
    }
}
