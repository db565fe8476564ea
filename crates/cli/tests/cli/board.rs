//! The shop's live order board in a real browser.

use serde_json::json;

use super::browser::Browser;
use super::process::{Directory, Shop, check_code, run};

/// Remembers the page's live queries, so that a test can count them.
const COUNT_STREAMS: &str = "const Given = window.EventSource; window.streams = [];
    window.EventSource = class extends Given { constructor(...all) { super(...all); window.streams.push(this); } };";
const OPEN_STREAMS: &str = "window.streams.filter((stream) => stream.readyState !== 2).length";
const IS_LIVE: &str = "document.querySelector('#connection').dataset.state === 'live'";

fn send(directory: &Directory, shop: &Shop, what: [&str; 3], body: &serde_json::Value) {
    let body = body.to_string();
    let sent = run(directory, ["send", what[0], what[1], what[2], &body, "--url", &shop.url]);
    check_code(&sent, 0);
}

fn place(directory: &Directory, shop: &Shop, id: &str, customer: &str, description: &str) {
    let order = json!({ "customer": customer, "country": "Malta", "placed_at": "2010-12-01 08:26:00" });
    send(directory, shop, ["order", id, "place"], &order);
    let line = json!({
        "line": 1, "sku": format!("sku-{id}"), "description": description, "quantity": 1_000, "price": "1234.5678", "at": "2010-12-01 08:26:00"
    });
    send(directory, shop, ["order", id, "add-line"], &line);
}

/// Whether an order is in a stage of the board, and nowhere else.
fn is_in(id: &str, stage: &str) -> String {
    format!(
        "(() => {{ const places = [...document.querySelectorAll('.card')].filter((card) => card.dataset.key === '{id}')
            .map((card) => card.closest('.stage').dataset.stage); return places.length === 1 && places[0] === '{stage}'; }})()"
    )
}

fn opened(directory: &Directory, shop: &Shop) -> Option<Browser> {
    let mut browser = Browser::start(directory)?;
    browser.prepare(COUNT_STREAMS);
    browser.open(&format!("{}/board", shop.url));
    browser.wait_until("document.readyState === 'complete'");
    browser.wait_until(IS_LIVE);
    Some(browser)
}

#[test]
fn the_board_follows_the_shop_through_a_kill() {
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--empty"]);
    let Some(mut browser) = opened(&directory, &shop) else { return };
    browser.ask("window.same = true");
    place(&directory, &shop, "o1", "17850", "a mug");
    browser.wait_until(&is_in("o1", "placed"));
    browser.wait_until("document.querySelector('#sales-rows').innerText.includes('1\u{202f}234\u{202f}567.8000')");
    browser.wait_until("document.querySelector('#product-rows').innerText.includes('a mug')");
    send(&directory, &shop, ["cart", "o2", "add-item"], &json!({ "sku": "mug", "quantity": 2 }));
    browser.wait_until(&is_in("o2", "filling"));
    send(&directory, &shop, ["cart", "o2", "check-out"], &json!({}));
    browser.wait_until(&is_in("o2", "packed"));
    assert_eq!(browser.take_complaints(), [""; 0]);

    shop.kill();
    browser.wait_until("document.querySelector('#connection').dataset.state === 'disconnected'");
    browser.wait_until(&is_in("o1", "placed"));
    let address = shop.url.trim_start_matches("http://").to_owned();
    let shop = Shop::start_at(&directory, &address, &["--empty"]);
    browser.wait_until(IS_LIVE);
    send(&directory, &shop, ["order", "o1", "cancel"], &json!({ "reason": "late" }));
    browser.wait_until(&is_in("o1", "cancelled"));
    assert_eq!(browser.ask("window.same"), true, "the page was not loaded again");
    let complaints: Vec<_> = browser.take_complaints().into_iter().filter(|words| !words.contains("net::ERR_")).collect();
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn what_looks_like_html_stays_a_text_on_the_board() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let Some(mut browser) = opened(&directory, &shop) else { return };
    let (id, customer, description) = ("<i>o1</i>", "<b onclick=alert(1)>x", "<img src=x onerror=\"document.title='taken'\">");
    place(&directory, &shop, id, customer, description);
    browser.wait_until(&format!("document.querySelector('.card .id')?.textContent === {}", json!(id)));
    browser.wait_until(&format!("document.querySelector('#product-rows .description')?.textContent === {}", json!(description)));
    browser.ask("document.querySelector('.card .customer').click()");
    browser.wait_until(&format!("document.querySelector('#customer-rows th')?.textContent === {}", json!(id)));
    assert_eq!(browser.ask("document.querySelector('#customer-name').value"), customer);
    assert_eq!(browser.ask("document.querySelectorAll('main i, main b, main img, main script').length"), 0);
    assert_eq!(browser.ask("document.title"), "Order board");
    assert_eq!(browser.take_complaints(), [""; 0]);
}

