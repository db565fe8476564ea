//! The tree over the events of a history: RFC 6962's, with BLAKE3.
//!
//! ```text
//! node          BLAKE3(0x01 | left [32] | right [32])
//! root of n     n = 0: BLAKE3 of nothing; n = 1: the leaf; else node(root of the first k, root of the other n - k), k the largest power of 2 below n
//! ```
//!
//! Leaf `i` is the event at position `i + 1`, whatever segment it lies in: a root says how many events it covers and nothing of how they are
//! stored, so that it holds in a restored copy too, up to the fork. What a [`Leaves`] keeps of a run of events is the largest
//! whole subtrees in it, at most two for each level: runs that follow each other add up to the tree, and whoever has the runs of all
//! segments needs the events of one only to prove it.

/// A BLAKE3 hash.
pub(crate) type Hash = [u8; 32];

const NODE: u8 = 1;

/// The parent of two subtrees.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [NODE; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    *blake3::hash(&bytes).as_bytes()
}

/// A whole subtree: the leaves from `index << level` on, `1 << level` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subtree {
    pub(crate) level: u32,
    pub(crate) index: u64,
    pub(crate) hash: Hash,
}

impl Subtree {
    pub(crate) fn first(&self) -> u64 {
        self.index << self.level
    }

    pub(crate) fn end(&self) -> u64 {
        (self.index + 1) << self.level
    }
}

/// A run of leaves, as the largest whole subtrees in it, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaves {
    subtrees: Vec<Subtree>,
    next: u64,
}

impl Leaves {
    /// No leaf yet; the first one will have this number.
    pub(crate) fn from(first: u64) -> Self {
        Self { subtrees: Vec::new(), next: first }
    }

    /// The run from `first` to `end` whose subtrees have these hashes; `None` when they are not as many as such a run has.
    pub(crate) fn of(first: u64, end: u64, hashes: &[Hash]) -> Option<Self> {
        let (mut leaves, mut hashes) = (Self::from(first), hashes.iter());
        while leaves.next < end {
            let (at, left) = (leaves.next, end - leaves.next);
            let level = left.ilog2().min(at.trailing_zeros());
            leaves.subtrees.push(Subtree { level, index: at >> level, hash: *hashes.next()? });
            leaves.next = at + (1 << level);
        }
        (hashes.next().is_none() && leaves.next == end).then_some(leaves)
    }

    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn subtrees(&self) -> &[Subtree] {
        &self.subtrees
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        self.add(Subtree { level: 0, index: self.next, hash: leaf });
    }

    /// Adds a subtree that begins where the run ends.
    pub(crate) fn add(&mut self, mut subtree: Subtree) {
        assert!(subtree.first() == self.next, "runs of leaves follow each other");
        self.next = subtree.end();
        while let Some(left) = self.subtrees.pop_if(|left| subtree.index % 2 == 1 && left.level == subtree.level) {
            subtree = Subtree { level: subtree.level + 1, index: subtree.index / 2, hash: node(&left.hash, &subtree.hash) };
        }
        self.subtrees.push(subtree);
    }

    /// Adds the run that begins where this one ends.
    pub(crate) fn append(&mut self, run: &Self) {
        run.subtrees.iter().for_each(|subtree| self.add(*subtree));
    }

    /// The root over the run; it must begin at a place where a subtree of its length may.
    pub(crate) fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(last) = subtrees.next() else { return *blake3::hash(&[]).as_bytes() };
        subtrees.fold(last.hash, |right, left| node(&left.hash, &right))
    }
}

/// Where the sibling on a path lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The path from a leaf to the root of the first `size` leaves, collected while the leaves and subtrees go by in order.
pub(crate) struct Path {
    leaf: u64,
    /// From the root down.
    siblings: Vec<(Side, u64, Leaves)>,
}

impl Path {
    /// `leaf` is below `size`.
    pub(crate) fn new(leaf: u64, size: u64) -> Self {
        let (mut first, mut end, mut siblings) = (0, size, Vec::new());
        while end - first > 1 {
            let middle = first + (1 << (end - first - 1).ilog2());
            if leaf < middle {
                siblings.push((Side::Right, end, Leaves::from(middle)));
                end = middle;
            } else {
                siblings.push((Side::Left, middle, Leaves::from(first)));
                first = middle;
            }
        }
        Self { leaf, siblings }
    }

    /// Takes a subtree, which neither holds the leaf (unless it is the leaf) nor lies beyond the size.
    pub(crate) fn add(&mut self, subtree: Subtree) {
        let takes = |(_, end, leaves): &&mut (Side, u64, Leaves)| leaves.next == subtree.first() && subtree.end() <= *end;
        match self.siblings.iter_mut().find(takes) {
            Some((_, _, leaves)) => leaves.add(subtree),
            None => assert!(subtree.first() == self.leaf && subtree.level == 0, "each subtree but the leaf is part of one sibling"),
        }
    }

