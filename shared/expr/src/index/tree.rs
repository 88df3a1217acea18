//! The tree of blocks: leaves hold conjunctions, inner nodes what their children accept
//! between them, so that a subject's way leads past whatever it cannot match. Changes
//! copy the path from the root and nothing else; a change touches one node per level,
//! and divides each at most once.
//!
//! An R-tree over predicates instead of rectangles (Guttman, "R-trees", SIGMOD 1984), in
//! the spirit of the index over Boolean expressions of Sadoghi and Jacobsen ("BE-Tree",
//! SIGMOD 2011), packed as bitmaps at every node.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{
    block::Block,
    column::{Bits, each_bit},
    groups::{Room, child_capacity, divide, move_before},
    ledger::{Ledger, NodeId},
    normal::{Conjunction, Predicate, Residual},
    subject::Subject,
};

#[derive(Debug, Clone)]
pub(crate) struct Node<K> {
    pub id: NodeId,
    block: Block,
    body: Body<K>,
}

#[derive(Debug, Clone)]
enum Body<K> {
    Leaf(Leaf<K>),
    /// By bit; None where there is no entry.
    Inner(Vec<Option<Arc<Node<K>>>>),
}

#[derive(Debug, Clone)]
struct Leaf<K> {
    /// By bit; whatever was there last where there is no entry.
    keys: Vec<K>,
    /// Entries whose key has others.
    shared: Bits,
    residuals: Vec<(u32, Residual)>,
}

/// A conjunction and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Entry<K> {
    pub conjunction: Conjunction,
    pub key: K,
    /// Whether the key has more than one conjunction.
    pub is_shared: bool,
}

/// The keys of what matches.
pub(crate) struct Found<'f, K> {
    pub keys: &'f mut Vec<K>,
    /// Those that may come more than once.
    pub shared: &'f mut Vec<K>,
}

/// The other half of a node that was divided, for its parent to take in.
type Sibling<K> = Option<Arc<Node<K>>>;

impl<K: Copy + Eq> Node<K> {
    pub fn leaf(id: NodeId) -> Self {
        Self {
            id,
            block: Block::default(),
            body: Body::Leaf(Leaf {
                keys: Vec::new(),
                shared: 0,
                residuals: Vec::new(),
            }),
        }
    }

    pub fn matching(&self, subject: &mut Subject<'_>, found: &mut Found<'_, K>) {
        let matching = self.block.matching(subject);
        match &self.body {
            Body::Inner(children) => each_bit(matching, |bit| {
                if let Some(child) = children.get(bit as usize).and_then(Option::as_ref) {
                    child.matching(subject, found);
                }
            }),
            Body::Leaf(leaf) => leaf.matching(matching, subject, found),
        }
    }

    pub fn len(&self) -> usize {
        self.block.len()
    }

    pub fn is_leaf(&self) -> bool {
        matches!(self.body, Body::Leaf(_))
    }

    /// The child of a root that has no other.
    pub fn only_child(&self) -> Option<&Arc<Self>> {
        match &self.body {
            Body::Inner(children) if self.block.len() == 1 => children.iter().flatten().next(),
            _ => None,
        }
    }

    pub fn bytes(&self) -> usize {
        let below: usize = match &self.body {
            Body::Leaf(leaf) => {
                leaf.keys.len() * size_of::<K>()
                    + leaf.residuals.len() * size_of::<(u32, Residual)>()
            }
            Body::Inner(children) => {
                let children_bytes = children.iter().flatten().map(|child| child.bytes());
                children.len() * size_of::<usize>() + children_bytes.sum::<usize>()
            }
        };
        size_of::<Self>() + self.block.bytes() + below
    }

    fn summary(&self) -> Vec<Predicate> {
        self.block.summary()
    }
}

