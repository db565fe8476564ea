extern crate headwater_component as headwater;

use headwater::Rejection;

#[derive(Rejection)]
enum CartRejection {
    #[rejection("already-paid")]
    AlreadyPaid,
}

fn main() {}
