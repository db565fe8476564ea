//! Which node has which share of a duty: a function of who is there, the same on every node.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998) with a bound: each share goes to the node with the highest hash of node and share among
//! those that have less than their part of the shares. One that comes or goes moves few shares but its own.

use journal::EntityKey;

use super::Share;

/// Who is to have this share; nothing when nobody can do the duty.
pub(super) fn owner<'a>(able: &[&'a str], duty: &str, share: Share) -> Option<&'a str> {
    let most = usize::from(share.of).div_ceil(able.len().max(1));
    let mut loads = vec![0_usize; able.len()];
    let mut owner = None;
    for index in 0..=share.index {
        let free = (0..able.len()).filter(|node| loads[*node] < most);
        let node = free.max_by_key(|node| score(able[*node], duty, index))?;
        loads[node] += 1;
        owner = Some(able[node]);
    }
    owner
}

fn score(node: &str, duty: &str, index: u16) -> [u8; 16] {
    let (node, duty) = (cut(node), cut(duty));
    let key = EntityKey::new("share", &format!("{node} {duty} {index}"));
    // What does not fit a key is no name of ours.
    key.map_or([0; 16], |key| key.hash().0)
}

/// Names are bounded where they are given; a key has 256 bytes at most.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(120)]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn spread(able: &[&'static str]) -> Vec<&'static str> {
        Share::all(16).filter_map(|share| owner(able, "consumer/bill", share)).collect()
    }

    fn loads(owners: &[&'static str]) -> BTreeMap<&'static str, usize> {
        owners.iter().fold(BTreeMap::new(), |mut loads, owner| {
            *loads.entry(*owner).or_default() += 1;
            loads
        })
    }

    #[test]
    fn shares_are_spread_evenly_and_in_the_same_way_whatever_the_order_of_nodes() {
        let three = spread(&["a", "b", "c"]);
        assert_eq!(three, spread(&["c", "a", "b"]));
        assert!(loads(&three).len() == 3 && loads(&three).values().all(|load| (4..=6).contains(load)), "{three:?}");
        assert_eq!(spread(&["a"]), vec!["a"; 16]);
        assert!(spread(&[]).is_empty());
    }

    #[test]
    fn who_stays_keeps_most_of_what_it_has() {
        let (three, two) = (spread(&["a", "b", "c"]), spread(&["a", "b"]));
        let moved = three.iter().zip(&two).filter(|(before, after)| **before != "c" && before != after).count();
        assert!(moved <= 4, "{three:?} {two:?}");
    }

    #[test]
    fn duties_that_are_whole_are_spread_too() {
        let owners: Vec<_> = (0..40).filter_map(|number| owner(&["a", "b"], &format!("processor/p{number}"), Share::WHOLE)).collect();
        assert!(loads(&owners).values().all(|load| *load >= 8), "{owners:?}");
    }
}