impl<K: Copy> Leaf<K> {
    fn matching(&self, mut matching: Bits, subject: &mut Subject<'_>, found: &mut Found<'_, K>) {
        for &(bit, (attribute, holds)) in &self.residuals {
            if matching & 1 << bit != 0 && subject.holds(attribute) != holds {
                matching &= !(1 << bit);
            }
        }
        let take = |bits: Bits, keys: &mut Vec<K>| {
            each_bit(bits, |bit| keys.extend(self.keys.get(bit as usize)));
        };
        take(matching & !self.shared, found.keys);
        take(matching & self.shared, found.shared);
    }

    fn residuals(&self, bit: u32) -> SmallVec<[Residual; 1]> {
        let own = self.residuals.iter().filter(|(of, _)| *of == bit);
        own.map(|(_, residual)| *residual).collect()
    }

    fn put(&mut self, bit: u32, entry: &Entry<K>) {
        if self.keys.len() <= bit as usize {
            self.keys.push(entry.key);
        } else {
            self.keys[bit as usize] = entry.key;
        }
        if entry.is_shared {
            self.shared |= 1 << bit;
        }
        let residuals = entry.conjunction.residuals.iter();
        self.residuals.extend(residuals.map(|r| (bit, *r)));
    }

    fn clear(&mut self, bit: u32) {
        self.shared &= !(1 << bit);
        self.residuals.retain(|(of, _)| *of != bit);
    }
}

/// Changes. All go through a tree's root, which is copied down to what changes.
impl<K: Copy + Eq + std::hash::Hash> Node<K> {
    /// Puts an entry in below a root, which grows if it has to.
    pub fn insert(root: &mut Arc<Self>, entry: &Entry<K>, ledger: &mut Ledger<K>) {
        if let Some(sibling) = Self::place(root, entry, ledger) {
            let old = Arc::clone(root);
            *root = Arc::new(Self::inner(ledger.new_node(), vec![old, sibling], ledger));
        }
    }

    fn inner(id: NodeId, children: Vec<Arc<Self>>, ledger: &mut Ledger<K>) -> Self {
        for child in &children {
            ledger.set_parent(child.id, id);
        }
        let summaries: Vec<_> = children.iter().map(|child| child.summary()).collect();
        Self {
            id,
            block: Block::of(summaries.iter().map(Vec::as_slice)),
            body: Body::Inner(children.into_iter().map(Some).collect()),
        }
    }

    fn place(this: &mut Arc<Self>, entry: &Entry<K>, ledger: &mut Ledger<K>) -> Sibling<K> {
        let node = Arc::make_mut(this);
        if let Body::Inner(children) = &mut node.body {
            let predicates = &entry.conjunction.predicates;
            let bit = node.block.closest(predicates).unwrap_or(0);
            // A node without children is never left in a tree.
            let child = children.get_mut(bit as usize).and_then(Option::as_mut)?;
            let sibling = Self::place(child, entry, ledger);
            let summary = child.summary();
            node.refresh(bit, &summary);
            return sibling.and_then(|new| node.adopt(new, ledger));
        }
        let mut sibling = node.divided_if_full(ledger);
        let target = match &mut sibling {
            Some(other) if node.is_farther(other, &entry.conjunction.predicates) => other,
            _ => node,
        };
        target.put_entry(entry);
        ledger.locate(entry.key, target.id);
        sibling.map(Arc::new)
    }

    fn put_entry(&mut self, entry: &Entry<K>) {
        if let (Body::Leaf(leaf), Some(bit)) = (&mut self.body, self.block.free()) {
            self.block.put(bit, &entry.conjunction.predicates);
            leaf.put(bit, entry);
        }
    }

    /// Whether predicates fit another node better than this one.
    fn is_farther(&self, other: &Self, predicates: &[Predicate]) -> bool {
        let (ours, theirs) = (self.summary(), other.summary());
        Block::of([ours.as_slice(), theirs.as_slice()]).closest(predicates) == Some(1)
    }

    /// What a child accepts, as it is now.
    fn refresh(&mut self, bit: u32, summary: &[Predicate]) {
        if self.block.predicates(bit) != summary {
            self.block.clear(bit);
            self.block.put(bit, summary);
        }
    }

