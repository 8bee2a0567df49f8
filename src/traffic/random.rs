//! Counter-based randomness: every draw is a pure function of (seed, purpose, counter).
//!
//! There is no hidden state between events, so event 1,000,000 does not depend on how the events before it were read.
//! Transcendental functions come from `libm`, never from the platform: the same seed gives the same bytes on every
//! machine. Not for secrets.

/// The purpose of a draw. Purposes never share a sequence, so a new one does not change the others.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Population = 1,
    Arrival = 2,
    Event = 3,
    IncidentPlan = 4,
    Story = 5,
}

/// A short sequence of draws: splitmix64 started at a hash of (seed, purpose, counter).
#[derive(Clone, Debug)]
pub struct Draws {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    #[inline]
    pub fn at(seed: u64, purpose: Purpose, counter: u64) -> Draws {
        let stream = mix(seed ^ mix((purpose as u64).wrapping_mul(GOLDEN_GAMMA)));
        Draws { state: mix(stream ^ counter.wrapping_mul(GOLDEN_GAMMA)) }
    }

    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        mix(self.state)
    }

    /// Uniform in [0, 1), on the grid of 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    #[inline]
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Uniform in [0, n); 0 if n is 0.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in [low, high].
    #[inline]
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).unsigned_abs();
        low.saturating_add_unsigned(self.below(span.saturating_add(1)))
    }

    /// The waiting time of a Poisson process of rate 1.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// A standard normal (Box and Muller; its second value is not kept, a draw stays stateless).
    #[inline]
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(2.0 * self.exponential());
        radius * libm::cos(2.0 * std::f64::consts::PI * self.unit())
    }

    /// The index of a weight, drawn in proportion; the last one if rounding leaves a remainder.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut rest = self.unit() * weights.iter().sum::<f64>();
        for (i, weight) in weights.iter().enumerate() {
            if rest < *weight {
                return i;
            }
            rest -= weight;
        }
        weights.len().saturating_sub(1)
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i as u64 + 1) as usize;
            items.swap(i, j);
        }
    }
}

/// The finaliser of splitmix64.
#[inline]
pub const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Draws an index in proportion to its weight in constant time (Walker's alias method).
#[derive(Clone, Debug)]
pub struct AliasTable {
    cells: Vec<(f64, u32)>,
}

impl AliasTable {
    /// `None` if no weight is positive.
    pub fn new(weights: &[f64]) -> Option<AliasTable> {
        let total: f64 = weights.iter().sum();
        if total.is_nan() || total <= 0.0 {
            return None;
        }
        let mut scaled: Vec<f64> = weights.iter().map(|w| w * weights.len() as f64 / total).collect();
        let mut cells: Vec<(f64, u32)> = (0..weights.len() as u32).map(|i| (1.0, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|&i| scaled[i] < 1.0);
        while let (Some(s), Some(&l)) = (small.pop(), large.last()) {
            cells[s] = (scaled[s], l as u32);
            scaled[l] -= 1.0 - scaled[s];
            if scaled[l] < 1.0 {
                large.pop();
                small.push(l);
            }
        }
        Some(AliasTable { cells })
    }

    #[inline]
    pub fn draw(&self, draws: &mut Draws) -> usize {
        let i = draws.below(self.cells.len() as u64) as usize;
        let (keep, alias) = self.cells[i];
        if draws.unit() < keep { i } else { alias as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_purpose_and_counter_alone() {
        let first = |seed, purpose, counter| Draws::at(seed, purpose, counter).bits();
        assert_eq!(first(1, Purpose::Event, 7), first(1, Purpose::Event, 7));
        assert_ne!(first(1, Purpose::Event, 7), first(2, Purpose::Event, 7));
        assert_ne!(first(1, Purpose::Event, 7), first(1, Purpose::Arrival, 7));
        assert_ne!(first(1, Purpose::Event, 7), first(1, Purpose::Event, 8));
    }

    #[test]
    fn the_finaliser_is_splitmix64() {
        // The first two outputs of the reference generator started at 0.
        let mut draws = Draws { state: 0 };
        assert_eq!(draws.bits(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(draws.bits(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn normal_draws_have_mean_zero_and_variance_one() {
        let n = 20_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for i in 0..n {
            let z = Draws::at(3, Purpose::Event, i).normal();
            sum += z;
            squares += z * z;
        }
        assert!((sum / n as f64).abs() < 0.03, "mean {}", sum / n as f64);
        assert!((squares / n as f64 - 1.0).abs() < 0.05, "variance {}", squares / n as f64);
    }

    #[test]
    fn the_alias_table_draws_in_proportion_and_never_a_weight_of_zero() {
        let table = AliasTable::new(&[5.0, 0.0, 1.0, 4.0]).expect("positive weights");
        let mut seen = [0u32; 4];
        for i in 0..40_000 {
            seen[table.draw(&mut Draws::at(9, Purpose::Event, i))] += 1;
        }
        assert_eq!(seen[1], 0);
        for (i, share) in [(0, 0.5), (2, 0.1), (3, 0.4)] {
            assert!((f64::from(seen[i]) / 40_000.0 - share).abs() < 0.01, "{seen:?}");
        }
        assert!(AliasTable::new(&[0.0, 0.0]).is_none());
        assert!(AliasTable::new(&[]).is_none());
    }
}
