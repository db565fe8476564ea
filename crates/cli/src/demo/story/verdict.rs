//! Whether the alerts that came are those that the model expects: none missing, none twice, none besides.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater::{Failure, output};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use super::alerts::Watch;
use crate::cards::CheckName;
use crate::cards::generated::Generated;
use crate::cards::model::{self, Alert};

/// How long alerts are waited for once all payments are taken.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// See the module.
pub(super) struct Verdict {
    payments: usize,
    replayed: usize,
    checks: Vec<OfCheck>,
    suspected: usize,
    blocked: usize,
    latencies: Vec<Duration>,
    /// Whether the model knows what every check has seen.
    judges: bool,
}

struct OfCheck {
    name: &'static str,
    came: usize,
    expected: usize,
    missing: usize,
    twice: usize,
    besides: usize,
}

impl Verdict {
    /// Waits until all that is expected has come, and cards were told of it; or until patience ends.
    pub(super) async fn reached(
        watch: &Watch,
        stream: &[Generated],
        checks: &[CheckName],
        replayed: usize,
        judges: bool,
    ) -> Result<Self, Failure> {
        let names: Vec<&'static str> = checks.iter().map(|check| check.name()).collect();
        let expected = model::alerts(stream, &names);
        let until = Instant::now() + if judges { PATIENCE } else { PATIENCE / 15 };
        while Instant::now() < until && !has_all(watch, &expected) {
            sleep(LOOK_AGAIN).await;
        }
        let published: BTreeSet<&str> = stream.iter().map(|generated| generated.id.as_str()).collect();
        let seen = watch.lock();
        // Payments of a person, or of another seed, are no part of the model.
        let came: Vec<&Alert> = seen.alerts.iter().filter(|alert| published.contains(alert.2.as_str())).collect();
        let checks = names.iter().map(|name| OfCheck::compared(name, &came, &expected)).collect();
        let mut latencies = seen.latencies.clone();
        latencies.sort_unstable();
        Ok(Self { payments: stream.len(), replayed, checks, suspected: seen.suspected, blocked: seen.blocked, latencies, judges })
    }

    /// Whether all is as the model says, as far as it can say.
    pub(super) fn is_well(&self) -> bool {
        let is_well = |check: &OfCheck| check.twice == 0 && (!self.judges || check.missing + check.besides == 0);
        self.checks.iter().all(is_well)
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let [p50, p99] = [50, 99].map(|per_cent| self.latency_ms(per_cent));
        if as_json {
            let checks: Vec<Json> = self.checks.iter().map(OfCheck::to_json).collect();
            return output::json(&json!({
                "payments": self.payments, "replayed": self.replayed, "checks": checks, "judged": self.judges, "suspected": self.suspected,
                "blocked": self.blocked, "latency_ms": { "p50": p50, "p99": p99 }, "generated": true,
            }));
        }
        output::data(format!("payments   {:>8}  (generated; {} were there already)", self.payments, self.replayed))?;
        self.checks.iter().try_for_each(|check| output::data(check.to_line(self.judges)))?;
        output::data(format!("blocked    {:>8}  cards, by {} alerts", self.blocked, self.suspected))?;
        if let (Some(p50), Some(p99)) = (p50, p99) {
            output::data(format!("latency    {p50:>8.1}  ms from sending to alert, half of them; {p99:.1} ms at most for 99 of 100"))?;
        }
        if !self.judges {
            output::talk(
                "a check that is new has not seen all payments, so only what came twice is judged; --begin first lets it see them",
            );
        }
        Ok(())
    }

    fn latency_ms(&self, per_cent: usize) -> Option<f64> {
        let place = (self.latencies.len() * per_cent).div_ceil(100).saturating_sub(1);
        self.latencies.get(place).map(|latency| latency.as_secs_f64() * 1_000.0)
    }
}

fn has_all(watch: &Watch, expected: &BTreeSet<Alert>) -> bool {
    let seen = watch.lock();
    let came: BTreeSet<&Alert> = seen.alerts.iter().collect();
    seen.suspected >= seen.alerts.len() && expected.iter().all(|alert| came.contains(alert))
}

impl OfCheck {
    fn compared(name: &'static str, came: &[&Alert], expected: &BTreeSet<Alert>) -> Self {
        let came: Vec<&Alert> = came.iter().filter(|alert| alert.0 == name).copied().collect();
        let expected: BTreeSet<&Alert> = expected.iter().filter(|alert| alert.0 == name).collect();
        let distinct: BTreeSet<&Alert> = came.iter().copied().collect();
        Self {
            name,
            came: came.len(),
            expected: expected.len(),
            missing: expected.difference(&distinct).count(),
            twice: came.len() - distinct.len(),
            besides: distinct.difference(&expected).count(),
        }
    }

    fn to_json(&self) -> Json {
        json!({
            "check": self.name, "alerts": self.came, "expected": self.expected, "missing": self.missing, "twice": self.twice,
            "besides": self.besides,
        })
    }

    fn to_line(&self, judges: bool) -> String {
        let Self { name, came, expected, missing, twice, besides } = self;
        let model = if judges { format!("the model expects {expected}: {missing} missing, {besides} besides, ") } else { String::new() };
        format!("{name:<10} {came:>8}  alerts; {model}{twice} twice")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Alert, OfCheck};

    fn alert(payment: &str) -> Alert {
        ("travel".into(), "c1".into(), payment.into(), "8917".into())
    }

    #[test]
    fn what_is_missing_twice_or_besides_is_found() {
        let (one, two, three) = (alert("p1"), alert("p2"), alert("p3"));
        let expected = BTreeSet::from([one.clone(), two]);
        let found = OfCheck::compared("travel", &[&one, &one, &three], &expected);
        assert_eq!((found.came, found.expected, found.missing, found.twice, found.besides), (3, 2, 1, 1, 1));
        let other = OfCheck::compared("velocity", &[&one], &expected);
        assert_eq!((other.came, other.expected, other.missing, other.twice, other.besides), (0, 0, 0, 0, 0));
    }
}
