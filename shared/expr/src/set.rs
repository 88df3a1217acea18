//! Any number of expressions with a key each: add, change and remove them one by one or
//! many at once, and ask for the keys of those that hold for a subject. Readers see one
//! state or the next and never wait; what matching costs follows from how many hold,
//! not from how many there are.

use std::{fmt, hash::Hash, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::{
    Expression, Scope,
    index::{
        ledger::Ledger,
        names::{Attributes, Names},
        normal,
        subject::{Memory, Subject},
        tree::{Entry, Found, Node},
    },
};

/// From this many new expressions on, and this many times what is there, the index is
/// built anew rather than changed.
const REBUILD_MIN: usize = 256;
const REBUILD_FACTOR: usize = 4;

/// Conjunctions per node of the index.
const ENTRIES_MAX: usize = 64;

/// Small, and cheap to copy: what stands for an expression in answers.
pub trait Key: Copy + Ord + Hash {}

impl<K: Copy + Ord + Hash> Key for K {}

/// Expressions that change while they are matched.
pub struct ExpressionSet<K> {
    writer: Mutex<Writer<K>>,
    published: ArcSwap<Snapshot<K>>,
}

/// One edit of a set.
#[derive(Debug, Clone)]
pub enum Edit<K> {
    /// Adds an expression, or replaces the one of that key.
    Put(K, Expression),
    Remove(K),
}

/// A set as it was at one moment. Cheap to hold: what did not change since is shared.
pub struct Snapshot<K> {
    root: Arc<Node<K>>,
    attributes: Attributes,
    len: usize,
}

/// Memory that matching reuses; once warm, matching allocates nothing. Serves any number
/// of sets, one at a time.
#[derive(Debug)]
pub struct Matches<K> {
    memory: Memory,
    keys: Vec<K>,
    shared: Vec<K>,
}

struct Writer<K> {
    root: Arc<Node<K>>,
    names: Names,
    ledger: Ledger<K>,
}

impl<K: Key> ExpressionSet<K> {
    pub fn new() -> Self {
        Self::with_entries_max(ENTRIES_MAX)
    }

    /// For tests: a tree of small nodes is deep with few expressions.
    #[doc(hidden)]
    pub fn with_entries_max(entries_max: usize) -> Self {
        let mut writer = Writer::new(entries_max);
        Self {
            published: ArcSwap::from_pointee(writer.publish()),
            writer: Mutex::new(writer),
        }
    }

    /// Adds an expression, or replaces the one of that key.
    pub fn insert(&self, key: K, expression: &Expression) {
        let mut writer = self.writer.lock();
        writer.remove(key);
        writer.insert(key, expression);
        self.published.store(Arc::new(writer.publish()));
    }

    /// False if there was none of that key.
    pub fn remove(&self, key: K) -> bool {
        let mut writer = self.writer.lock();
        let is_removed = writer.remove(key);
        if is_removed {
            self.published.store(Arc::new(writer.publish()));
        }
        is_removed
    }

    /// Makes changes in the order given; readers see all of them or none.
    pub fn apply(&self, changes: impl IntoIterator<Item = Edit<K>>) {
        let changes: Vec<Edit<K>> = changes.into_iter().collect();
        let mut writer = self.writer.lock();
        writer.apply(changes);
        self.published.store(Arc::new(writer.publish()));
    }

    /// The set as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot<K>> {
        self.published.load_full()
    }

    /// See [`Snapshot::matching`].
    pub fn matching<'m>(&self, scope: &dyn Scope, matches: &'m mut Matches<K>) -> &'m [K] {
        self.published.load().matching(scope, matches)
    }

    pub fn len(&self) -> usize {
        self.published.load().len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Key> Default for ExpressionSet<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Key> FromIterator<(K, Expression)> for ExpressionSet<K> {
    fn from_iter<I: IntoIterator<Item = (K, Expression)>>(expressions: I) -> Self {
        let set = Self::new();
        let puts = expressions.into_iter();
        set.apply(puts.map(|(key, expression)| Edit::Put(key, expression)));
        set
    }
}

impl<K: Key> Snapshot<K> {
    /// The keys of the expressions that hold, each once, in no particular order. An
    /// expression whose evaluation is cut short by its step budget may come out
    /// differently here, where its parts have a budget each.
    pub fn matching<'m>(&self, scope: &dyn Scope, matches: &'m mut Matches<K>) -> &'m [K] {
        matches.keys.clear();
        matches.shared.clear();
        let mut found = Found {
            keys: &mut matches.keys,
            shared: &mut matches.shared,
        };
        let mut subject = Subject::new(&self.attributes, scope, &mut matches.memory);
        self.root.matching(&mut subject, &mut found);
        matches.shared.sort_unstable();
        matches.shared.dedup();
        matches.keys.extend_from_slice(&matches.shared);
        &matches.keys
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the index takes in memory, about; the writer's books aside.
    pub fn bytes(&self) -> usize {
        self.root.bytes()
    }
}