    /// Takes a new child in, divided if it was full.
    fn adopt(&mut self, child: Arc<Self>, ledger: &mut Ledger<K>) -> Option<Arc<Self>> {
        let summary = child.summary();
        let mut sibling = self.divided_if_full(ledger);
        let target = match &mut sibling {
            Some(other) if self.is_farther(other, &summary) => other,
            _ => self,
        };
        if let (Body::Inner(children), Some(bit)) = (&mut target.body, target.block.free()) {
            target.block.put(bit, &summary);
            ledger.set_parent(child.id, target.id);
            if children.len() <= bit as usize {
                children.push(None);
            }
            children[bit as usize] = Some(child);
        }
        sibling.map(Arc::new)
    }

    /// Gives half of its entries away if there is no room for another.
    fn divided_if_full(&mut self, ledger: &mut Ledger<K>) -> Option<Self> {
        if self.block.len() < ledger.entries_max {
            return None;
        }
        if let Some(leaves) = self.leaves() {
            return Some(self.regroup(&leaves, ledger));
        }
        let before = self.block.division();
        let after = self.block.used & !before;
        Some(match &self.body {
            Body::Leaf(_) => {
                let halves = [before, after].map(|bits| self.entries(bits));
                let sibling = Self::leaf_of(ledger.new_node(), &halves[1]);
                for entry in &halves[1] {
                    ledger.relocate(entry.key, self.id, sibling.id);
                }
                *self = Self::leaf_of(self.id, &halves[0]);
                sibling
            }
            Body::Inner(_) => {
                let [kept, given] = [before, after].map(|bits| self.children(bits));
                *self = Self::inner(self.id, kept, ledger);
                Self::inner(ledger.new_node(), given, ledger)
            }
        })
    }

    /// Its children, if they are leaves.
    fn leaves(&self) -> Option<Vec<Arc<Self>>> {
        let children = self.children(self.block.used);
        let are_leaves = !children.is_empty() && children.iter().all(|child| child.is_leaf());
        are_leaves.then_some(children)
    }

    /// Divides what is in the leaves anew, and gives half of it away. Leaves that grew one
    /// by one were divided when there was little to see; together they show more.
    fn regroup(&mut self, leaves: &[Arc<Self>], ledger: &mut Ledger<K>) -> Self {
        let mut entries = Vec::new();
        for leaf in leaves {
            for entry in leaf.entries(leaf.block.used) {
                ledger.dislocate(entry.key, leaf.id);
                entries.push(entry);
            }
            ledger.free_node(leaf.id);
        }
        let room = Room::of_leaves(ledger.entries_max);
        let mut before = move_before(&mut entries, room);
        let larger = before.max(entries.len() - before);
        if before == 0 || larger > room.capacity * room.places {
            before = entries.len() / 2;
        }
        let (kept, given) = entries.split_at_mut(before);
        *self = Self::above_groups(self.id, kept, room, ledger);
        Self::above_groups(ledger.new_node(), given, room, ledger)
    }

    fn leaf_of(id: NodeId, entries: &[Entry<K>]) -> Self {
        let predicates = entries.iter().map(|e| e.conjunction.predicates.as_slice());
        let mut leaf = Leaf {
            keys: Vec::with_capacity(entries.len()),
            shared: 0,
            residuals: Vec::new(),
        };
        for (bit, entry) in entries.iter().enumerate() {
            leaf.put(bit as u32, entry);
        }
        leaf.residuals.shrink_to_fit();
        Self {
            id,
            block: Block::of(predicates),
            body: Body::Leaf(leaf),
        }
    }

    /// All entries of a tree that is no longer needed.
    pub fn take_entries(root: &Arc<Self>, ledger: &mut Ledger<K>) -> Vec<Entry<K>> {
        let mut entries = Vec::new();
        root.give_entries(&mut entries);
        ledger.clear_tree();
        entries
    }

    fn give_entries(&self, entries: &mut Vec<Entry<K>>) {
        entries.extend(self.entries(self.block.used));
        for child in self.children(self.block.used) {
            child.give_entries(entries);
        }
    }

