//! What the witness sends: lanes of chunks, each a request that may be sent as often as one likes. All of it follows from the seed.

use serde_json::{Value as Json, json};

/// Lanes that send side by side, as many of each kind.
pub(super) const LANES: u64 = 9;
/// How many customers there are.
pub(super) const CUSTOMERS: u64 = 40;
pub(super) const COUNTRIES: [&str; 6] = ["France", "Germany", "Malta", "Norway", "Portugal", "Spain"];
/// As many as the view of products shows.
pub(super) const PRODUCTS: u64 = 10;
/// Keys of messages.
const KEYS: u64 = 500;
const ORDERS: u64 = 20;
/// An order's lines, one in each of the chunks that follow.
const LINES: u64 = 5;
const CARTS: u64 = 40;
const MESSAGES: u64 = 100;
/// Events that one chunk of each kind leaves, about: an order and its lines, a cart and its parcel, a message.
const EVENTS_OF_ALL_KINDS: u64 = ORDERS * (1 + LINES) + CARTS * 4 + MESSAGES;

/// See the module.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Chunks of each lane.
    pub(super) chunks: u64,
}

/// What a lane sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Orders,
    Carts,
    Messages,
}

/// One request.
pub(super) struct Chunk {
    pub(super) path: &'static str,
    pub(super) media_type: &'static str,
    pub(super) body: String,
    /// Results that its answer has.
    pub(super) results: usize,
    /// How often it is sent although it was answered.
    pub(super) times: u32,
}

/// A line of an order.
#[derive(Clone, Copy)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) product: u64,
    pub(super) quantity: i64,
    pub(super) thousandths: i64,
    pub(super) day: u64,
}

impl Plan {
    pub(super) fn new(seed: u64, events: u64) -> Self {
        // The orders of the last chunks do not get all their lines.
        Self { seed, chunks: events.div_ceil(EVENTS_OF_ALL_KINDS * LANES / 3) + 3 }
    }

    pub(super) fn all_chunks(&self) -> u64 {
        self.chunks * LANES
    }

    pub(super) fn kind(lane: u64) -> Kind {
        [Kind::Orders, Kind::Carts, Kind::Messages][usize::try_from(lane % 3).expect("it is small")]
    }

    pub(super) fn lanes(kind: Kind) -> impl Iterator<Item = u64> {
        (0..LANES).filter(move |lane| Self::kind(*lane) == kind)
    }

    pub(super) fn chunk(&self, lane: u64, chunk: u64) -> Chunk {
        match Self::kind(lane) {
            Kind::Orders => batch("/v1/entities/order:batch", &self.order_commands(lane, chunk), chunk),
            Kind::Carts => batch("/v1/entities/cart:batch", &self.cart_commands(lane, chunk), chunk),
            Kind::Messages => {
                let messages: Vec<Json> = self.messages(lane, chunk).map(|(key, id)| message(&key, &id)).collect();
                let media_type = "application/cloudevents-batch+json";
                Chunk { path: "/v1/topics/notices", media_type, results: messages.len(), body: json!(messages).to_string(), times: 3 }
            }
        }
    }

    /// The orders that a chunk begins: their number and id.
    pub(super) fn orders(&self, lane: u64, chunk: u64) -> impl Iterator<Item = (u64, String)> {
        (0..ORDERS).map(move |number| (number, format!("o{lane}-{chunk}-{number}")))
    }

    /// Who placed an order, where, and when.
    pub(super) fn placed(&self, lane: u64, chunk: u64, order: u64) -> (String, &'static str, String) {
        let dice = self.dice(&[lane, chunk, order, 0]);
        let country = COUNTRIES[usize::try_from(dice % COUNTRIES.len() as u64).expect("it is small")];
        (customer((dice >> 8) % CUSTOMERS), country, format!("2011-{:02}-{:02} 08:00:00", 1 + (dice >> 16) % 12, 1 + (dice >> 24) % 28))
    }

    /// The lines of an order that are sent before the plan ends.
    pub(super) fn lines(&self, lane: u64, chunk: u64, order: u64) -> impl Iterator<Item = Line> {
        let (plan, last) = (*self, LINES.min(self.chunks - 1 - chunk));
        (1..=last).map(move |number| {
            let dice = plan.dice(&[lane, chunk, order, number]);
            let quantity = i64::try_from(dice % 13).expect("it is small") - 3;
            let thousandths = i64::try_from((dice >> 8) % 30_000).expect("it is small") - 1_000;
            Line { number, product: (dice >> 32) % PRODUCTS, quantity, thousandths, day: 1 + (dice >> 40) % 28 }
        })
    }

