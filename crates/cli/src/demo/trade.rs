//! A generated day of trade: carts that are filled and mostly checked out, and the orders that come of them.
//!
//! The same day every time, from one seed, so that a second play meets the same keys and changes nothing.

use serde_json::json;

use super::script::{Script, ScriptCommand};
use crate::shop::articles::{ARTICLES, Article};

/// How many customers come by.
pub(super) const CUSTOMERS: u32 = 400;

const COUNTRIES: [&str; 5] = ["Malta", "Norway", "Portugal", "United Kingdom", "Germany"];
const SEED: u64 = 0x1234_5678_9abc_def1;

/// The day, as scripts: a cart a customer, and an order for each cart that is checked out.
pub(super) fn day() -> Vec<Script> {
    let mut dice = Dice(SEED);
    (1..=CUSTOMERS).flat_map(|customer| visit(customer, &mut dice)).collect()
}

fn visit(customer: u32, dice: &mut Dice) -> Vec<Script> {
    let id = format!("day-{customer:04}");
    let items: Vec<_> = (0..1 + dice.below(4)).map(|_| (dice.below(ARTICLES.len()), 1 + dice.below(6))).collect();
    let buys = dice.below(5) > 0;
    let order = buys.then(|| order(customer, &id, &items, dice));
    std::iter::once(cart(&id, &items, buys)).chain(order).collect()
}

fn cart(id: &str, items: &[(usize, usize)], buys: bool) -> Script {
    let add = |(number, (article, quantity)): (usize, &(usize, usize))| {
        ScriptCommand::new("add-item", format!("{id}-item-{number}"), &json!({ "sku": ARTICLES[*article].sku, "quantity": quantity }))
    };
    let check_out = buys.then(|| ScriptCommand::new("check-out", format!("{id}-check-out"), &json!({})));
    script("cart", id, items.iter().enumerate().map(add).chain(check_out).collect())
}

fn order(customer: u32, id: &str, items: &[(usize, usize)], dice: &mut Dice) -> Script {
    let at = format!("2025-11-28 {:02}:{:02}:00", 8 + customer * 10 / (CUSTOMERS + 1), dice.below(60));
    let place =
        json!({ "customer": format!("customer-{customer:04}"), "country": COUNTRIES[dice.below(COUNTRIES.len())], "placed_at": at });
    let place = ScriptCommand::new("place", format!("{id}-place"), &place);
    let lines = (1..).zip(items).map(|(number, (article, quantity))| add_line(id, number, *article, *quantity, &at));
    script("order", id, std::iter::once(place).chain(lines).collect())
}

fn add_line(id: &str, number: u32, article: usize, quantity: usize, at: &str) -> ScriptCommand {
    let Article { sku, name, price_cents } = ARTICLES[article];
    let price = format!("{}.{:02}", price_cents / 100, price_cents % 100);
    let body = json!({ "line": number, "sku": sku, "description": name, "quantity": quantity, "price": price, "at": at });
    ScriptCommand::new("add-line", format!("{id}-line-{number}"), &body)
}

fn script(kind: &'static str, id: &str, commands: Vec<ScriptCommand>) -> Script {
    Script { kind, id: id.to_owned(), commands }
}

/// Marsaglia's xorshift64: chance enough for a shop, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::day;

    #[test]
    fn the_day_is_the_same_every_time() {
        assert_eq!(day(), day());
    }

    #[test]
    fn the_day_is_a_few_thousand_commands_with_a_key_each() {
        let day = day();
        let keys: HashSet<_> =
            day.iter().flat_map(|script| script.commands.iter().map(move |command| (script.kind, &command.key))).collect();
        let commands: usize = day.iter().map(|script| script.commands.len()).sum();
        assert_eq!(keys.len(), commands);
        assert!((2_000..5_000).contains(&commands), "{commands} commands");
    }
}
