//! Pages beside the API: what a browser is told about them, and that they take nothing of the API's.

use crate::shop::Shop;

#[tokio::test]
async fn a_page_comes_whole_and_then_only_when_it_has_changed() {
    let shop = Shop::open().await;
    assert_eq!(shop.text("/board", "text/html").await, "<!doctype html><title>shop</title>");
    let page = shop.get("/board?customer=%zz").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!((page.header("cache-control"), page.header("x-content-type-options")), (Some("no-cache"), Some("nosniff")));
    let tag = page.header("etag").unwrap();
    for known in [tag, "*", &format!("\"other\", W/{tag}")] {
        let again = shop.ask("GET", "/board", &[("if-none-match", known)], "").await;
        assert_eq!((again.status, again.header("etag")), (304, Some(tag)), "{known}");
    }
    assert_eq!(shop.ask("GET", "/board", &[("if-none-match", "\"other\"")], "").await.status, 200);
}

#[tokio::test]
async fn a_browser_may_run_and_load_what_the_service_serves_and_nothing_else() {
    let shop = Shop::open().await;
    for path in ["/board", "/live-query.js"] {
        let page = shop.get(path).await;
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    }
}

#[tokio::test]
async fn pages_are_read_only_and_hide_nothing() {
    let shop = Shop::open().await;
    let head = shop.ask("HEAD", "/board", &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("34")));
    for method in ["POST", "PUT", "DELETE"] {
        let refused = shop.ask(method, "/board", &[], "x").await;
        assert_eq!((refused.status, refused.code(), refused.header("allow")), (405, "HW0016", Some("GET, HEAD")), "{method}");
    }
    for path in ["/board/", "/live%2Dquery.js", "/nothing"] {
        assert_eq!(shop.get(path).await.code(), "HW0010", "{path}");
    }
    assert_eq!(shop.get("/livez").await.status, 200);
}