    /// Whether an order is called off before the plan ends: the first of each chunk, when it has its lines.
    pub(super) fn is_cancelled(&self, chunk: u64, order: u64) -> bool {
        order == 0 && chunk + LINES + 1 < self.chunks
    }

    /// The carts of a chunk, and the pieces in each.
    pub(super) fn carts(&self, lane: u64, chunk: u64) -> impl Iterator<Item = (String, [u64; 2])> {
        let plan = *self;
        (0..CARTS).map(move |cart| {
            let dice = plan.dice(&[lane, chunk, cart]);
            (format!("c{lane}-{chunk}-{cart}"), [1 + dice % 9, 1 + (dice >> 8) % 9])
        })
    }

    /// The keys and ids of a chunk's messages.
    pub(super) fn messages(&self, lane: u64, chunk: u64) -> impl Iterator<Item = (String, String)> {
        let plan = *self;
        (0..MESSAGES)
            .map(move |number| (format!("k{lane}-{}", plan.dice(&[lane, chunk, number]) % KEYS), format!("{lane}-{chunk}-{number}")))
    }

    fn order_commands(&self, lane: u64, chunk: u64) -> Vec<Json> {
        let mut commands = Vec::new();
        for (order, id) in self.orders(lane, chunk) {
            let (customer, country, placed_at) = self.placed(lane, chunk, order);
            commands.push(command(&id, "place", json!({ "customer": customer, "country": country, "placed_at": placed_at }), "place"));
        }
        for age in (1..=LINES).filter(|age| *age <= chunk) {
            for (order, id) in self.orders(lane, chunk - age) {
                let line = self.lines(lane, chunk - age, order).nth(usize::try_from(age - 1).expect("it is small"));
                commands.push(add_line(&id, &line.expect("the line comes in this chunk")));
            }
        }
        if chunk > LINES {
            let id = format!("o{lane}-{}-0", chunk - LINES - 1);
            commands.push(command(&id, "cancel", json!({ "reason": "torture" }), "cancel"));
        }
        commands
    }

    fn cart_commands(&self, lane: u64, chunk: u64) -> Vec<Json> {
        let of_cart = |(id, pieces): (String, [u64; 2])| {
            let add = |sku: &str, quantity: u64| command(&id, "add-item", json!({ "sku": sku, "quantity": quantity }), sku);
            [add("mug", pieces[0]), add("tea", pieces[1]), command(&id, "check-out", json!({}), "check-out")]
        };
        self.carts(lane, chunk).flat_map(of_cart).collect()
    }

    fn dice(&self, path: &[u64]) -> u64 {
        path.iter().fold(mixed(self.seed), |dice, step| mixed(dice ^ step.wrapping_mul(0xff51_afd7_ed55_8ccd)))
    }
}

pub(super) fn customer(number: u64) -> String {
    format!("customer {number}")
}

pub(super) fn product(number: u64) -> String {
    format!("product {number}")
}

/// Vigna's splitmix64, one step.
pub(super) fn mixed(state: u64) -> u64 {
    let mut mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn batch(path: &'static str, commands: &[Json], chunk: u64) -> Chunk {
    let body: String = commands.iter().map(|command| format!("{command}\n")).collect();
    let times = if chunk.is_multiple_of(8) { 3 } else { 1 };
    Chunk { path, media_type: "application/x-ndjson", body, results: commands.len(), times }
}

fn command(id: &str, name: &str, body: Json, key: &str) -> Json {
    json!({ "id": id, "command": name, "body": body, "key": format!("{id} {key}") })
}

fn add_line(id: &str, line: &Line) -> Json {
    let (sign, price) = (if line.thousandths < 0 { "-" } else { "" }, line.thousandths.unsigned_abs());
    let body = json!({
        "line": line.number, "sku": product(line.product), "description": "", "quantity": line.quantity,
        "price": format!("{sign}{}.{:03}", price / 1_000, price % 1_000), "at": format!("2011-11-{:02} 09:00:00", line.day),
    });
    command(id, "add-line", body, &format!("line {}", line.number))
}

fn message(key: &str, id: &str) -> Json {
    json!({ "specversion": "1.0", "id": id, "source": "/witness", "type": "notice", "subject": key, "data": { "id": id } })
}
