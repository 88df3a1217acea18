//! What predicates are about: attributes, known by the tree that computes them and the
//! kind they are read as, and the texts they are compared with. The writer counts who
//! mentions what; readers get an immutable table.

use std::{collections::BTreeMap, sync::Arc};

use rpds::{HashTrieMapSync, VectorSync};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::accepts::Ordinal;
use crate::node::Node;

/// The kind a value is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Like {
    Bool,
    Number,
    Text,
    Time,
    Duration,
}

/// Where in a text a written one is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// Anywhere; in a list, among its elements.
    Inside,
    Start,
    End,
}

/// How an attribute's ordinals come from its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum View {
    /// Its own.
    One(Like),
    /// Those of a list's elements, or of a map's keys.
    Each(Like),
    /// Those of the written texts that are a part of it.
    Parts(Part),
    /// Whether there is a value at all.
    Presence,
    /// Whether the tree holds: 1 or 0.
    Truth,
}

impl View {
    /// Whether a subject has any number of ordinals, of which one must be accepted.
    pub fn is_plural(self) -> bool {
        matches!(self, Self::Each(_) | Self::Parts(_))
    }
}

/// A tree and the way it is read: what two predicates on one attribute share.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ask {
    pub node: Node,
    pub view: View,
}

pub(crate) type AttributeId = u32;

/// Stands for every text that no expression mentions.
pub(crate) const UNKNOWN_TEXT: Ordinal = 0;

type Texts = HashTrieMapSync<Arc<str>, Ordinal, FxBuildHasher>;

/// An attribute as readers see it.
pub(crate) struct Attribute {
    pub ask: Arc<Ask>,
    /// The texts it is compared with. By the whole text, so that nothing ever rests on
    /// two texts having different hashes.
    pub texts: Texts,
    /// Lengths of those texts in bytes, where beginnings and ends are looked up.
    pub lengths: Box<[usize]>,
}

pub(crate) type Attributes = VectorSync<Option<Arc<Attribute>>>;

/// Something an expression named: an attribute, or with an ordinal one of its texts.
pub(crate) type Mention = (AttributeId, Ordinal);

struct Named {
    ask: Arc<Ask>,
    mentions: u32,
    is_costly: bool,
    by_text: FxHashMap<Arc<str>, Ordinal>,
    by_ordinal: FxHashMap<Ordinal, (Arc<str>, u32)>,
    last_text: Ordinal,
    lengths: BTreeMap<usize, u32>,
    texts: Texts,
    is_changed: bool,
}

/// The writer's side.
#[derive(Default)]
pub(crate) struct Names {
    by_ask: FxHashMap<Arc<Ask>, AttributeId>,
    named: Vec<Option<Named>>,
    free: Vec<AttributeId>,
    changed: Vec<AttributeId>,
    published: Attributes,
    mentions: Vec<Mention>,
}

impl Names {
    pub fn attribute(&mut self, node: &Node, view: View) -> AttributeId {
        let ask = Ask {
            node: node.clone(),
            view,
        };
        let id = match self.by_ask.get(&ask) {
            Some(id) => *id,
            None => self.add(ask),
        };
        if let Some(named) = self.entry(id) {
            named.mentions += 1;
        }
        self.mentions.push((id, UNKNOWN_TEXT));
        id
    }

