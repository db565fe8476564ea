//! Schemas from the command line, as CI runs them: recorded from a shop that runs, and then without it.

use serde_json::{Value as Json, json};

use super::process::{Directory, Shop, check_code, json_lines, run, stderr, stdout};

/// A shop with some carts, its samples and its snapshot.
fn recorded() -> Directory {
    let directory = Directory::new();
    let mut shop = Shop::start_all(&directory, &["--empty"]);
    for (cart, quantity) in [("c1", 1), ("c2", 2)] {
        let body = json!({ "sku": "mug", "quantity": quantity }).to_string();
        check_code(&run(&directory, ["send", "cart", cart, "add-item", &body, "--url", &shop.url]), 0);
    }
    let done = run(&directory, ["schema", "record", "--out", "samples", "--per-shape", "1", "--url", &shop.url]);
    check_code(&done, 0);
    assert!(stderr(&done).contains("wrote"), "{}", stderr(&done));
    let listed = run(&directory, ["schema", "list", "--url", &shop.url]);
    assert!(stdout(&listed).contains("cart/event/item-added"), "{}", stdout(&listed));
    let none = run(&directory, ["schema", "diff", "--against", &shop.url]);
    check_code(&none, 0);
    assert_eq!(stdout(&none), "");
    shop.signal("TERM");
    assert_eq!(shop.ended(), Some(0));
    directory
}

fn read(directory: &Directory, name: &str) -> Vec<Json> {
    json_lines(&std::fs::read_to_string(directory.path().join("samples").join(name)).expect("it was recorded"))
}

fn write(directory: &Directory, name: &str, lines: &[Json]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(directory.path().join("samples").join(name), text).expect("the file is written");
}

#[test]
fn samples_and_snapshots_are_checked_without_a_service() {
    let directory = recorded();
    let name = "cart.event.item-added.ndjson";
    assert_eq!(
        read(&directory, name),
        [json!({ "shape": "cart/event/item-added", "version": 1, "data": { "sku": "mug", "quantity": 1 } })]
    );
    check_code(&run(&directory, ["schema", "check", "samples"]), 0);
    for against in ["samples/schemas.ndjson", "journal"] {
        let same = run(&directory, ["schema", "diff", "--against", against]);
        check_code(&same, 0);
        assert_eq!(stdout(&same), "", "{against}");
    }
    let offline = run(&directory, ["schema", "show", "cart/event/item-added", "--offline"]);
    assert_eq!(serde_json::from_str::<Json>(&stdout(&offline)).expect("it is JSON")["required"], json!(["sku", "quantity"]));
    check_code(&run(&directory, ["schema", "show", "cart/event/nothing", "--offline"]), 4);
    check_code(&run(&directory, ["schema", "check", "nowhere"]), 4);

    // What the code does not read stands with its file and line.
    let mut samples = read(&directory, name);
    samples.push(json!({ "shape": "cart/event/item-added", "version": 1, "data": { "sku": "mug" } }));
    samples.push(json!({ "shape": "cart/event/lost", "version": 1, "data": {} }));
    write(&directory, name, &samples);
    let failed = run(&directory, ["schema", "check", "samples"]);
    check_code(&failed, 1);
    let lines: Vec<String> = stdout(&failed).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("samples/cart.event.item-added.ndjson:2: HW0144: ") && lines[0].contains("missing field `quantity`"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("samples/cart.event.item-added.ndjson:3: HW0144: ") && lines[1].contains("unknown to this build"),
        "{lines:?}"
    );
    let json = json_lines(&stdout(&run(&directory, ["schema", "check", "samples", "--format", "json"])));
    assert_eq!((&json[0]["line"], &json[0]["code"]), (&json!(2), &json!("HW0144")));
}

