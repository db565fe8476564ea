//! Torture: a shop under load that is killed at random points, and a witness outside of it that knows what must come of it.
//!
//! The load is a plan that follows from a seed: orders that grow line by line, carts that are checked out, messages that are sent three
//! times. The witness sends each part until it has been answered, across all kills, and works out from the plan alone what views, parcels
//! and messages must be: none missing, none double.
//!
//! 30 kills over 50,000 events in CI, 6 over 10,000 elsewhere. `cargo xtask torture kills --rounds 1000 --events 1000000 --seed 7` says
//! otherwise through `HEADWATER_TORTURE_KILLS`, `HEADWATER_TORTURE_EVENTS` and `HEADWATER_TORTURE_SEED`. Kinds of load that come
//! later join in `plan`, what must come of them in `expected`.

mod drive;
mod expected;
mod plan;
mod seen;

use super::process::Directory;
use drive::Driver;
use expected::Expected;
use plan::Plan;
pub(crate) use seen::settled;

/// How much.
struct Settings {
    kills: u64,
    events: u64,
    seed: u64,
}

impl Settings {
    fn read() -> Self {
        let is_ci = std::env::var_os("CI").is_some();
        let (kills, events) = if is_ci { (30, 50_000) } else { (6, 10_000) };
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")));
        Self {
            kills: number("HEADWATER_TORTURE_KILLS").unwrap_or(kills),
            events: number("HEADWATER_TORTURE_EVENTS").unwrap_or(events),
            seed: number("HEADWATER_TORTURE_SEED").unwrap_or_else(|| 0x5eed ^ u64::from(std::process::id())),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_when_views_parcels_and_messages_are_as_they_must_be() {
    let Settings { kills, events, seed } = Settings::read();
    eprintln!("torture: {kills} kills over {events} events, seed {seed}");
    let (directory, plan) = (Directory::new(), Plan::new(seed, events));
    let expected = Expected::of(&plan);
    let mut driver = Driver::start(&directory, &plan);
    driver.kill_and_go_on(kills).await;
    let shop = driver.end().await;
    let parked = settled(&shop.url).await;
    assert_eq!(expected.violations(&seen::look(&shop.url, &expected).await), [""; 0], "seed {seed}");
    let after = if parked > 0 {
        format!("; {parked} parcels were parked after three processes had ended over them, and packed by hand")
    } else {
        String::new()
    };
    eprintln!("torture: {kills} kills, {}, seed {seed}: 0 missing, 0 doubled{after}", expected.sums());
}
