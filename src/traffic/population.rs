//! The senders of traffic: tenants of very different size, users of very different activity.
//!
//! Activity follows a real access log: there the median user sends 2 events, p90 sends 8, p99 46, and the top 1 % send
//! a quarter of everything. Ranks are dealt out rather than drawn, so a population of any size has this shape exactly.
//! A population never changes once it is made.

use super::random::{AliasTable, Draws, Purpose};
use super::settings::{Rollout, TrafficSettings};
use super::traits::{Attribute, INTEGRATIONS, REGIONS, TIERS, Values, Vocabulary, signup_weights};
use crate::model::record::partition_of;
use crate::model::time::Ms;

/// The value `release` has before and after a user upgrades.
const RELEASE_OLD: u8 = 0;
const RELEASE_NEW: u8 = 1;

#[derive(Clone, Debug)]
pub struct User {
    pub tenant: u16,
    /// Counted within the tenant: `u7` of one tenant is not `u7` of another.
    pub number: u32,
    /// Relative rate of events.
    pub activity: f64,
    /// `Ms::MAX`: never.
    pub upgrades_at_ms: Ms,
    /// The partition of records with key `tenant|user`.
    pub partition: u32,
    values: Values,
}

impl User {
    #[inline]
    pub fn values_at(&self, time_ms: Ms) -> Values {
        let mut values = self.values;
        values[Attribute::Release as usize] = if time_ms >= self.upgrades_at_ms { RELEASE_NEW } else { RELEASE_OLD };
        values
    }

    #[inline]
    pub fn region(&self) -> usize {
        usize::from(self.values[Attribute::Region as usize])
    }
}

#[derive(Clone, Debug)]
pub struct Population {
    pub tenants: Vec<String>,
    pub users: Vec<User>,
    pub vocabulary: Vocabulary,
    /// The partition of records keyed by the tenant only.
    tenant_partitions: Vec<u32>,
}

impl Population {
    pub fn new(settings: &TrafficSettings) -> Population {
        let tenants = tenant_names(settings.tenants);
        let ranks = shuffled_ranks(settings);
        let weights = tenant_weights(tenants.len());
        let mut numbers = vec![0u32; tenants.len()];
        let users = (0..settings.users)
            .map(|i| {
                let mut draws = Draws::at(settings.seed, Purpose::Population, u64::from(i));
                // The first users are dealt one to each tenant, so that none is empty.
                let tenant = if (i as usize) < tenants.len() { i as usize } else { draws.weighted(&weights) };
                numbers[tenant] += 1;
                let key = format!("{}|u{}", tenants[tenant], numbers[tenant]);
                User {
                    tenant: tenant as u16,
                    number: numbers[tenant],
                    activity: activity((f64::from(ranks[i as usize]) + 0.5) / f64::from(settings.users)),
                    upgrades_at_ms: upgrade_time(&settings.rollout, &mut draws),
                    partition: partition_of(key.as_bytes(), settings.partitions),
                    values: draw_values(&mut draws),
                }
            })
            .collect();
        let tenant_partitions = tenants.iter().map(|t| partition_of(t.as_bytes(), settings.partitions)).collect();
        Population { tenants, users, vocabulary: Vocabulary::new(settings.from_ms), tenant_partitions }
    }

    /// The partition of a record by its key: `tenant|user`, or the tenant if the record has no user.
    #[inline]
    pub fn partition(&self, user: u32, anonymous: bool) -> u32 {
        let who = &self.users[user as usize];
        if anonymous { self.tenant_partitions[usize::from(who.tenant)] } else { who.partition }
    }

    pub fn user_id(&self, user: u32) -> String {
        self.users.get(user as usize).map_or_else(String::new, |u| format!("u{}", u.number))
    }

    pub fn tenant_index(&self, name: &str) -> Option<u16> {
        self.tenants.iter().position(|t| t == name).and_then(|i| u16::try_from(i).ok())
    }

    /// Looks up `u7` of a tenant.
    pub fn user_index(&self, tenant: u16, id: &str) -> Option<u32> {
        let number: u32 = id.strip_prefix('u')?.parse().ok()?;
        let found = self.users.iter().position(|u| u.tenant == tenant && u.number == number)?;
        u32::try_from(found).ok()
    }
}

/// Draws users in proportion to their activity, region by region (regions wake at other hours).
#[derive(Clone, Debug)]
pub struct Crowd {
    regions: Vec<Option<Region>>,
}