#[test]
fn the_board_holds_four_streams_at_most_and_none_while_it_is_hidden() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let Some(mut browser) = opened(&directory, &shop) else { return };
    assert_eq!(browser.ask(OPEN_STREAMS), 3);
    place(&directory, &shop, "o1", "17850", "a mug");
    browser.wait_until("document.querySelector('#sales-rows button')");
    browser.ask("document.querySelector('#sales-rows button').click()");
    browser.ask("document.querySelector('.card .customer').click()");
    browser.wait_until("document.querySelector('#sales-rows th')?.textContent === '2010-12-01'");
    browser.wait_until("document.querySelector('#customer-rows th')?.textContent === 'o1'");
    assert_eq!(browser.ask(OPEN_STREAMS), 4);
    let show = |state| {
        format!(
            "Object.defineProperty(document, 'visibilityState', {{ value: '{state}', configurable: true }});
             document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    browser.ask(&show("hidden"));
    assert_eq!(browser.ask(OPEN_STREAMS), 0);
    place(&directory, &shop, "o2", "17850", "a cup");
    browser.ask(&show("visible"));
    browser.wait_until(IS_LIVE);
    browser.wait_until(&is_in("o2", "placed"));
    assert_eq!(browser.take_complaints(), [""; 0]);
}

#[test]
fn the_board_begins_anew_when_the_shop_has_another_history() {
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--empty"]);
    let Some(mut browser) = opened(&directory, &shop) else { return };
    place(&directory, &shop, "o1", "17850", "a mug");
    browser.wait_until(&is_in("o1", "placed"));
    shop.kill();
    browser.wait_until("document.querySelector('#connection').dataset.state === 'disconnected'");
    let address = shop.url.trim_start_matches("http://").to_owned();
    let shop = Shop::start_at(&directory, &address, &["--empty", "--data", "other"]);
    place(&directory, &shop, "o2", "17850", "a cup");
    browser.wait_until(&is_in("o2", "placed"));
    browser.wait_until(IS_LIVE);
    assert_eq!(browser.ask("document.querySelectorAll('.card').length"), 1);
}

/// A page that follows a stream, as the guide has it; it remembers what it was told, and with which code each connection ended.
const FOLLOW: &str = "window.told = []; window.ended = []; window.opened = 0;
    let after = 'now';
    function follow() {
        const socket = new WebSocket(`/v1/streams/shop?type=order/placed&credit=1&after=${after}`, 'headwater.events.v1');
        socket.onopen = () => { window.opened += 1; };
        socket.onmessage = ({ data }) => {
            const message = JSON.parse(data);
            after = message.cursor ?? message.progress?.cursor ?? after;
            if (!message.specversion) return;
            window.told.push(message.subject);
            socket.send('{\"credit\":1}');
        };
        socket.onclose = ({ code }) => { window.ended.push(code); setTimeout(follow, 50); };
    }
    follow();";

#[test]
fn a_page_follows_a_stream_over_a_websocket_through_a_stop_and_a_kill() {
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--empty"]);
    let Some(mut browser) = opened(&directory, &shop) else { return };
    let address = shop.url.trim_start_matches("http://").to_owned();
    place(&directory, &shop, "before", "17850", "a mug");
    browser.ask(FOLLOW);
    browser.wait_until("window.opened === 1");
    for id in ["o1", "o2", "o3"] {
        place(&directory, &shop, id, "17850", "a mug");
    }
    browser.wait_until("window.told.length === 3");
    shop.signal("TERM");
    assert_eq!(shop.ended(), Some(0));
    browser.wait_until("window.ended[0] === 1012");
    let mut shop = Shop::start_at(&directory, &address, &["--empty"]);
    place(&directory, &shop, "o4", "17850", "a mug");
    browser.wait_until("window.told.length === 4");
    shop.kill();
    let shop = Shop::start_at(&directory, &address, &["--empty"]);
    place(&directory, &shop, "o5", "17850", "a mug");
    browser.wait_until("window.told.length === 5");
    assert_eq!(browser.ask("window.told"), json!(["o1", "o2", "o3", "o4", "o5"]));
}

#[test]
fn a_page_of_another_origin_gets_no_websocket() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let Some(mut browser) = Browser::start(&directory) else { return };
    let stream = shop.url.replace("http://", "ws://") + "/v1/streams/shop";
    let tries = format!(
        "new Promise((told) => {{ const socket = new WebSocket('{stream}'); socket.onopen = () => told('opened'); socket.onclose = () => told('refused'); }})"
    );
    browser.open("about:blank");
    assert_eq!(browser.ask(&tries), "refused");
    browser.open(&format!("{}/board", shop.url));
    browser.wait_until("document.readyState === 'complete'");
    assert_eq!(browser.ask(&tries), "opened", "the address is right");
}

