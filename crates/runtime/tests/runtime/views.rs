//! Views: filled, asked, stopped, made again.

use component::{Decimal, Value, View};
use journal::model::ModelJournal;
use journal::{CommandId, CommandRecord, Commit, ContentType, Context, EntityKey, EventData, EventFlags, Journal as _};
use runtime::{QueryError, QueryInput, QueryRequest, ViewState};
use serde_json::json;

use crate::store::{Folder, Good, GoodEvent, MOVED, Stock, TABLE, asked, begin, journal, open, rows, stock};

#[tokio::test]
async fn rows_follow_events_and_are_seen_by_who_wrote() {
    for folder in [None, Some(Folder::new())] {
        let store = begin(&journal(), folder.as_ref().map(|folder| folder.0.as_path()), vec![stock()]).await;
        assert_eq!(store.rows("stock/all").await, json!([]));
        for (id, by) in [("mug", 5), ("cup", 2), ("mug", -1)] {
            let seen = store.moved(id, by).await;
            let answer = store.runtime.query(QueryRequest { seen: Some(seen), ..asked("stock/all") }).await.unwrap();
            assert!(answer.cursor.position() >= seen.position());
        }
        assert_eq!(
            store.rows("stock/all").await,
            json!([{ "id": "cup", "count": 2, "moves": 1 }, { "id": "mug", "count": 4, "moves": 2 }])
        );
        let at_least = QueryRequest { input: QueryInput::Json(r#"{"count":3}"#.into()), ..asked("stock/at-least") };
        let answer = store.ask(at_least).await.unwrap();
        assert_eq!(answer.columns, ["id", "count", "moves"]);
        assert_eq!(rows(&answer), json!([{ "id": "mug", "count": 4, "moves": 2 }]));
        assert_eq!(store.rows("stock/sum").await, json!([6]));
        let status = store.status().await;
        assert_eq!((status.state, status.behind), (ViewState::Live, 0));
        store.end().await;
    }
}

#[derive(Value)]
struct Price {
    id: String,
    price: Decimal,
    total: Decimal,
    labels: Vec<String>,
    first: String,
    how: String,
    at: String,
    sequence: u64,
}

#[tokio::test]
async fn values_keep_their_digits_and_their_shape() {
    let prices = View::sqlite("prices")
        .table(
            "CREATE TABLE price (id TEXT PRIMARY KEY, price TEXT, total TEXT NOT NULL, labels TEXT, how TEXT, at TEXT, sequence INTEGER)",
        )
        .on(
            "good/priced",
            "INSERT INTO price VALUES (@id, :price, :price, :labels, :how, @time, @sequence) ON CONFLICT (id) DO UPDATE
             SET price = :price, total = decimal_add(total, :price), labels = :labels, at = @time, sequence = @sequence",
        )
        .query::<(), Price>("all", "SELECT id, price, total, labels, labels ->> 0 AS first, how, at, sequence FROM price")
        .query::<(), Decimal>("sum", "SELECT decimal_sum(total) FROM price");
    let store = begin(&journal(), None, vec![prices]).await;
    store.send("mug", "price", json!({ "price": "0.10", "labels": ["new", "a \"b\""] })).await;
    store.send("mug", "price", json!({ "price": "0.20", "labels": ["sale"] })).await;
    let found = store.rows("prices/all").await;
    let at = found[0]["at"].as_str().unwrap();
    assert!(at.ends_with('Z') && at.len() == 27, "{at}");
    let expected = json!([{ "id": "mug", "price": "0.20", "total": "0.30", "labels": ["sale"], "first": "sale", "how": "by-hand", "at": at, "sequence": 2 }]);
    assert_eq!(found, expected);
    assert_eq!(store.rows("prices/sum").await, json!(["0.30"]));
    store.end().await;
}

#[tokio::test]
async fn a_file_goes_on_where_it_was() {
    let (journal, folder) = (journal(), Folder::new());
    for round in 1..=3 {
        let store = begin(&journal, Some(&folder.0), vec![stock()]).await;
        store.moved("mug", 1).await;
        assert_eq!(store.rows("stock/all").await, json!([{ "id": "mug", "count": round, "moves": round }]));
        store.end().await;
        let files = folder.files();
        assert!(matches!(&files[..], [file, sum] if *sum == format!("{file}.sum")), "{files:?}");
        // Only the first one may say that it begins with the first event.
        assert!(round == 1 || store.notes.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_view_stops_at_an_event_that_it_cannot_take_and_a_new_build_goes_on() {
    let (journal, folder) = (journal(), Folder::new());
    let store = begin(&journal, Some(&folder.0), vec![stock()]).await;
    store.moved("mug", 5).await;
    store.moved("cup", 5_000).await;
    store.moved("mug", 1).await;
    let refusal = store.refused("stock/all").await;
    assert!(refusal.contains("(good/moved #1 of `cup`), on good/moved: CHECK constraint failed: count < 1000"), "{refusal}");
    let stale = QueryRequest { stale: true, ..asked("stock/all") };
    assert_eq!(rows(&store.runtime.query(stale).await.unwrap()), json!([{ "id": "mug", "count": 5, "moves": 1 }]));
    assert!(matches!(store.status().await.state, ViewState::Stopped(stop) if stop.event == "good/moved" && stop.entity_id == "cup"));
    // A rebuild comes no further, and says so in the end.
    assert!(store.runtime.rebuild_view("stock").unwrap());
    store.end().await;

    let wider = View::sqlite("stock")
        .table("CREATE TABLE stock (id TEXT PRIMARY KEY, count INTEGER NOT NULL, moves INTEGER NOT NULL)")
        .on("good/moved", MOVED)
        .query::<(), Stock>("all", "SELECT id, count, moves FROM stock ORDER BY id");
    let store = begin(&journal, Some(&folder.0), vec![wider]).await;
    assert_eq!(store.rows("stock/all").await, json!([{ "id": "cup", "count": 5000, "moves": 1 }, { "id": "mug", "count": 6, "moves": 2 }]));
    store.end().await;
    assert_eq!(folder.databases().len(), 1, "the file of the old build is gone once the new one has caught up: {:?}", folder.files());
}

#[tokio::test]
async fn a_rebuild_serves_the_old_rows_until_it_is_done() {
    let (journal, folder) = (journal(), Folder::new());
    let store = begin(&journal, Some(&folder.0), vec![stock()]).await;
    for at in 0..50 {
        store.moved(&format!("good-{}", at % 7), 1).await;
    }
    let before = store.rows("stock/all").await;
    let old = folder.databases();
    assert!(store.runtime.rebuild_view("stock").unwrap());
    assert_eq!(store.rows("stock/all").await, before);
    while store.status().await.rebuild.is_some() || folder.databases().len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_ne!(folder.databases(), old);
    store.moved("good-0", 1).await;
    assert_eq!(store.rows("stock/sum").await, json!([51]));
    store.end().await;
}

#[tokio::test]
async fn queries_have_bounds_and_names() {
    let store = begin(&journal(), None, vec![stock()]).await;
    for (query, expected) in [
        ("stocks/all", "this service has no view `stocks`; it has: stock"),
        ("stock/some", "the view has no query `some`; it has: all, at-least, sum, endless, many"),
        ("stock/endless", "query `endless` ran longer than 0.3 s, which is the bound; add an index, or ask for less"),
        ("stock/many", "query `many` has more than 10000 rows or 32 MiB, which are the bounds; add a LIMIT, or ask for less"),
        ("stock/at-least", "missing field `count`"),
    ] {
        assert_eq!(store.refused(query).await, expected);
    }
    let extra = QueryRequest { input: QueryInput::Texts(vec![("count".into(), "x".into())]), ..asked("stock/at-least") };
    assert!(store.ask(extra).await.unwrap_err().to_string().starts_with("/count: invalid type: string"));
    // What it refused left nothing behind.
    assert_eq!(store.rows("stock/all").await, json!([]));
    store.end().await;
    assert!(matches!(store.ask(asked("stock/all")).await, Err(QueryError::Stopping)));
}

#[tokio::test]
async fn a_place_that_does_not_come_is_told_in_time() {
    let store = open(&journal(), None, vec![stock()]).unwrap();
    let request = QueryRequest { wait: std::time::Duration::from_millis(20), ..asked("stock/all") };
    assert_eq!(
        store.runtime.query(request.clone()).await.unwrap_err().to_string(),
        "view `stock` is not there yet, at most 0 events are to come; try again, or take what there is with stale=ok"
    );
    store.runtime.begin().await.unwrap();
    let beyond = store.journal.lineage().cursor(77);
    let refused = store.runtime.query(QueryRequest { seen: Some(beyond), ..request }).await;
    assert!(matches!(refused, Err(QueryError::Read(_))), "a place that is none of the journal's is refused and not waited for");
    store.end().await;
}

fn refused(view: View) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { open(&journal(), None, vec![view]).err().map_or_else(|| "taken".to_owned(), |error| error.to_string()) })
}

#[test]
fn a_definition_that_does_not_hold_together_is_told_with_its_place() {
    let view = || View::sqlite("stock").table(TABLE);
    for (view, expected) in [
        (View::sqlite("stock"), "view `stock`, it has no table; add `.table(\"CREATE TABLE ...\")`"),
        (view(), "view `stock`, no event fills it; add `.on(event, statement)`"),
        (
            View::sqlite("stock").table("CREATE TABLE stock (id TEXT PRIMARY KEY,, count)"),
            "view `stock`, table 1: near \",\": syntax error\nCREATE TABLE stock (id TEXT PRIMARY KEY,, count)\n                                        ^",
        ),
        (View::sqlite("stock").table("DROP TABLE stock"), "view `stock`, table 1: no such table: stock\nDROP TABLE stock\n^"),
        (
            view().on("good/moved", "UPDATE stock SET counts = :by"),
            "view `stock`, on good/moved: no such column: counts\nUPDATE stock SET counts = :by\n^",
        ),
        (
            view().on("good/moved", "UPDATE stock SET count = :bye, moves = :by"),
            "view `stock`, on good/moved: the event has no field `bye`; there are: by\nUPDATE stock SET count = :bye, moves = :by\n                         ^",
        ),
        (
            view().on("good/moved", "UPDATE stock SET count = @at"),
            "view `stock`, on good/moved: there is no `@at`; there are: @id, @type, @tenant, @sequence, @event, @event_id, @time, @time_micros, @correlation, @principal, @data\nUPDATE stock SET count = @at\n                         ^",
        ),
        (
            view().on("good/moved", "UPDATE stock SET count = ?"),
            "view `stock`, on good/moved: parameters have names, such as `:sku`\nUPDATE stock SET count = ?\n                         ^",
        ),
        (
            view().on("good/moved", "UPDATE stock SET count = random()"),
            "view `stock`, on good/moved: `random` gives something else at each filling; take what the event has, such as @time\nUPDATE stock SET count = random()\n^",
        ),
        (
            view().on("good/moved", "DELETE FROM stock; DELETE FROM stock"),
            "view `stock`, on good/moved: there is more than one statement; add each by itself\nDELETE FROM stock; DELETE FROM stock\n^",
        ),
        (
            view().on("good/moved", "SELECT 1"),
            "view `stock`, on good/moved: `.on(event, ..)` takes INSERT, UPDATE and DELETE without RETURNING\nSELECT 1\n^",
        ),
        (view().on("goods/moved", MOVED), "view `stock`, on goods/moved: this service has no entity type `goods`; there are: good"),
        (view().on("good/move", MOVED), "view `stock`, on good/move: `good` has no event `move`; there are: moved, named, priced"),
        (view().on("good", MOVED), "view `stock`, on good: an event is named with its entity type, as in `cart/item-added`"),
    ] {
        assert_eq!(refused(view), expected);
    }
}

#[derive(Value)]
struct ById {
    id: String,
}

#[derive(Value)]
struct Priced {
    price: Decimal,
}

#[test]
fn a_query_that_does_not_fit_its_types_is_told_with_its_place() {
    let view = || View::sqlite("stock").table(TABLE).on("good/moved", MOVED);
    for (view, expected) in [
        (
            view().query::<(), Stock>("all", "SELECT id, count FROM stock"),
            "view `stock`, query `all`: its row has a field `moves`, and no column of that name; there are: id, count",
        ),
        (
            view().query::<(), ById>("all", "SELECT id, count FROM stock"),
            "view `stock`, query `all`: its column `count` is no field of the row, which has: id; name the column with AS, or add the field",
        ),
        (
            view().query::<(), i64>("sum", "SELECT id, count FROM stock"),
            "view `stock`, query `sum`: its row is a single value, and it has 2 columns: id, count; name a struct",
        ),
        (
            view().query::<(), ById>("one", "SELECT id FROM stock WHERE id = :id"),
            "view `stock`, query `one`: its parameters have no `:id`; there is none\nSELECT id FROM stock WHERE id = :id\n                                ^",
        ),
        (
            view().query::<ById, ById>("one", "SELECT id FROM stock"),
            "view `stock`, query `one`: its parameter `id` is not used; write `:id`, or take the field out\nSELECT id FROM stock\n^",
        ),
        (
            view().query::<(), ById>("all", "DELETE FROM stock RETURNING id"),
            "view `stock`, query `all`: a query only reads; change rows with `.on(event, statement)`\nDELETE FROM stock RETURNING id\n^",
        ),
        (view().query::<(), ById>("all", "ATTACH 'x' AS y"), "view `stock`, query `all`: `.query(..)` takes SELECT\nATTACH 'x' AS y\n^"),
        (
            view().table("CREATE TABLE money (price REAL)").query::<(), Priced>("all", "SELECT price FROM money"),
            "view `stock`, query `all`: `price` is a decimal in the row and REAL in the table, which is not exact; declare the column as TEXT",
        ),
        (
            view().query::<(), ById>("all", "SELECT id FROM stock").query::<(), ById>("all", "SELECT id FROM stock"),
            "view `stock`, there are two queries `all`; give one another name",
        ),
        (view().query::<(), ById>("All", "SELECT id FROM stock"), "view `stock`, the name `All` must match [a-z][a-z0-9-]{0,63}"),
    ] {
        assert_eq!(refused(view), expected);
    }
}

/// An event as an older build recorded it.
async fn record_old(journal: &ModelJournal, id: &str, name: &str) {
    record(journal, id, &json!({ "name": name }).to_string()).await;
}

async fn record(journal: &ModelJournal, id: &str, payload: &str) {
    let event = EventData {
        name: "named".into(),
        version: 1,
        content: ContentType::Json,
        flags: EventFlags::default(),
        tags: Vec::new(),
        payload: payload.to_owned().into(),
    };
    let command = CommandRecord {
        entity: EntityKey::new("good", id).unwrap(),
        id: CommandId::from_raw(payload.as_bytes()),
        name: "name".into(),
        fingerprint: None,
        context: Context::default(),
        reply: "null".into(),
        events: vec![event],
    };
    journal.append(Commit { commands: vec![command], expect: Vec::new(), condition: None, fence: None, origin: None }).await.unwrap();
}

#[derive(Value)]
struct Name {
    id: String,
    name: String,
    length: u64,
}

const NAMES: &str = "CREATE TABLE name (id TEXT PRIMARY KEY, name TEXT NOT NULL, length INTEGER NOT NULL)";

#[tokio::test]
async fn old_events_are_raised_for_sql_and_for_code() {
    let by_sql = View::sqlite("by-sql")
        .table(NAMES)
        .on("good/named", "INSERT INTO name VALUES (@id, :name, :length)")
        .query::<(), Name>("all", "SELECT id, name, length FROM name ORDER BY id");
    let by_code = View::sqlite("by-code")
        .table(NAMES)
        .code::<Good>(1, |event, tables| match event.event {
            GoodEvent::Named { name, length: 0 } => tables.fail(format!("`{name}` has no length")),
            GoodEvent::Named { name, length } => {
                let length = i64::try_from(*length).unwrap_or(i64::MAX);
                tables.run("INSERT INTO name VALUES (?1, ?2, ?3)", &[event.id.into(), name.into(), length.into()]);
            }
            GoodEvent::Moved { by } if tables.first("SELECT 1 FROM name WHERE id = ?1", &[event.id.into()]).is_some() => {
                tables.run("UPDATE name SET length = length + ?2 WHERE id = ?1", &[event.id.into(), (*by).into()]);
            }
            GoodEvent::Moved { .. } | GoodEvent::Priced { .. } => {}
        })
        .query::<(), Name>("all", "SELECT id, name, length FROM name ORDER BY id");
    let journal = journal();
    record_old(&journal, "a", "four").await;
    let store = begin(&journal, None, vec![by_sql, by_code]).await;
    store.send("b", "name", json!({ "name": "seventy" })).await;
    let expected = json!([{ "id": "a", "name": "four", "length": 4 }, { "id": "b", "name": "seventy", "length": 7 }]);
    assert_eq!((store.rows("by-sql/all").await, store.rows("by-code/all").await), (expected.clone(), expected));
    store.moved("b", 3).await;
    store.moved("c", 3).await;
    assert_eq!(store.rows("by-code/all").await[1]["length"], 10);
    store.send("d", "name", json!({ "name": "" })).await;
    let refusal = store.refused("by-code/all").await;
    assert!(refusal.contains("(good/named #1 of `d`), the code for good: `` has no length"), "{refusal}");
    assert_eq!(store.rows("by-sql/all").await.as_array().unwrap().len(), 3, "the other view goes on");
    store.end().await;
}

#[tokio::test]
async fn events_before_one_that_cannot_be_read_are_kept() {
    let names = View::sqlite("names")
        .table(NAMES)
        .on("good/named", "INSERT INTO name VALUES (@id, :name, :length)")
        .query::<(), Name>("all", "SELECT id, name, length FROM name ORDER BY id");
    let journal = journal();
    record_old(&journal, "a", "four").await;
    record(&journal, "b", "[]").await;
    record_old(&journal, "c", "seventy").await;
    let store = begin(&journal, None, vec![names]).await;
    let refusal = store.refused("names/all").await;
    assert!(refusal.contains("(good/named #1 of `b`), reading it: "), "{refusal}");
    let stale = QueryRequest { stale: true, ..asked("names/all") };
    assert_eq!(rows(&store.runtime.query(stale).await.unwrap()), json!([{ "id": "a", "name": "four", "length": 4 }]));
    store.end().await;
}