#[derive(Clone, Debug)]
struct Region {
    members: Vec<u32>,
    table: AliasTable,
    activity: f64,
}

impl Crowd {
    /// `None` if no user is left.
    pub fn new(population: &Population, without_tenant: Option<u16>) -> Option<Crowd> {
        let regions: Vec<_> = (0..REGIONS.len()).map(|r| Region::new(population, r, without_tenant)).collect();
        regions.iter().any(Option::is_some).then_some(Crowd { regions })
    }

    /// The activity of each region, as weights for the rhythm of the day.
    pub fn shares(&self) -> [f64; REGIONS.len()] {
        let mut shares = [0.0; REGIONS.len()];
        for (share, region) in shares.iter_mut().zip(&self.regions) {
            *share = region.as_ref().map_or(0.0, |r| r.activity);
        }
        let total: f64 = shares.iter().sum();
        shares.map(|s| s / total)
    }

    /// A user of the region; if it has none, of the first region with users.
    #[inline]
    pub fn draw(&self, region: usize, draws: &mut Draws) -> u32 {
        let populated = || self.regions.iter().flatten().next();
        match self.regions.get(region).and_then(Option::as_ref).or_else(populated) {
            Some(region) => region.members[region.table.draw(draws)],
            None => 0,
        }
    }
}

impl Region {
    fn new(population: &Population, region: usize, without_tenant: Option<u16>) -> Option<Region> {
        let mut members = Vec::new();
        let mut weights = Vec::new();
        for (i, user) in population.users.iter().enumerate() {
            if user.region() == region && Some(user.tenant) != without_tenant {
                members.push(i as u32);
                weights.push(user.activity);
            }
        }
        let table = AliasTable::new(&weights)?;
        Some(Region { members, table, activity: weights.iter().sum() })
    }
}

/// The activity at a quantile: straight lines between the measured quantiles, in ln(activity) over
/// -ln(1 - p), which is a Pareto law in pieces. Its tail is heavy enough that the top 1 % send 25 %.
pub fn activity(p: f64) -> f64 {
    use std::f64::consts::{LN_2, LN_10};
    const KNOTS: [(f64, f64); 3] = [(LN_2, 2.0), (LN_10, 8.0), (2.0 * LN_10, 46.0)];
    const TAIL_SLOPE: f64 = 0.665;
    let x = -libm::log(1.0 - p);
    let segment = if x < KNOTS[1].0 { 0 } else { 1 };
    let (x0, y0) = KNOTS[segment];
    let (x1, y1) = KNOTS[segment + 1];
    let slope = libm::log(y1 / y0) / (x1 - x0);
    if x < x1 { y0 * libm::exp(slope * (x - x0)) } else { y1 * libm::exp(TAIL_SLOPE * (x - x1)) }
}

fn shuffled_ranks(settings: &TrafficSettings) -> Vec<u32> {
    let mut ranks: Vec<u32> = (0..settings.users).collect();
    Draws::at(settings.seed, Purpose::Population, u64::MAX).shuffle(&mut ranks);
    ranks
}

fn draw_values(draws: &mut Draws) -> Values {
    let mut of = |weights: &[f64]| draws.weighted(weights) as u8;
    let tier = of(&TIERS.map(|(_, w)| w));
    let region = of(&REGIONS.map(|(_, w)| w));
    let integration = of(&INTEGRATIONS.map(|(_, w)| w));
    let signup = of(&signup_weights());
    [tier, region, integration, RELEASE_OLD, signup]
}

fn upgrade_time(rollout: &Rollout, draws: &mut Draws) -> Ms {
    let takes_part = draws.chance(rollout.share);
    let at_ms = draws.between(rollout.from_ms, rollout.until_ms);
    if takes_part { at_ms } else { Ms::MAX }
}

/// Zipf: the n-th tenant has 1/n of the users of the first.
fn tenant_weights(tenants: usize) -> Vec<f64> {
    (1..=tenants).map(|n| 1.0 / n as f64).collect()
}

fn tenant_names(count: u16) -> Vec<String> {
    const NAMES: [&str; 8] = ["acme", "birch", "cobalt", "delta", "ember", "fjord", "grove", "harbor"];
    (0..usize::from(count))
        .map(|i| NAMES.get(i).map_or_else(|| format!("tenant-{}", i + 1), |name| (*name).to_owned()))
        .collect()
}
