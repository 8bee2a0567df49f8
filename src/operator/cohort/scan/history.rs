//! What the history of a table lets expect of each of its leaves.

use std::collections::BTreeMap;

/// Of leaves whose bad events fit the model, and of the others: bad events that stand beside their own.
const PRIOR_FITTING: f64 = 20.0;
const PRIOR_OTHER: f64 = 0.5;
/// So many leaves fit the model for each one that does not, before anything is seen of them.
const FITTING_ODDS: f64 = 20.0;
/// So many bad events at the rate of all stand beside the history of one attribute value.
const PRIOR_BAD: f64 = 1.0;
/// How often all attributes are fitted in turn.
const SWEEPS: usize = 4;

/// A leaf now, and what its history says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past<'a> {
    pub attributes: Vec<(&'a str, &'a str)>,
    pub n: f64,
    pub bad_history: f64,
    pub n_history: f64,
}

/// The bad events to expect of each leaf: those of a model, or those of its own history where that clearly says otherwise.
///
/// The model gives each attribute value a factor of its own, so that the whole history of each value comes out right
/// (iterative proportional fitting: Deming and Stephan 1940). Drawn towards the rate of all, a value that always fails more
/// often would look like a cause wherever its leaves are small. And a leaf that had three bad events at once where a third
/// of one was usual does not have them every day: what it had counts by how much likelier a rate of its own makes it.
pub fn expected(leaves: &[Past<'_>]) -> Vec<f64> {
    let rates = modelled_rates(leaves);
    let of = |(leaf, rate): (&Past<'_>, f64)| leaf.n * rate * factor(leaf.bad_history, rate * leaf.n_history);
    leaves.iter().zip(rates).map(of).collect()
}

/// What the modelled rate is multiplied by: the posterior mean under two gamma priors with mean 1 (negative binomial counts).
fn factor(bad: f64, modelled: f64) -> f64 {
    if modelled <= 0.0 {
        return 1.0;
    }
    let log_likelihood = |prior: f64| {
        let share = prior / (prior + modelled);
        libm::lgamma(bad + prior) - libm::lgamma(prior) + prior * libm::log(share) + bad * libm::log1p(-share)
    };
    let mean = |prior: f64| (bad + prior) / (modelled + prior);
    let odds = FITTING_ODDS * libm::exp(log_likelihood(PRIOR_FITTING) - log_likelihood(PRIOR_OTHER));
    let fits = if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 };
    fits * mean(PRIOR_FITTING) + (1.0 - fits) * mean(PRIOR_OTHER)
}

fn modelled_rates(leaves: &[Past<'_>]) -> Vec<f64> {
    let (bad, n) = leaves.iter().fold((0.0, 0.0), |(bad, n), leaf| (bad + leaf.bad_history, n + leaf.n_history));
    let mut rates = vec![if n > 0.0 { bad / n } else { 0.0 }; leaves.len()];
    let mut by_name: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
    for (at, leaf) in leaves.iter().enumerate() {
        for (name, value) in &leaf.attributes {
            by_name.entry(name).or_default().entry(value).or_default().push(at);
        }
    }
    for values in (0..SWEEPS).flat_map(|_| by_name.values()) {
        for covered in values.values() {
            let expected: f64 = covered.iter().map(|leaf| rates[*leaf] * leaves[*leaf].n_history).sum();
            let bad: f64 = covered.iter().map(|leaf| leaves[*leaf].bad_history).sum();
            let factor = (bad + PRIOR_BAD) / (expected + PRIOR_BAD);
            covered.iter().for_each(|leaf| rates[*leaf] = (rates[*leaf] * factor).min(1.0));
        }
    }
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_speaks_for_itself_and_a_short_one_for_the_values() {
        let operations = [("checkout", 0.001), ("search", 0.02)];
        let regions = ["eu", "us", "ap"];
        let mut leaves = Vec::new();
        for (operation, rate) in operations {
            for region in regions {
                let attributes = vec![("operation", operation), ("region", region)];
                leaves.push(Past { attributes, n: 100.0, bad_history: 10_000.0 * rate, n_history: 10_000.0 });
            }
        }
        // Nothing is known of this one but its values.
        leaves.push(Past {
            attributes: vec![("operation", "search"), ("region", "mars")],
            n: 100.0,
            ..Past::default()
        });
        let expected = expected(&leaves);
        for (at, leaf) in expected.iter().enumerate() {
            let rate = if at < 3 { 0.001 } else { 0.02 };
            assert!((leaf - 100.0 * rate).abs() < 0.05 * 100.0 * rate, "{at}: {leaf}");
        }
    }

    #[test]
    fn a_history_that_clearly_differs_is_believed_and_a_burst_is_not() {
        assert!((factor(60.0, 6.0) - 10.0).abs() < 1.0, "ten times as many, and many of them");
        assert!(factor(0.0, 30.0) < 0.1, "none of thirty");
        assert!(factor(3.0, 0.3) < 3.0, "three at once");
        assert!((factor(0.0, 0.3) - 1.0).abs() < 0.2, "none where few are usual");
        assert_eq!(factor(0.0, 0.0), 1.0);
    }

    #[test]
    fn without_a_history_nothing_is_expected() {
        assert_eq!(expected(&[Past { n: 10.0, ..Past::default() }]), [0.0]);
        assert_eq!(expected(&[]), [] as [f64; 0]);
    }
}