    fn entries(&self, bits: Bits) -> Vec<Entry<K>> {
        let mut entries = Vec::new();
        if let Body::Leaf(leaf) = &self.body {
            each_bit(bits, |bit| {
                entries.extend(leaf.keys.get(bit as usize).map(|key| Entry {
                    conjunction: Conjunction {
                        predicates: self.block.predicates(bit),
                        residuals: leaf.residuals(bit),
                    },
                    key: *key,
                    is_shared: leaf.shared & 1 << bit != 0,
                }));
            });
        }
        entries
    }

    fn children(&self, bits: Bits) -> Vec<Arc<Self>> {
        let mut children = Vec::new();
        if let Body::Inner(all) = &self.body {
            each_bit(bits, |bit| {
                children.extend(all.get(bit as usize).cloned().flatten());
            });
        }
        children
    }

    /// Takes a key's entries out of a leaf; `path` leads from the root's child to it.
    /// A leaf that is left with little is dissolved: what it had is given back.
    pub fn remove(
        root: &mut Arc<Self>,
        path: &[NodeId],
        key: K,
        ledger: &mut Ledger<K>,
    ) -> Vec<Entry<K>> {
        let node = Arc::make_mut(root);
        let Some((next, rest)) = path.split_first() else {
            node.clear_key(key);
            return Vec::new();
        };
        let Body::Inner(children) = &mut node.body else {
            return Vec::new();
        };
        let is_next = |child: &Option<Arc<Self>>| child.as_ref().is_some_and(|c| c.id == *next);
        let Some(bit) = children.iter().position(is_next) else {
            return Vec::new();
        };
        let Some(child) = children[bit].as_mut() else {
            return Vec::new();
        };
        let mut orphans = Self::remove(child, rest, key, ledger);
        let few = if child.is_leaf() {
            ledger.entries_max / 8
        } else {
            0
        };
        if child.len() > few {
            let summary = child.summary();
            node.refresh(bit as u32, &summary);
        } else {
            orphans.extend(child.entries(child.block.used));
            ledger.free_node(child.id);
            children[bit] = None;
            node.block.clear(bit as u32);
        }
        orphans
    }

    fn clear_key(&mut self, key: K) {
        if let Body::Leaf(leaf) = &mut self.body {
            each_bit(self.block.used, |bit| {
                if leaf.keys.get(bit as usize) == Some(&key) {
                    self.block.clear(bit);
                    leaf.clear(bit);
                }
            });
        }
    }

    /// A tree of many entries at once: divided from the top until they fit leaves, so
    /// that each level is divided by what tells its entries apart best.
    pub fn build(mut entries: Vec<Entry<K>>, ledger: &mut Ledger<K>) -> Arc<Self> {
        Self::build_below(&mut entries, ledger)
    }

    fn build_below(entries: &mut [Entry<K>], ledger: &mut Ledger<K>) -> Arc<Self> {
        let fill = Room::of_leaves(ledger.entries_max).fill;
        let leaves = entries.len().div_ceil(fill);
        if leaves < 2 {
            let leaf = Self::leaf_of(ledger.new_node(), entries);
            for entry in entries.iter() {
                ledger.locate(entry.key, leaf.id);
            }
            return Arc::new(leaf);
        }
        let room = Room {
            capacity: child_capacity(entries.len(), leaves, fill),
            ..Room::of_leaves(ledger.entries_max)
        };
        let id = ledger.new_node();
        Arc::new(Self::above_groups(id, entries, room, ledger))
    }

    fn above_groups(
        id: NodeId,
        entries: &mut [Entry<K>],
        room: Room,
        ledger: &mut Ledger<K>,
    ) -> Self {
        let mut groups = Vec::new();
        divide(entries, room, &mut groups);
        let children = groups
            .into_iter()
            .map(|group| Self::build_below(group, ledger))
            .collect();
        Self::inner(id, children, ledger)
    }
}
