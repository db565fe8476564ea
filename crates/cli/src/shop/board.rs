//! The shop's live order board: a page over the shop's views, as a service of anybody could have one.
//!
//! Plain files, no build step, nothing from elsewhere. Everything on it comes from live queries; it sends nothing.

use headwater::Service;
use headwater::prelude::Page;

/// Where the board is.
pub(crate) const PATH: &str = "/board";

/// The shop with its board.
pub(super) fn with_board(shop: Service) -> Service {
    shop.page(PATH, Page::html(include_str!("board/board.html")))
        .page("/board/board.css", Page::style(include_str!("board/board.css")))
        .page("/board/board.js", Page::script(include_str!("board/board.js")))
        .page("/board/table.js", Page::script(include_str!("board/table.js")))
        .page("/board/icon.svg", Page::svg(include_str!("board/icon.svg")))
        .page("/live-query.js", Page::live_query())
}
