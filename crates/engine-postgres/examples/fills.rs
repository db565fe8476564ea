//! Events a second into a shared view: `fills postgres://user@host/db [events] [rounds]`.
//!
//! Each event is an upsert of one of 1,000 rows, as a view of what sells has it; batches of 2,048 events, each one transaction with its place.
//! Beside it the same statements by the bare driver, one after the other, each waited for, in transactions of the same size.

use std::error::Error;
use std::time::Instant;

use component::SqlValue;
use headwater_engine_postgres::{Address, PostgresViews};
use journal::{Lineage, LineageId};
use runtime::view_server::{BuildChange, BuildName, BuildStatement, ViewServer as _};
use tokio_postgres::NoTls;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const BATCH: u64 = 2_048;
const TABLE: &str = "CREATE TABLE item (sku text PRIMARY KEY, sold bigint NOT NULL)";
const NAMED: &str = "INSERT INTO item VALUES (:sku, :sold) ON CONFLICT (sku) DO UPDATE SET sold = item.sold + excluded.sold";
const BARE: &str = "INSERT INTO item VALUES ($1, $2) ON CONFLICT (sku) DO UPDATE SET sold = item.sold + excluded.sold";

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = arguments.first().ok_or("name a database: fills postgres://user@host/db")?;
    let events = arguments.get(1).map_or(Ok(40_960), |text| text.parse())?;
    let rounds: usize = arguments.get(2).map_or(Ok(3), |text| text.parse())?;
    let (mut views, mut bares) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        views.push(view(url, &format!("fills-{}-{round}", std::process::id()), events).await?);
        bares.push(bare(url, events).await?);
    }
    println!("events a second, medians of {rounds} rounds of {events} events\n\n| | |\n|---|---|");
    println!("| shared view | {} |\n| bare driver, one after the other | {} |", median(views), median(bares));
    Ok(())
}

fn median(mut rates: Vec<u64>) -> u64 {
    rates.sort_unstable();
    rates[rates.len() / 2]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(events: u64, begun: Instant) -> u64 {
    (events as f64 / begun.elapsed().as_secs_f64()) as u64
}

fn sku(event: u64) -> String {
    format!("sku-{}", event * 7_919 % 1_000)
}

async fn view(url: &str, service: &str, events: u64) -> Outcome<u64> {
    let views = PostgresViews::open(Address::new(url, Some(service))?).await?;
    let build = BuildName { view: "items", build: "0".repeat(16), generation: 1 };
    views.begin(&build, &[TABLE.to_owned()], 0).await?;
    let mut writer = views.take(&build, &[NAMED]).await?.writer;
    let lineage = Lineage { id: LineageId([1; 16]), parents: Vec::new(), family_key: [0; 32] };
    let begun = Instant::now();
    for first in (0..events).step_by(BATCH as usize) {
        writer.begin().await?;
        let change = |event| BuildChange { statement: BuildStatement::Fill(0), values: vec![sku(event).into(), SqlValue::Integer(1)] };
        let changes: Vec<BuildChange> = (first..(first + BATCH).min(events)).map(change).collect();
        for part in changes.chunks(512) {
            writer.run(part).await.map_err(|(_, error)| error)?;
        }
        writer.commit(lineage.cursor(first + BATCH), false).await?;
    }
    let rate = rate(events, begun);
    drop(writer);
    views.remove(&build).await?;
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(&format!("DROP SCHEMA {}_items CASCADE", service.replace('-', "_"))).await?;
    Ok(rate)
}

async fn bare(url: &str, events: u64) -> Outcome<u64> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let schema = format!("fills_bare_{}", std::process::id());
    client.batch_execute(&format!("CREATE SCHEMA {schema}; SET search_path = {schema}; {TABLE}")).await?;
    let statement = client.prepare(BARE).await?;
    let begun = Instant::now();
    for first in (0..events).step_by(BATCH as usize) {
        client.batch_execute("BEGIN").await?;
        for event in first..(first + BATCH).min(events) {
            client.execute(&statement, &[&sku(event), &1_i64]).await?;
        }
        client.batch_execute("COMMIT").await?;
    }
    let rate = rate(events, begun);
    client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
    Ok(rate)
}
