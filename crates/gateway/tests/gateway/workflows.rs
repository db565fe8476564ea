//! Workflows over HTTP: started, waited for, signalled, shown, listed, cancelled, and every refusal.

use serde_json::{Value as Json, json};

use crate::shop::{Answer, Shop};

async fn start(shop: &Shop, id: &str, input: &str) -> Answer {
    shop.post(&format!("/v1/workflows/approval/{id}"), &[], input).await
}

async fn state(shop: &Shop, id: &str) -> Json {
    shop.get(&format!("/v1/workflows/approval/{id}")).await.json["state"].clone()
}

/// Until it has done what it can and waits.
async fn waits(shop: &Shop, id: &str) {
    while state(shop, id).await != "waiting" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_workflow_is_started_once_signalled_and_waited_for() {
    let shop = Shop::open().await;
    let started = start(&shop, "a%2F1", r#""new door""#).await;
    assert_eq!((started.status, &started.json["started"]), (202, &json!(true)), "{:?}", started.json);
    assert_eq!(started.header("location"), Some("/v1/workflows/approval/a%2F1"));
    let again = start(&shop, "a%2F1", r#" "new door" "#).await;
    assert_eq!((again.status, &again.json["started"]), (202, &json!(false)));
    let other = start(&shop, "a%2F1", r#""old door""#).await;
    assert_eq!((other.status, &other.json["code"]), (422, &json!("HW0122")));
    waits(&shop, "a%2F1").await;
    let shown = shop.get("/v1/workflows/approval/a%2F1").await;
    assert_eq!((&shown.json["state"], &shown.json["why"]), (&json!("waiting"), &json!("signal `decision`")));
    let told = shop.post("/v1/workflows/approval/a%2F1/signals/decision", &[("idempotency-key", "k1")], "true").await;
    assert_eq!((told.status, &told.json["signalled"]), (200, &json!(true)), "{:?}", told.json);
    let again = shop.post("/v1/workflows/approval/a%2F1/signals/decision", &[("idempotency-key", "k1")], "true").await;
    assert_eq!((again.status, &again.json["signalled"]), (200, &json!(false)));
    let ended = shop.ask("GET", "/v1/workflows/approval/a%2F1", &[("prefer", "wait=30")], "").await;
    assert_eq!((&ended.json["state"], &ended.json["output"]), (&json!("completed"), &json!("new door: yes")));
    assert_eq!(ended.header("preference-applied"), Some("wait"));
    let late = shop.post("/v1/workflows/approval/a%2F1/signals/decision", &[], "true").await;
    assert_eq!((late.status, &late.json["code"], &late.json["state"]), (409, &json!("HW0121"), &json!("completed")));
}

#[tokio::test]
async fn whole_records_are_read_page_by_page() {
    let shop = Shop::open().await;
    for id in ["h1", "h2"] {
        start(&shop, id, r#""new door""#).await;
        waits(&shop, id).await;
    }
    let page = async |after: &str| {
        let path = format!("/v1/admin/workflows/histories?state=waiting&limit=1&after={after}");
        let mut stream = shop.stream(&path, &[]).await;
        let mut lines: Vec<Json> = Vec::new();
        while let Some(line) = stream.next().await.unwrap() {
            lines.push(serde_json::from_slice(&line).unwrap());
        }
        lines
    };
    let (first, second) = (page("").await, page("approval/h1").await);
    for (page, id) in [(&first, "h1"), (&second, "h2")] {
        assert_eq!(page.len(), 1, "{page:?}");
        assert_eq!((&page[0]["workflow"], &page[0]["id"], &page[0]["state"]), (&json!("approval"), &json!(id), &json!("waiting")));
        assert_eq!(page[0]["records"][0]["turn"]["cause"]["begin"]["input"], json!("new door"));
    }
    assert_eq!(page("approval/h2").await, [] as [Json; 0]);
    let open = shop.get("/v1/admin/workflows/histories?ended=false&limit=1").await;
    assert_eq!((open.status, &open.json["id"]), (200, &json!("h1")));
    for unfit in ["state=lost", "ended=soon", "ended=false&state=waiting"] {
        assert_eq!(shop.get(&format!("/v1/admin/workflows/histories?{unfit}")).await.code(), "HW0004", "{unfit}");
    }
}

#[tokio::test]
async fn who_prefers_to_wait_is_answered_with_the_end() {
    let shop = Shop::open().await;
    let body = r#""at once""#;
    let headers = [("content-type", "application/json"), ("prefer", "wait=30")];
    let ended = shop.ask("POST", "/v1/workflows/approval/w1", &headers, body).await;
    // It waits for a decision for a tenth of a second.
    assert_eq!((ended.status, &ended.json["state"]), (200, &json!("failed")), "{:?}", ended.json);
    assert_eq!(ended.json["failure"], json!({ "code": "late", "message": "nobody decided", "kind": "failed" }));
    let timeline = shop.get("/v1/workflows/approval/w1/timeline").await.json;
    assert_eq!(timeline["items"][0]["kind"], "step");
    assert_eq!((&timeline["items"][0]["state"], &timeline["items"][0]["undo"]["state"]), (&json!("done"), &json!("done")));
    assert_eq!((&timeline["items"][1]["kind"], &timeline["items"][1]["name"]), (&json!("signal"), &json!("decision")));
}

#[tokio::test]
async fn workflows_are_listed_paused_resumed_and_cancelled() {
    let shop = Shop::open().await;
    for id in ["b1", "a2", "a1"] {
        start(&shop, id, r#""door""#).await;
    }
    let ids = |answer: &Answer| answer.json["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect::<Vec<_>>();
    let page = shop.get("/v1/workflows?limit=2").await;
    assert_eq!(ids(&page), ["a1", "a2"]);
    assert_eq!(ids(&shop.get(page.json["next"].as_str().unwrap()).await), ["b1"]);
    assert_eq!(ids(&shop.get("/v1/workflows/approval?prefix=a").await), ["a1", "a2"]);
    let paused = shop.post("/v1/workflows/approval/a1/pause", &[], r#"{"why":"lunch"}"#).await;
    assert_eq!((&paused.json["paused"], &paused.json["state"]), (&json!(true), &json!("paused")), "{:?}", paused.json);
    assert_eq!(ids(&shop.get("/v1/workflows?state=paused").await), ["a1"]);
    assert_eq!(shop.get("/v1/workflows/approval/a1").await.json["why"], "lunch");
    let resumed = shop.post("/v1/workflows/approval/a1/resume", &[], "").await;
    assert_eq!(resumed.json["resumed"], true, "{:?}", resumed.json);
    waits(&shop, "a1").await;
    for expected in [true, false] {
        let cancelled = shop.post("/v1/workflows/approval/a1/cancel", &[], "").await;
        assert_eq!((cancelled.status, &cancelled.json["cancelled"]), (200, &json!(expected)));
    }
    shop.ask("GET", "/v1/workflows/approval/a1", &[("prefer", "wait=30")], "").await;
    assert_eq!(state(&shop, "a1").await, "cancelled");
    for other in ["a2", "b1"] {
        waits(&shop, other).await;
    }
    let counts = shop.get("/v1/admin/workflows").await.json;
    assert_eq!(counts["counts"], json!({ "waiting": 2, "cancelled": 1 }));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_remedy() {
    let shop = Shop::open().await;
    start(&shop, "a1", r#""door""#).await;
    for (method, path, body, status, code) in [
        ("POST", "/v1/workflows/aproval/a1", r#""x""#, 404, "HW0120"),
        ("GET", "/v1/workflows/approval/nobody", "", 404, "HW0120"),
        ("GET", "/v1/workflows/approval/nobody/timeline", "", 404, "HW0120"),
        ("POST", "/v1/workflows/approval/nobody/cancel", "", 404, "HW0120"),
        ("POST", "/v1/workflows/approval/a1/signals/decison", "true", 404, "HW0120"),
        ("POST", "/v1/workflows/approval/a1/signals/decision", r#""maybe""#, 400, "HW0002"),
        ("POST", "/v1/workflows/approval/a2", "7", 400, "HW0002"),
        ("POST", "/v1/workflows/approval/a2", r#""x"#, 400, "HW0001"),
        ("POST", "/v1/workflows/approval/a1/rerun", "", 400, "HW0002"),
        ("POST", "/v1/workflows/approval/a1/rerun", r#"{"from":"nothing"}"#, 400, "HW0005"),
        ("POST", "/v1/workflows/approval/a1/cancel", r#"{"skip":true}"#, 400, "HW0002"),
        ("POST", "/v1/workflows/approval/a1/fly", "", 404, "HW0010"),
        ("PUT", "/v1/workflows/approval/a1", "", 405, "HW0016"),
        ("GET", "/v1/workflows?state=asleep", "", 400, "HW0004"),
    ] {
        let answer = shop.ask(method, path, &[("content-type", "application/json")], body).await;
        assert_eq!((answer.status, &answer.json["code"]), (status, &json!(code)), "{method} {path}: {:?}", answer.json);
    }
    waits(&shop, "a1").await;
}

#[tokio::test]
async fn a_workflow_runs_again_from_a_step() {
    let shop = Shop::open().await;
    start(&shop, "r1", r#""door""#).await;
    shop.post("/v1/workflows/approval/r1/signals/decision", &[], "true").await;
    shop.ask("GET", "/v1/workflows/approval/r1", &[("prefer", "wait=30")], "").await;
    let rerun = shop.post("/v1/workflows/approval/r1/rerun", &[], r#"{"from":"decision"}"#).await;
    assert_eq!((rerun.status, &rerun.json["rerun"]), (200, &json!(true)), "{:?}", rerun.json);
    let ended = shop.ask("GET", "/v1/workflows/approval/r1", &[("prefer", "wait=30")], "").await;
    assert_eq!(ended.json["output"], "door: yes", "the signal that was taken is taken again");
}