#[test]
fn a_snapshot_that_the_code_does_not_follow_is_told_of_shape_by_shape() {
    let directory = recorded();
    let mut shapes = read(&directory, "schemas.ndjson");
    for shape in &mut shapes {
        match shape["shape"].as_str() {
            Some("cart/event/item-added") => shape["registered"][0]["schema"]["properties"]["quantity"] = json!({ "type": "string" }),
            Some("cart/event/item-removed") => shape["registered"][0]["version"] = json!(2),
            Some("cart/event/checked-out") => shape["shape"] = json!("cart/event/paid"),
            _ => {}
        }
        shape["registered"][0]["fingerprint"] = json!(format!("{}x", shape["registered"][0]["fingerprint"].as_str().unwrap_or_default()));
    }
    write(&directory, "schemas.ndjson", &shapes);
    let diff = run(&directory, ["schema", "diff", "--against", "samples/schemas.ndjson"]);
    check_code(&diff, 1);
    let text = stdout(&diff);
    for words in [
        "+ cart/event/checked-out version 1",
        "~ cart/event/item-added version 1",
        "- cart/event/paid",
        "! HW0140: cart/event/item-added version 1",
        "at /properties/quantity: reads integer, written string",
        "! HW0142: cart/event/item-removed version 1: version 2 was registered",
        "! HW0142: cart/event/paid version 1: the code does not have it any more",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let checked = run(&directory, ["schema", "check", "samples/schemas.ndjson"]);
    check_code(&checked, 1);
    let place = 1 + shapes.iter().position(|shape| shape["shape"] == "cart/event/item-added").expect("it is there");
    assert!(stdout(&checked).contains(&format!("samples/schemas.ndjson:{place}: HW0140: ")), "{}", stdout(&checked));
}

/// A record of `shipping` that waits for its payment, in which the first thing that was asked for has this name.
fn kept(asked: &str) -> Json {
    let input = json!({ "items": {} });
    let begun = json!({ "cause": { "begin": { "run": 1, "input": input } }, "now": 1, "asked": [{ "kind": "step", "name": asked, "undo": "call-off" }], "state": "running" });
    let charged = json!({ "cause": { "done": { "number": 0, "result": null } }, "now": 2, "asked": [{ "kind": "signal", "name": "paid", "due": 900_000_002 }],
        "state": "waiting", "due": 900_000_002, "why": "signal `paid`" });
    let records = json!([{ "name": "started", "turn": begun }, { "name": "waiting", "turn": charged }]);
    let data = json!({ "workflow": "shipping", "id": format!("o-{asked}"), "state": "waiting", "records": records });
    json!({ "shape": "workflow:shipping/history", "version": 1, "data": data })
}

#[test]
fn workflows_that_would_not_go_on_are_named_before_a_deployment() {
    let directory = recorded();
    write(&directory, "workflow-shipping.history.ndjson", &[kept("charge")]);
    for command in ["workflow", "schema"] {
        check_code(&run(&directory, [command, "check", "samples"]), 0);
    }
    write(&directory, "workflow-shipping.history.ndjson", &[kept("charge"), kept("bill")]);
    let failed = run(&directory, ["workflow", "check", "samples"]);
    check_code(&failed, 1);
    assert!(stderr(&failed).contains("2 workflows: 1 go on, 0 have ended, 1 do not go on with this code"), "{}", stderr(&failed));
    let text = stdout(&failed);
    assert!(text.starts_with("shipping/o-bill (waiting): HW0145: ") && text.lines().count() == 1, "{text}");
    assert!(text.contains("recorded is step `bill`, and the code asks for step `charge`"), "{text}");
    let lines = json_lines(&stdout(&run(&directory, ["workflow", "check", "samples", "--json"])));
    assert_eq!((&lines[0]["id"], &lines[0]["code"]), (&json!("o-bill"), &json!("HW0145")));
    let checked = run(&directory, ["schema", "check", "samples"]);
    check_code(&checked, 1);
    assert!(stdout(&checked).contains("samples/workflow-shipping.history.ndjson:2: HW0145: "), "{}", stdout(&checked));
}

#[test]
fn a_check_of_workflows_that_finds_none_in_files_is_refused() {
    let directory = recorded();
    for arguments in [&["workflow", "check", "samples"][..], &["workflow", "check", "samples", "--workflow", "shipping"]] {
        let refused = run(&directory, arguments);
        check_code(&refused, 4);
        assert!(stderr(&refused).contains("there is no record of"), "{}", stderr(&refused));
    }
    write(&directory, "workflow-shipping.history.ndjson", &[kept("charge")]);
    let refused = run(&directory, ["workflow", "check", "samples", "--workflow", "shiping"]);
    check_code(&refused, 4);
    assert!(stderr(&refused).contains("the code has none of that name; it has: "), "{}", stderr(&refused));
}

#[test]
fn every_record_of_a_workflow_in_files_is_checked() {
    let directory = recorded();
    let mut newer = kept("bill");
    newer["data"]["id"] = json!("o-charge");
    write(&directory, "workflow-shipping.history.ndjson", &[kept("charge"), newer]);
    let failed = run(&directory, ["workflow", "check", "samples"]);
    check_code(&failed, 1);
    assert!(stderr(&failed).contains("2 workflows: 1 go on"), "{}", stderr(&failed));
}

#[test]
fn one_whose_record_was_not_read_is_not_checked_and_that_is_no_success() {
    let directory = recorded();
    let mut large = kept("charge");
    large["data"]["unread"] = json!("its record has too many bytes");
    write(&directory, "workflow-shipping.history.ndjson", &[large]);
    let failed = run(&directory, ["workflow", "check", "samples"]);
    check_code(&failed, 1);
    assert!(stderr(&failed).contains("0 do not go on with this code, 1 were not checked"), "{}", stderr(&failed));
    assert_eq!(stdout(&failed), "shipping/o-charge (waiting): its record has too many bytes\n");
    check_code(&run(&directory, ["schema", "check", "samples"]), 1);
}

#[test]
fn workflows_of_a_service_that_runs_are_checked_over_http() {
    let directory = Directory::new();
    let mut shop = Shop::start_all(&directory, &["--empty"]);
    check_code(&run(&directory, ["workflow", "start", "shipping", "o1", "{\n \"items\": {}\n}", "--url", &shop.url]), 0);
    let checked = run(&directory, ["workflow", "check", "--url", &shop.url]);
    check_code(&checked, 0);
    // It may have been paid for and sent meanwhile: whoever has ended is not asked for.
    assert!(stderr(&checked).contains("0 do not go on"), "{}", stderr(&checked));
    check_code(&run(&directory, ["workflow", "check", "--workflow", "shiping", "--url", &shop.url]), 4);
    shop.signal("TERM");
    assert_eq!(shop.ended(), Some(0));
}