/// What a service says to a live query, and what the script makes of it. The connection is cut within the second update; at the end the
/// service refuses, and says why when it is asked.
const DIALOGUE: &str = "(async () => {
    class Said extends EventTarget {
        static CLOSED = 2;
        readyState = 1;
        constructor() { super(); Said.last = this; }
        close() { this.readyState = 2; }
        say(type, data, lastEventId) { this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data), lastEventId })); }
    }
    const { liveQuery } = await import('/live-query.js');
    window.EventSource = Said;
    const told = [];
    const query = liveQuery('/x', {
        onRows: (rows, keys) => told.push(rows.join('') + ' ' + keys.join('')),
        onState: (state, detail) => told.push(state + detail),
    });
    const say = (...event) => Said.last.say(...event);
    say('snapshot', { items: ['a', 'b', 'c'], keys: [[1], [2], [3]] }, 'c1');
    say('caught-up', {}, 'c1');
    say('gone', { key: [1] }, 'c1');
    say('row', { at: 0, key: [3], row: 'C' }, 'c2');
    say('gone', { key: [2] }, 'c2');
    Said.last.dispatchEvent(new Event('error'));
    say('gone', { key: [2] }, 'c2');
    say('row', { at: 1, key: [4], row: 'd' }, 'c3');
    say('caught-up', {}, 'c3');
    say('gap', { detail: ' too slow' }, 'c3');
    Said.last.dispatchEvent(new Event('error'));
    say('reset', { items: ['z'], keys: [[9]] }, 'c4');
    const given = Said.last;
    given.readyState = Said.CLOSED;
    given.dispatchEvent(new Event('error'));
    await new Promise((done) => {
        const look = () => (Said.last === given ? setTimeout(look, 20) : done());
        look();
    });
    say('snapshot', { items: ['y'], keys: [[8]] }, 'c5');
    query.close();
    return told;
})()";

#[test]
fn an_update_of_a_live_query_is_told_whole_or_not_at_all() {
    let directory = Directory::new();
    let shop = Shop::start(&directory, &["--empty"]);
    let Some(mut browser) = opened(&directory, &shop) else { return };
    let told = browser.ask(DIALOGUE);
    let expected = [
        "connecting",
        "abc [1][2][3]",
        "live",
        "Cb [3][2]",
        "disconnected",
        "Cd [3][4]",
        "live",
        "disconnected too slow",
        "disconnected too slow",
        "z [9]",
        "disconnected too slow",
        "disconnectedthere is nothing at `/x`; /openapi.json lists what there is",
        "y [8]",
        "closed",
    ];
    assert_eq!(told, json!(expected));
}