impl<K: Key> Default for Snapshot<K> {
    fn default() -> Self {
        Writer::new(ENTRIES_MAX).publish()
    }
}

impl<K> Default for Matches<K> {
    fn default() -> Self {
        Self {
            memory: Memory::default(),
            keys: Vec::new(),
            shared: Vec::new(),
        }
    }
}

impl<K: Key> Writer<K> {
    fn new(entries_max: usize) -> Self {
        let mut ledger = Ledger::new(entries_max);
        Self {
            root: Arc::new(Node::leaf(ledger.new_node())),
            names: Names::default(),
            ledger,
        }
    }

    fn publish(&mut self) -> Snapshot<K> {
        Snapshot {
            root: Arc::clone(&self.root),
            attributes: self.names.publish(),
            len: self.ledger.held.len(),
        }
    }

    fn apply(&mut self, changes: Vec<Edit<K>>) {
        let len = self.ledger.held.len();
        if changes.len() < REBUILD_MIN.max(len.saturating_mul(REBUILD_FACTOR)) {
            for change in changes {
                match change {
                    Edit::Put(key, expression) => {
                        self.remove(key);
                        self.insert(key, &expression);
                    }
                    Edit::Remove(key) => {
                        self.remove(key);
                    }
                }
            }
            return;
        }
        self.rebuild(changes);
    }

    /// Takes many changes in by building the tree anew.
    fn rebuild(&mut self, changes: Vec<Edit<K>>) {
        let mut last = rustc_hash::FxHashMap::default();
        for (at, change) in changes.iter().enumerate() {
            let (Edit::Put(key, _) | Edit::Remove(key)) = change;
            last.insert(*key, at);
            self.remove(*key);
        }
        let mut entries = Node::take_entries(&self.root, &mut self.ledger);
        for (at, change) in changes.into_iter().enumerate() {
            match change {
                // The last word on a key counts.
                Edit::Put(key, expression) if last.get(&key) == Some(&at) => {
                    entries.extend(self.entries(key, &expression));
                }
                _ => {}
            }
        }
        self.root = Node::build(entries, &mut self.ledger);
    }

    /// What is to be put in for an expression, whose names are booked.
    fn entries(&mut self, key: K, expression: &Expression) -> Vec<Entry<K>> {
        let conjunctions = normal::of(expression.root(), &mut self.names);
        let held = self.ledger.held.entry(key).or_default();
        held.mentions = self.names.take_mentions();
        // Those that one is spread over exclude each other.
        let is_shared = conjunctions.len() > 1;
        normal::spread(conjunctions)
            .into_iter()
            .map(|conjunction| Entry {
                conjunction,
                key,
                is_shared,
            })
            .collect()
    }

    fn insert(&mut self, key: K, expression: &Expression) {
        for entry in self.entries(key, expression) {
            Node::insert(&mut self.root, &entry, &mut self.ledger);
        }
    }

    fn remove(&mut self, key: K) -> bool {
        let Some(held) = self.ledger.held.remove(&key) else {
            return false;
        };
        self.names.forget(&held.mentions);
        // All out before anything moves: from here on nobody tells where the key is.
        let mut dissolved = Vec::new();
        for leaf in held.leaves {
            let path = self.ledger.path(self.root.id, leaf);
            let entries = Node::remove(&mut self.root, &path, key, &mut self.ledger);
            dissolved.extend(entries.into_iter().map(|entry| (leaf, entry)));
        }
        self.shrink_root();
        for (leaf, entry) in dissolved {
            self.ledger.dislocate(entry.key, leaf);
            Node::insert(&mut self.root, &entry, &mut self.ledger);
        }
        true
    }

    fn shrink_root(&mut self) {
        while let Some(child) = self.root.only_child().cloned() {
            self.ledger.free_node(self.root.id);
            self.root = child;
        }
        if self.root.len() == 0 && !self.root.is_leaf() {
            self.ledger.free_node(self.root.id);
            self.root = Arc::new(Node::leaf(self.ledger.new_node()));
        }
    }
}

impl<K> fmt::Debug for ExpressionSet<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.published.load().len;
        f.debug_struct("ExpressionSet").field("len", &len).finish()
    }
}

impl<K> fmt::Debug for Snapshot<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("len", &self.len).finish()
    }
}
