extern crate headwater_component as headwater;

use headwater::Rejection;

#[derive(Rejection)]
enum StockRejection {
    #[rejection("out-of-stock", "only {rest} left")]
    OutOfStock { left: u32 },
}

fn main() {}