    fn add(&mut self, ask: Ask) -> AttributeId {
        let ask = Arc::new(ask);
        let named = Named {
            is_costly: is_costly(&ask),
            ask: Arc::clone(&ask),
            mentions: 0,
            by_text: FxHashMap::default(),
            by_ordinal: FxHashMap::default(),
            last_text: UNKNOWN_TEXT,
            lengths: BTreeMap::new(),
            texts: Texts::default(),
            is_changed: true,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.named[id as usize] = Some(named);
                id
            }
            None => {
                self.named.push(Some(named));
                (self.named.len() - 1) as AttributeId
            }
        };
        self.changed.push(id);
        self.by_ask.insert(ask, id);
        id
    }

    fn entry(&mut self, id: AttributeId) -> Option<&mut Named> {
        self.named.get_mut(id as usize)?.as_mut()
    }

    /// The ordinal of a text an attribute is compared with.
    pub fn text(&mut self, id: AttributeId, text: &str) -> Ordinal {
        let Some(named) = self.named.get_mut(id as usize).and_then(Option::as_mut) else {
            return UNKNOWN_TEXT;
        };
        let ordinal = match named.by_text.get(text) {
            Some(ordinal) => *ordinal,
            None => {
                named.last_text += 1;
                let (ordinal, text) = (named.last_text, Arc::<str>::from(text));
                named.by_text.insert(Arc::clone(&text), ordinal);
                named.by_ordinal.insert(ordinal, (Arc::clone(&text), 0));
                *named.lengths.entry(text.len()).or_default() += 1;
                named.texts.insert_mut(text, ordinal);
                if !std::mem::replace(&mut named.is_changed, true) {
                    self.changed.push(id);
                }
                ordinal
            }
        };
        if let Some((_, mentions)) = named.by_ordinal.get_mut(&ordinal) {
            *mentions += 1;
        }
        self.mentions.push((id, ordinal));
        ordinal
    }

    pub fn view(&self, id: AttributeId) -> Option<View> {
        self.ask(id).map(|ask| ask.view)
    }

    pub fn ask(&self, id: AttributeId) -> Option<&Arc<Ask>> {
        let named = self.named.get(id as usize)?.as_ref()?;
        Some(&named.ask)
    }

    /// Whether asking takes more than looking a value up.
    pub fn is_costly(&self, id: AttributeId) -> bool {
        let named = self.named.get(id as usize).and_then(Option::as_ref);
        named.is_some_and(|named| named.is_costly)
    }

    /// What was named since the last time.
    pub fn take_mentions(&mut self) -> Box<[Mention]> {
        let taken = self.mentions.as_slice().into();
        self.mentions.clear();
        taken
    }

    /// Takes back mentions; what nobody mentions any more is forgotten.
    pub fn forget(&mut self, mentions: &[Mention]) {
        for &(id, ordinal) in mentions {
            if ordinal == UNKNOWN_TEXT {
                self.forget_attribute(id);
            } else {
                self.forget_text(id, ordinal);
            }
        }
    }

    fn forget_attribute(&mut self, id: AttributeId) {
        let Some(named) = self.entry(id) else { return };
        named.mentions -= 1;
        if named.mentions > 0 {
            return;
        }
        let ask = Arc::clone(&named.ask);
        self.by_ask.remove(&ask);
        self.named[id as usize] = None;
        self.free.push(id);
        self.changed.push(id);
    }

    fn forget_text(&mut self, id: AttributeId, ordinal: Ordinal) {
        let Some(named) = self.entry(id) else { return };
        let Some((_, mentions)) = named.by_ordinal.get_mut(&ordinal) else {
            return;
        };
        *mentions -= 1;
        if *mentions > 0 {
            return;
        }
        if let Some((text, _)) = named.by_ordinal.remove(&ordinal) {
            named.by_text.remove(&text);
            named.texts.remove_mut(&text);
            if let Some(count) = named.lengths.get_mut(&text.len()) {
                *count -= 1;
                if *count == 0 {
                    named.lengths.remove(&text.len());
                }
            }
            if !std::mem::replace(&mut named.is_changed, true) {
                self.changed.push(id);
            }
        }
    }

    /// The table as it stands.
    pub fn publish(&mut self) -> Attributes {
        for id in std::mem::take(&mut self.changed) {
            let attribute = self.entry(id).map(|named| {
                named.is_changed = false;
                Arc::new(Attribute {
                    ask: Arc::clone(&named.ask),
                    texts: named.texts.clone(),
                    lengths: named.lengths.keys().copied().collect(),
                })
            });
            while self.published.len() <= id as usize {
                self.published.push_back_mut(None);
            }
            self.published.set_mut(id as usize, attribute);
        }
        self.published.clone()
    }
}

fn is_costly(ask: &Ask) -> bool {
    let is_lookup = match &ask.node {
        Node::Load(_) => true,
        Node::Member(of, _) => matches!(**of, Node::Load(_)),
        _ => false,
    };
    !is_lookup
}