    /// The hashes of the siblings, from the leaf up.
    pub(crate) fn hashes(&self) -> Vec<Hash> {
        self.siblings.iter().rev().map(|(_, _, leaves)| leaves.root()).collect()
    }
}

/// The root that a leaf and its path lead to; `None` when the path is not as long as it must be.
pub(crate) fn root_from_path(leaf: Hash, number: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let sides = Path::new(number, size).siblings;
    if number >= size || sides.len() != path.len() {
        return None;
    }
    Some(path.iter().zip(sides.iter().rev()).fold(leaf, |hash, (sibling, (side, _, _))| match side {
        Side::Left => node(sibling, &hash),
        Side::Right => node(&hash, sibling),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(number: u64) -> Hash {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    /// RFC 6962, section 2.1, word for word.
    fn reference(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => *blake3::hash(&[]).as_bytes(),
            [one] => *one,
            more => {
                let mut split = 1;
                while split * 2 < more.len() {
                    split *= 2;
                }
                node(&reference(&more[..split]), &reference(&more[split..]))
            }
        }
    }

    #[test]
    fn the_root_of_every_prefix_is_the_one_of_the_rfc() {
        let leaves: Vec<Hash> = (0..130).map(leaf).collect();
        let mut run = Leaves::from(0);
        for size in 0..=leaves.len() {
            assert_eq!(run.root(), reference(&leaves[..size]), "{size}");
            leaves.get(size).into_iter().for_each(|leaf| run.push(*leaf));
        }
    }

    #[test]
    fn runs_add_up_to_the_tree_wherever_they_are_cut() {
        let leaves: Vec<Hash> = (0..70).map(leaf).collect();
        for (first, second) in [(0, 1), (1, 2), (7, 64), (13, 70), (32, 33), (63, 65), (69, 70)] {
            let mut whole = Leaves::from(0);
            for (from, to) in [(0, first), (first, second), (second, 70)] {
                let mut run = Leaves::from(from as u64);
                leaves[from..to].iter().for_each(|leaf| run.push(*leaf));
                let hashes: Vec<Hash> = run.subtrees().iter().map(|subtree| subtree.hash).collect();
                assert_eq!(Leaves::of(from as u64, to as u64, &hashes).as_ref(), Some(&run));
                let fewer = hashes.get(1..).and_then(|fewer| Leaves::of(from as u64, to as u64, fewer));
                assert_eq!(fewer, None, "a subtree is missing");
                assert_eq!(Leaves::of(from as u64, to as u64, &[&*hashes, &[[0; 32]]].concat()), None, "one is too many");
                whole.append(&run);
            }
            assert_eq!(whole.root(), reference(&leaves), "{first} {second}");
        }
    }

    #[test]
    fn a_path_leads_from_every_leaf_to_the_root_and_from_no_other() {
        for size in 1..40 {
            let leaves: Vec<Hash> = (0..size).map(leaf).collect();
            for number in 0..size {
                let mut path = Path::new(number, size);
                leaves.iter().zip(0..).for_each(|(hash, index)| path.add(Subtree { level: 0, index, hash: *hash }));
                let (hashes, root) = (path.hashes(), reference(&leaves));
                assert_eq!(root_from_path(leaf(number), number, size, &hashes), Some(root), "{number} of {size}");
                assert_ne!(root_from_path(leaf(size), number, size, &hashes), Some(root), "{number} of {size}");
                assert_eq!(root_from_path(leaf(number), number, size, &[&*hashes, &[[0; 32]]].concat()), None);
                let other = (number + 1) % size;
                let moved = root_from_path(leaf(number), other, size, &hashes);
                assert!(size == 1 || moved != Some(root), "{number} of {size} is not {other}");
            }
        }
    }

    #[test]
    fn a_path_takes_whole_subtrees_where_the_leaf_is_not() {
        let mut path = Path::new(5, 23);
        let mut rest = Leaves::from(6);
        (6..23).for_each(|number| rest.push(leaf(number)));
        let mut front = Leaves::from(0);
        (0..5).for_each(|number| front.push(leaf(number)));
        front.subtrees().iter().for_each(|subtree| path.add(*subtree));
        path.add(Subtree { level: 0, index: 5, hash: leaf(5) });
        rest.subtrees().iter().for_each(|subtree| path.add(*subtree));
        let leaves: Vec<Hash> = (0..23).map(leaf).collect();
        assert_eq!(root_from_path(leaf(5), 5, 23, &path.hashes()), Some(reference(&leaves)));
    }
}
