//! The tables of shared views: what their server promises, on a server.

use std::time::Duration;

use component::SqlValue;
use headwater_engine_postgres::PostgresViews;
use journal::{Cursor, Lineage, LineageId};
use runtime::view_server::{
    Answer, BuildChange, BuildName, BuildSight, BuildStatement, BuildWriter, CheckError, Definition, Part, Question, ServerError,
    ViewServer,
};
use tokio_postgres::{Client, NoTls};

use crate::server::Server;

const ITEM: &str = "CREATE TABLE item (sku text PRIMARY KEY, sold bigint NOT NULL CHECK (sold < 100))";
const SOLD: &str = "INSERT INTO item VALUES (:sku, :sold) ON CONFLICT (sku) DO UPDATE SET sold = item.sold + excluded.sold";
const ALL: &str = "SELECT sku, sold FROM item ORDER BY sold DESC, sku";

/// A view of a service of its own, and whoever looks from outside.
struct Rig {
    service: String,
    views: PostgresViews,
    outside: Client,
    // The last one stops the server.
    _server: std::sync::Arc<Server>,
}

impl Rig {
    async fn new() -> Self {
        let (server, service) = (Server::shared(), Server::service());
        let views = PostgresViews::open(server.address(&service)).await.unwrap();
        let (outside, connection) = tokio_postgres::connect(server.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        Self { service, views, outside, _server: server }
    }

    /// As a person writes it: `shop_orders`.
    fn schema(&self) -> String {
        format!("{}_orders", self.service.replace('-', "_"))
    }

    async fn begin(&self, generation: u32, table: &str) -> BuildName {
        let build = build(generation);
        self.views.begin(&build, &[table.to_owned()], 0).await.unwrap();
        build
    }

    async fn take(&self, build: &BuildName) -> Box<dyn BuildWriter> {
        self.views.take(build, &[SOLD]).await.unwrap().writer
    }

    async fn sight(&self, build: &BuildName) -> Option<BuildSight> {
        self.views.builds("orders").await.unwrap().into_iter().find(|sight| sight.name == *build)
    }

    async fn ask(&self, build: &BuildName, sql: &str, values: Vec<SqlValue>) -> Result<Answer, ServerError> {
        self.views.ask(build, question(sql, values)).await
    }

    async fn rows(&self, build: &BuildName) -> Vec<Vec<Option<String>>> {
        self.ask(build, ALL, Vec::new()).await.unwrap().rows
    }

    /// What somebody with another client sees.
    async fn seen(&self, sql: &str) -> Vec<String> {
        let messages = self.outside.simple_query(sql).await.unwrap();
        let row = |message: &tokio_postgres::SimpleQueryMessage| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                let cells: Vec<&str> = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL")).collect();
                Some(cells.join(" "))
            }
            _ => None,
        };
        messages.iter().filter_map(row).collect()
    }
}

fn build(generation: u32) -> BuildName {
    BuildName { view: "orders", build: "00112233aabbccdd".to_owned(), generation }
}

fn question(sql: &str, values: Vec<SqlValue>) -> Question<'_> {
    Question { sql, values, time_max: Duration::from_secs(30), rows_max: 1_000, bytes_max: 1_000_000 }
}

fn cursor(position: u64) -> Cursor {
    Lineage { id: LineageId([7; 16]), parents: Vec::new(), family_key: [0; 32] }.cursor(position)
}

fn sold(sku: &str, count: i64) -> BuildChange {
    BuildChange { statement: BuildStatement::Fill(0), values: vec![sku.into(), count.into()] }
}

fn code(sql: &str, values: Vec<SqlValue>) -> BuildChange {
    BuildChange { statement: BuildStatement::Code(sql.to_owned()), values }
}

fn row(cells: &[&str]) -> Vec<Option<String>> {
    cells.iter().map(|cell| Some((*cell).to_owned())).collect()
}

