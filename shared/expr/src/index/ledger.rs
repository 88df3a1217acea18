//! Where things are in the tree, for the writer: the leaves of a key and the parent of a
//! node. Readers never see it.

use std::hash::Hash;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{block::ENTRIES_MAX, names::Mention};

pub(crate) type NodeId = u32;

/// What the writer knows of a key.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The leaf of each of its conjunctions.
    pub leaves: SmallVec<[NodeId; 4]>,
    pub mentions: Box<[Mention]>,
}

pub(crate) struct Ledger<K> {
    pub held: FxHashMap<K, Held>,
    /// By node; its own id for the root.
    parents: Vec<NodeId>,
    free: Vec<NodeId>,
    /// What a node holds at most.
    pub entries_max: usize,
}

impl<K: Copy + Eq + Hash> Ledger<K> {
    pub fn new(entries_max: usize) -> Self {
        Self {
            held: FxHashMap::default(),
            parents: Vec::new(),
            free: Vec::new(),
            entries_max: entries_max.clamp(2, ENTRIES_MAX),
        }
    }

    pub fn new_node(&mut self) -> NodeId {
        let id = self.free.pop().unwrap_or(self.parents.len() as NodeId);
        if id as usize == self.parents.len() {
            self.parents.push(id);
        }
        self.parents[id as usize] = id;
        id
    }

    pub fn free_node(&mut self, id: NodeId) {
        self.free.push(id);
    }

    pub fn set_parent(&mut self, node: NodeId, parent: NodeId) {
        self.parents[node as usize] = parent;
    }

    /// Forgets every node, and where keys are.
    pub fn clear_tree(&mut self) {
        self.parents.clear();
        self.free.clear();
        for held in self.held.values_mut() {
            held.leaves.clear();
        }
    }

    /// From the root's child down to a leaf; empty if the leaf is the root.
    pub fn path(&self, root: NodeId, leaf: NodeId) -> SmallVec<[NodeId; 8]> {
        let mut path = SmallVec::new();
        let mut node = leaf;
        while node != root {
            path.push(node);
            let parent = self.parents[node as usize];
            if parent == node {
                break;
            }
            node = parent;
        }
        path.reverse();
        path
    }

    pub fn locate(&mut self, key: K, leaf: NodeId) {
        self.held.entry(key).or_default().leaves.push(leaf);
    }

    /// One of a key's conjunctions is taken out of a leaf.
    pub fn dislocate(&mut self, key: K, leaf: NodeId) {
        let leaves = self.held.get_mut(&key).map(|held| &mut held.leaves);
        if let Some(leaves) = leaves
            && let Some(at) = leaves.iter().position(|known| *known == leaf)
        {
            leaves.swap_remove(at);
        }
    }

    /// One of a key's conjunctions moved.
    pub fn relocate(&mut self, key: K, from: NodeId, to: NodeId) {
        let leaves = self.held.get_mut(&key).map(|held| &mut held.leaves);
        if let Some(leaf) = leaves.and_then(|leaves| leaves.iter_mut().find(|leaf| **leaf == from))
        {
            *leaf = to;
        }
    }
}
