//! Draws.

/// The same numbers for the same seed, on any machine.
pub struct Dice(pub u64);

impl Dice {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// Box and Muller's method.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// Marsaglia and Tsang's method (ACM Transactions on Mathematical Software 26, 2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            return self.gamma(shape + 1.0) * libm::pow(self.unit(), 1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let normal = self.normal();
            let v = 1.0 + normal / libm::sqrt(9.0 * d);
            let cube = v * v * v;
            if v > 0.0 && libm::log(1.0 - self.unit()) < 0.5 * normal * normal + d - d * cube + d * libm::log(cube) {
                return d * cube;
            }
        }
    }

    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        x / (x + y)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    /// Knuth's method for few, the normal approximation for many.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            return libm::round((mean + libm::sqrt(mean) * self.normal()).max(0.0)) as u64;
        }
        let (limit, mut product, mut count) = (libm::exp(-mean), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            count += 1;
        }
        count
    }

    pub fn binomial(&mut self, events: u64, share: f64) -> u64 {
        if share >= 1.0 {
            return events;
        }
        if events > 60 && share < 0.1 {
            return self.poisson(events as f64 * share).min(events);
        }
        (0..events).filter(|_| self.unit() < share).count() as u64
    }
}

/// The median, if there is one.
pub fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied()
}
