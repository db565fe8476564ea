//! What can be asked about alerts. The view follows the cards and not the checks, so that a new check leaves it as it is.

use headwater::prelude::*;

/// An alert.
#[derive(Debug, Value)]
struct Alert {
    card: String,
    check: String,
    payment: String,
    at_ms: i64,
    figure: Decimal,
    score: u32,
}

/// Which card.
#[derive(Value)]
struct OfCard {
    /// The card.
    card: String,
}

/// A card that is blocked.
#[derive(Debug, Value)]
struct BlockedCard {
    card: String,
    score: u32,
}

/// Alerts, and the cards that they have blocked.
pub(super) fn alerts() -> View {
    View::sqlite("alerts")
        .about("What the checks have found, and the cards that are blocked.")
        .table(
            "CREATE TABLE alert (card TEXT, number INTEGER, \"check\" TEXT NOT NULL, payment TEXT NOT NULL, at_ms INTEGER NOT NULL,
             figure TEXT NOT NULL, score INTEGER NOT NULL, PRIMARY KEY (card, number)) WITHOUT ROWID",
        )
        .table("CREATE INDEX alert_time ON alert (at_ms)")
        .table("CREATE TABLE blocked (card TEXT PRIMARY KEY, score INTEGER NOT NULL) WITHOUT ROWID")
        .on("card/suspected", "INSERT INTO alert VALUES (@id, @sequence, :check, :payment, :at_ms, :figure, :score)")
        .on("card/blocked", "INSERT INTO blocked VALUES (@id, :score)")
        .on("card/released", "DELETE FROM blocked WHERE card = @id")
        .query::<(), Alert>(
            "latest",
            "SELECT card, \"check\", payment, at_ms, figure, score FROM alert ORDER BY at_ms DESC, card, number LIMIT 50",
        )
        .query::<OfCard, Alert>(
            "of-card",
            "SELECT card, \"check\", payment, at_ms, figure, score FROM alert WHERE card = :card ORDER BY number",
        )
        .query::<(), BlockedCard>("blocked", "SELECT card, score FROM blocked ORDER BY card")
}

#[cfg(test)]
mod tests {
    use super::super::card::{Card, CardEvent};
    use super::*;

    fn suspected(check: &str, at_ms: i64) -> CardEvent {
        CardEvent::Suspected { check: check.into(), payment: format!("p{at_ms}"), at_ms, figure: Decimal::from(6), score: 50 }
    }

    fn row(card: &str, check: &str, at_ms: i64) -> Alert {
        Alert { card: card.into(), check: check.into(), payment: format!("p{at_ms}"), at_ms, figure: Decimal::from(6), score: 50 }
    }

    #[test]
    fn alerts_are_shown_with_what_they_have_blocked() {
        given_view(alerts())
            .events::<Card>("c1", [suspected("velocity", 1), suspected("spending", 3), CardEvent::Blocked { score: 100 }])
            .events::<Card>("c2", [suspected("travel", 2)])
            .query("latest", ())
            .rows([row("c1", "spending", 3), row("c2", "travel", 2), row("c1", "velocity", 1)])
            .query("of-card", OfCard { card: "c2".into() })
            .rows([row("c2", "travel", 2)])
            .query("blocked", ())
            .rows([BlockedCard { card: "c1".into(), score: 100 }])
            .events::<Card>("c1", [CardEvent::Released])
            .query("blocked", ())
            .rows(Vec::<BlockedCard>::new());
    }
}
