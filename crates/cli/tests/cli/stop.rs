//! Signals: the first drains.

use super::process::{Directory, Shop};

#[test]
fn ctrl_c_ends_an_idle_shop_with_0() {
    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--empty"]);
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(0));
}

#[test]
fn a_second_signal_forces_the_end() {
    use std::io::Write as _;

    let directory = Directory::new();
    let mut shop = Shop::start(&directory, &["--empty", "--drain-seconds", "600"]);
    // A request that never ends keeps the drain waiting.
    let mut half = std::net::TcpStream::connect(shop.url.trim_start_matches("http://")).expect("it listens");
    half.write_all(
        b"POST /v1/entities/cart/c1/add-item HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
    )
    .expect("it reads");
    std::thread::sleep(std::time::Duration::from_millis(200));
    shop.signal("TERM");
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(shop.child.try_wait().expect("the process is ours").is_none(), "it waits for the request");
    shop.signal("INT");
    assert_eq!(shop.ended(), Some(130));
}