/// One batch, whole.
async fn write(writer: &mut dyn BuildWriter, changes: &[BuildChange], position: u64) -> Result<(), ServerError> {
    writer.begin().await?;
    writer.run(changes).await.map_err(|(_, error)| error)?;
    writer.commit(cursor(position), true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_their_place_change_together_and_an_answer_has_both() {
    let rig = Rig::new().await;
    let build = rig.begin(1, ITEM).await;
    let mut writer = rig.take(&build).await;
    assert_eq!(rig.ask(&build, ALL, Vec::new()).await.unwrap(), Answer { rows: Vec::new(), cursor: Cursor::BEGINNING });
    write(&mut *writer, &[sold("mug", 2), sold("cup", 1), sold("mug", 1)], 7).await.unwrap();
    let answer = rig.ask(&build, ALL, Vec::new()).await.unwrap();
    assert_eq!(answer, Answer { rows: vec![row(&["\"mug\"", "3"]), row(&["\"cup\"", "1"])], cursor: cursor(7) });
    // A batch that is under way is seen by nobody, and taken back with whoever wrote it.
    writer.begin().await.unwrap();
    writer.run(&[sold("cup", 50)]).await.unwrap();
    assert_eq!(rig.ask(&build, ALL, Vec::new()).await.unwrap(), answer);
    drop(writer);
    let mut writer = rig.take(&build).await;
    write(&mut *writer, &[sold("cup", 1)], 8).await.unwrap();
    assert_eq!(rig.rows(&build).await, [row(&["\"mug\"", "3"]), row(&["\"cup\"", "2"])]);
    let sight = rig.sight(&build).await.unwrap();
    assert_eq!((sight.epoch, sight.cursor, sight.complete), (2, cursor(8), true));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_taken_over_writes_nothing_more() {
    let rig = Rig::new().await;
    let build = rig.begin(1, ITEM).await;
    let mut zombie = rig.take(&build).await;
    write(&mut *zombie, &[sold("mug", 1)], 1).await.unwrap();
    let mut next = rig.take(&build).await;
    assert_eq!(write(&mut *zombie, &[sold("mug", 1)], 2).await, Err(ServerError::Stale));
    zombie.undo().await;
    write(&mut *next, &[sold("mug", 1)], 2).await.unwrap();
    assert_eq!(write(&mut *zombie, &[sold("mug", 1)], 3).await, Err(ServerError::Stale));
    let answer = rig.ask(&build, ALL, Vec::new()).await.unwrap();
    assert_eq!(answer, Answer { rows: vec![row(&["\"mug\"", "2"])], cursor: cursor(2) });
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_in_the_middle_of_a_batch_is_thrown_out_and_holds_nobody_up() {
    let rig = Rig::new().await;
    let build = rig.begin(1, ITEM).await;
    let mut stopped = rig.take(&build).await;
    stopped.begin().await.unwrap();
    stopped.run(&[sold("mug", 1)]).await.unwrap();
    let mut next = rig.take(&build).await;
    write(&mut *next, &[sold("cup", 1)], 1).await.unwrap();
    assert!(matches!(stopped.commit(cursor(9), true).await, Err(ServerError::Away { .. })));
    assert_eq!(rig.rows(&build).await, [row(&["\"cup\"", "1"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_statement_that_does_not_go_is_named_by_its_place() {
    let rig = Rig::new().await;
    let build = rig.begin(1, ITEM).await;
    let mut writer = rig.take(&build).await;
    writer.begin().await.unwrap();
    let (at, error) = writer.run(&[sold("mug", 1), sold("cup", 200), sold("mug", 1)]).await.unwrap_err();
    assert!(at == 1 && matches!(&error, ServerError::Refused { cause } if cause.contains("item_sold_check")), "{at}: {error}");
    writer.undo().await;
    write(&mut *writer, &[sold("mug", 1)], 1).await.unwrap();
    let none = code("UPDATE item SET sold = $1 WHERE sku = $2", vec![1.into()]);
    writer.begin().await.unwrap();
    assert!(matches!(writer.run(&[none]).await, Err((0, ServerError::Refused { cause })) if cause.contains("2 parameters, and 1")));
    writer.undo().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_becomes_what_its_place_is_and_comes_back_as_json() {
    let rig = Rig::new().await;
    let table = "CREATE TABLE item (a boolean, b numeric, c timestamptz, d jsonb, e double precision, f text, g date)";
    let build = rig.begin(1, table).await;
    let mut writer = rig.views.take(&build, &[]).await.unwrap().writer;
    writer.begin().await.unwrap();
    let values: Vec<SqlValue> = vec![
        true.into(),
        "12.50".into(),
        "2026-11-27T11:06:00.000001Z".into(),
        "{\"a\": [1]}".into(),
        SqlValue::Real(0.5),
        SqlValue::Null,
        "2026-11-27".into(),
    ];
    writer.run(&[code("INSERT INTO item VALUES ($1, $2, $3, $4, $5, $6, $7)", values)]).await.unwrap();
    let first = writer.first("SELECT a, b, e, f, (d->'a')::text, 7 FROM item WHERE b > $1 -- the end", &["12".into()]).await.unwrap();
    let expected: Vec<SqlValue> =
        vec![SqlValue::Integer(1), "12.50".into(), SqlValue::Real(0.5), SqlValue::Null, "[1]".into(), SqlValue::Integer(7)];
    assert_eq!(first, Some(expected));
    assert_eq!(writer.first("UPDATE item SET f = 'x' WHERE b > 100 RETURNING f;", &[]).await, Ok(None));
    writer.commit(cursor(1), true).await.unwrap();
    let told = rig.ask(&build, "SELECT * FROM item", Vec::new()).await.unwrap().rows;
    let cells: Vec<&str> = told[0].iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect();
    let time = "\"2026-11-27T11:06:00.000001+00:00\"";
    assert_eq!(cells, ["true", "12.50", time, "{\"a\": [1]}", "0.5", "NULL", "\"2026-11-27\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_clients_read_the_build_that_is_shown_under_names_that_stay() {
    let rig = Rig::new().await;
    let schema = rig.schema();
    let (old, new) = (rig.begin(1, ITEM).await, build(2));
    write(&mut *rig.take(&old).await, &[sold("mug", 1)], 1).await.unwrap();
    rig.views.show(&old).await.unwrap();
    let read = format!("SELECT * FROM {schema}.item");
    assert_eq!(rig.seen(&read).await, ["mug 1"]);
    let role = format!("reader_{}", schema);
    rig.seen(&format!("CREATE ROLE {role}; GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {schema}.item TO {role}")).await;
    // The same columns: who may read still may.
    rig.views.begin(&new, &[ITEM.to_owned(), "CREATE VIEW best AS SELECT max(sold) AS sold FROM item".to_owned()], 0).await.unwrap();
    write(&mut *rig.take(&new).await, &[sold("cup", 2)], 1).await.unwrap();
    assert_eq!(rig.seen(&read).await, ["mug 1"], "not before it is shown");
    rig.views.show(&new).await.unwrap();
    assert_eq!(rig.seen(&format!("SET ROLE {role}; {read}; RESET ROLE")).await, ["cup 2"]);
    assert_eq!(rig.seen(&format!("SELECT * FROM {schema}.best")).await, ["2"]);
    let shown: Vec<bool> = rig.views.builds("orders").await.unwrap().iter().map(|sight| sight.shown).collect();
    assert_eq!(shown, [false, true]);
    rig.views.remove(&old).await.unwrap();
    assert!(rig.sight(&old).await.is_none() && rig.seen(&read).await == ["cup 2"]);
    assert_eq!(rig.ask(&old, ALL, Vec::new()).await, Err(ServerError::Gone));
    assert_eq!(rig.views.remove(&old).await, Ok(()), "once more");
    rig.seen(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_change_are_shown_unless_somebody_depends_on_them() {
    let rig = Rig::new().await;
    let (schema, old) = (rig.schema(), rig.begin(1, ITEM).await);
    rig.views.show(&old).await.unwrap();
    let other = BuildName { build: "ffffffffffffffff".into(), ..build(1) };
    rig.views.begin(&other, &["CREATE TABLE item (sku text PRIMARY KEY, price numeric)".to_owned()], 0).await.unwrap();
    rig.seen(&format!("CREATE VIEW report_{schema} AS SELECT sold FROM {schema}.item")).await;
    let refused = rig.views.show(&other).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("the columns of {schema}.item change")), "{refused}");
    assert!(rig.sight(&old).await.unwrap().shown && !rig.sight(&other).await.unwrap().shown);
    rig.seen(&format!("DROP VIEW report_{schema}")).await;
    rig.views.show(&other).await.unwrap();
    assert_eq!(rig.seen(&format!("SELECT price FROM {schema}.item")).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_keeps_the_order_of_its_query_and_its_bounds() {
    let rig = Rig::new().await;
    let build = rig.begin(1, ITEM).await;
    let mut writer = rig.take(&build).await;
    let many: Vec<BuildChange> = (0..700).map(|nth| sold(&format!("{nth:03}"), nth % 90)).collect();
    write(&mut *writer, &many, 1).await.unwrap();
    let all = rig.rows(&build).await;
    let mut sorted = all.clone();
    sorted.sort_by_key(|row| (-row[1].as_ref().unwrap().parse::<i64>().unwrap(), row[0].clone()));
    assert!(all.len() == 700 && all == sorted);
    let narrow = Question { rows_max: 699, ..question(ALL, Vec::new()) };
    assert_eq!(rig.views.ask(&build, narrow).await, Err(ServerError::TooMany));
    let wide = Question { bytes_max: 100, ..question(ALL, Vec::new()) };
    assert_eq!(rig.views.ask(&build, wide).await, Err(ServerError::TooMany));
    let slow = Question { time_max: Duration::from_millis(20), ..question("SELECT pg_sleep(60)::text", Vec::new()) };
    assert_eq!(rig.views.ask(&build, slow).await, Err(ServerError::TooSlow));
    let found = rig.ask(&build, "SELECT sold FROM item WHERE sku = :sku AND sold < :most -- of one", vec!["007".into(), 50.into()]);
    assert_eq!(found.await.unwrap().rows, [row(&["7"])]);
    let unfit = rig.ask(&build, "SELECT sold FROM item WHERE sold = :most", vec!["many".into()]).await;
    assert!(matches!(unfit, Err(ServerError::Refused { cause }) if cause.contains("invalid input syntax")));
    assert_eq!(rig.rows(&build).await.len(), 700, "connections are whole after refusals");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_checked_by_the_server_and_leaves_nothing() {
    let rig = Rig::new().await;
    let (tables, queries) = ([ITEM.to_owned()], ["SELECT sku, sold::float8 AS s FROM item WHERE sku = :sku"]);
    let checked = rig.views.check(definition(&tables, &[SOLD, ""], &queries)).await.unwrap();
    assert_eq!((&checked.tables[..], &checked.fills[..]), (&["item".to_owned()][..], &[vec![":sku".into(), ":sold".into()], vec![]][..]));
    let columns: Vec<_> = checked.queries[0].columns.iter().map(|column| (column.name.as_str(), column.inexact)).collect();
    assert_eq!((&checked.queries[0].parameters[..], columns), (&[":sku".to_owned()][..], vec![("sku", false), ("s", true)]));
    let left = format!("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, '{}')", rig.schema());
    assert_eq!(rig.seen(&left).await, [""; 0]);
}

fn definition<'a>(tables: &'a [String], fills: &'a [&'a str], queries: &'a [&'a str]) -> Definition<'a> {
    Definition { view: "orders", tables, fills, queries }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_does_not_hold_together_is_refused_with_its_place() {
    let rig = Rig::new().await;
    let table = |sql: &'static str| (vec![sql.to_owned()], Vec::new(), Vec::new());
    let fill = |sql: &'static str| (vec![ITEM.to_owned()], vec![sql], Vec::new());
    let query = |sql: &'static str| (vec![ITEM.to_owned()], Vec::new(), vec![sql]);
    let cases: Vec<(_, Part, &str, &str)> = vec![
        (table("CREATE TABLE item (sku texxt)"), Part::Table(0), "type \"texxt\" does not exist", "texxt"),
        (table("DROP TABLE item"), Part::Table(0), "takes one CREATE statement", "DROP"),
        (table("CREATE TABLE a (x int); CREATE TABLE b (x int)"), Part::Table(0), "multiple commands", "CREATE"),
        (table("CREATE TABLE public.stray (x int)"), Part::Table(0), "schema public", "CREATE"),
        (table("CREATE TABLE item (at timestamptz DEFAULT now())"), Part::Table(0), "something else at each filling", "now"),
        (fill("INSERT INTO item VALUES (:sku, sould)"), Part::Fill(0), "column \"sould\" does not exist", "sould"),
        (fill("SELECT 1"), Part::Fill(0), "takes INSERT", "SELECT"),
        (fill("DELETE FROM item RETURNING sku"), Part::Fill(0), "without RETURNING", "DELETE"),
        (fill("INSERT INTO item VALUES ($1, 1)"), Part::Fill(0), "parameters have names", "$1"),
        (fill("INSERT INTO item VALUES (:sku, random())"), Part::Fill(0), "something else at each filling", "random"),
        (query("SELECT skuu FROM item WHERE sku = :sku"), Part::Query(0), "column \"skuu\" does not exist", "skuu"),
        (query("DELETE FROM item"), Part::Query(0), "a query only reads", "DELETE"),
        (query("WITH gone AS (DELETE FROM item RETURNING sku) SELECT sku FROM gone"), Part::Query(0), "top level", "WITH"),
    ];
    for ((tables, fills, queries), part, words, word) in cases {
        let refused = rig.views.check(definition(&tables, &fills, &queries)).await.unwrap_err();
        let CheckError::Statement { part: told, message, offset } = &refused else { panic!("{refused:?}") };
        let sql = [tables[0].as_str(), fills.first().unwrap_or(&""), queries.first().unwrap_or(&"")];
        let sql = sql[match part {
            Part::Table(_) => 0,
            Part::Fill(_) => 1,
            Part::Query(_) => 2,
        }];
        assert!(*told == part && message.contains(words) && sql[*offset..].starts_with(word), "{sql}: {message} at {offset}");
    }
    assert!(rig.views.check(definition(&[ITEM.to_owned()], &[SOLD], &[ALL])).await.is_ok(), "connections are whole after refusals");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_somebody_else_is_left_alone() {
    let rig = Rig::new().await;
    rig.seen(&format!("CREATE SCHEMA {}", rig.schema())).await;
    let refused = rig.views.check(definition(&[ITEM.to_owned()], &[SOLD], &[])).await.unwrap_err();
    assert!(matches!(&refused, CheckError::Place { message } if message.contains("somebody else")), "{refused:?}");
    assert!(rig.views.begin(&build(1), &[ITEM.to_owned()], 0).await.is_err());
    let (service, view) = rig.service.rsplit_once('-').unwrap();
    // The same name of a schema by another pair of names.
    rig.seen(&format!("DROP SCHEMA {} CASCADE", rig.schema())).await;
    rig.begin(1, ITEM).await;
    let other = PostgresViews::open(Server::shared().address(service)).await.unwrap();
    let clash: &'static str = Box::leak(format!("{view}-orders").into_boxed_str());
    let refused = other.check(Definition { view: clash, ..definition(&[ITEM.to_owned()], &[SOLD], &[]) }).await.unwrap_err();
    let words = format!("the view orders of the service {}", rig.service);
    assert!(matches!(&refused, CheckError::Place { message } if message.contains(&words)), "{refused:?}");
}
