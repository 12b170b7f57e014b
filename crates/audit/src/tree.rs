//! The Merkle tree over the entries (RFC 9162 §2.1), as little of it as a log needs to grow.

use doorward_core::Digest;
use sha2::{Digest as _, Sha256};

/// Marks what is hashed as an inner node (RFC 9162 §2.1.1). A link of the chain has the same mark
/// and the same length; the two never stand for each other, since what is signed says which it is.
const NODE: u8 = 0x01;

/// How many levels lie between two that are kept: every 256 leaves make a block.
const STRIDE: u8 = 8;

/// How many leaves make a block of the first level.
pub(crate) const BLOCK: u64 = 1 << STRIDE;

/// A tree's size and root: what a checkpoint signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// How many entries it has.
    pub size: u64,
    /// The hash over all of them.
    pub root: Digest,
}

/// The root over a complete block of leaves. It can always be computed again: kept, it makes a
/// proof cost some hundred hashes whatever the log's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// 1 for 256 leaves, 2 for 256² and so on.
    pub level: u8,
    /// Which of its level, from 0: block `n` of level 1 covers the entries from `256 n + 1`.
    pub number: u64,
    /// Its root.
    pub root: Digest,
}

impl Block {
    /// The first entry it covers.
    pub fn first(&self) -> u64 {
        self.number.saturating_mul(self.leaves()).saturating_add(1)
    }

    /// The last entry it covers.
    pub fn last(&self) -> u64 {
        self.number.saturating_add(1).saturating_mul(self.leaves())
    }

    fn leaves(&self) -> u64 {
        1_u64.checked_shl(u32::from(STRIDE) * u32::from(self.level)).unwrap_or(u64::MAX)
    }
}

/// A tree that leaves are added to. It holds the roots of its complete subtrees only: one for each
/// bit of its size.
///
/// ```
/// use doorward_audit::Tree;
/// use doorward_core::Digest;
/// let mut tree = Tree::default();
/// for leaf in 0..5 {
///     tree.push(Digest::from_bytes([leaf; 32]));
/// }
/// assert_eq!((tree.size(), tree.frontier().len()), (5, 2));
/// assert_eq!(Tree::from_frontier(5, tree.frontier().to_vec()), Some(tree));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// Largest first.
    peaks: Vec<Digest>,
}

impl Tree {
    /// A tree of this size from the roots of its complete subtrees, largest first; `None` where
    /// their number does not fit.
    pub fn from_frontier(size: u64, frontier: Vec<Digest>) -> Option<Self> {
        (frontier.len() == size.count_ones() as usize).then_some(Self { size, peaks: frontier })
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The roots of its complete subtrees, largest first.
    pub fn frontier(&self) -> &[Digest] {
        &self.peaks
    }

    /// Adds a leaf; tells the blocks that it completes, smallest first.
    pub fn push(&mut self, leaf: Digest) -> Vec<Block> {
        let mut blocks = Vec::new();
        let (mut node, mut level) = (leaf, 0_u8);
        while self.size >> level & 1 == 1
            && let Some(left) = self.peaks.pop()
        {
            node = node_of(&left, &node);
            level += 1;
            if level % STRIDE == 0 {
                let number = self.size >> level;
                blocks.push(Block { level: level / STRIDE, number, root: node });
            }
        }
        self.peaks.push(node);
        self.size += 1;
        blocks
    }

    /// Its root (RFC 9162 §2.1.1); without leaves the hash of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return Digest::from_bytes(Sha256::digest([]).into());
        };
        peaks.fold(*last, |right, left| node_of(left, &right))
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }
}

/// The hash over two subtrees.
pub(crate) fn node_of(left: &Digest, right: &Digest) -> Digest {
    let hash = Sha256::new()
        .chain_update([NODE])
        .chain_update(left.as_bytes())
        .chain_update(right.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// Where a tree of more than one leaf is cut in two: the largest power of two below its size.
pub(crate) fn split(size: u64) -> u64 {
    let size = size.max(2);
    1 << (size - 1).ilog2()
}

/// The block level of a complete subtree of this size, where blocks of that size are kept.
pub(crate) fn block_level(size: u64) -> Option<u8> {
    let bits = u8::try_from(size.trailing_zeros()).ok()?;
    (size.is_power_of_two() && bits > 0 && bits.is_multiple_of(STRIDE)).then_some(bits / STRIDE)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn digest(hex: &str) -> Digest {
        serde_json::from_value(hex.into()).unwrap()
    }

    /// The definition, word for word (RFC 9162 §2.1.1), over hashed leaves.
    pub(crate) fn root_by_definition(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::from_bytes(Sha256::digest([]).into()),
            [leaf] => *leaf,
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                let (left, right) = leaves.split_at(k);
                node_of(&root_by_definition(left), &root_by_definition(right))
            }
        }
    }

    pub(crate) fn leaves(count: u64) -> Vec<Digest> {
        (0..count).map(|n| crate::chain::leaf_of(&n.to_be_bytes())).collect()
    }

    #[test]
    fn the_field_s_own_examples_come_out() {
        // Certificate Transparency's test vectors (google/certificate-transparency, merkle tree).
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(tree.root(), digest(empty));
        for (input, root) in inputs.into_iter().zip(roots) {
            tree.push(crate::chain::leaf_of(input));
            assert_eq!(tree.root(), digest(root), "of {} leaves", tree.size());
        }
    }

    #[test]
    fn every_size_has_the_root_that_its_definition_gives() {
        let leaves = leaves(600);
        let mut tree = Tree::default();
        for (size, leaf) in (1..).zip(&leaves) {
            let blocks = tree.push(*leaf);
            assert_eq!(blocks.len(), usize::from(size % 256 == 0));
            for block in blocks {
                let covered = &leaves[size - 256..size];
                assert_eq!((block.first(), block.last()), (size as u64 - 255, size as u64));
                assert_eq!(block.root, root_by_definition(covered));
            }
            assert_eq!(tree.root(), root_by_definition(&leaves[..size]), "{size}");
            let again = Tree::from_frontier(size as u64, tree.frontier().to_vec());
            assert_eq!(again.as_ref(), Some(&tree));
        }
        assert_eq!(Tree::from_frontier(3, vec![leaves[0]]), None);
    }

    #[test]
    fn a_tree_is_cut_at_the_largest_power_of_two_below_its_size() {
        for (size, at) in [(2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (1 << 40, 1 << 39)] {
            assert_eq!(split(size), at, "{size}");
        }
        assert_eq!([255, 256, 512, 65536].map(block_level), [None, Some(1), None, Some(2)]);
    }
}
