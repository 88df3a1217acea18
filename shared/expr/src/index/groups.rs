//! Divides many entries into groups, each for one child of a node. Decides how many go
//! where, so that a node has room for its children; what tells entries apart is for
//! `division` to say. Never makes a node.

use super::{division::Division, tree::Entry};

/// Leaves and nodes built at once are left with room to grow.
const FILL_EIGHTHS: usize = 7;

/// Entries below each child of a node, so that the levels below it have about the same
/// number of children.
pub(crate) fn child_capacity(entries: usize, leaves: usize, fill: usize) -> usize {
    let (mut height, mut reach) = (1, fill);
    while reach < leaves {
        reach = reach.saturating_mul(fill);
        height += 1;
    }
    if height == 1 {
        return fill;
    }
    let mut children = 2usize;
    while children.saturating_pow(height) < leaves {
        children += 1;
    }
    entries.div_ceil(children)
}

/// What entries may be divided into.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// Entries of a group at most.
    pub capacity: usize,
    /// Groups at most.
    pub places: usize,
    /// Entries of a leaf.
    pub fill: usize,
}

impl Room {
    /// Of a node above leaves.
    pub fn of_leaves(entries_max: usize) -> Self {
        let fill = (entries_max * FILL_EIGHTHS / 8).max(2);
        Self {
            capacity: fill,
            places: entries_max,
            fill,
        }
    }

    /// The places that the first of so many entries get, and the others, if there are
    /// enough.
    fn shared(self, before: usize, after: usize) -> Option<[Self; 2]> {
        let needed = [before, after].map(|entries| entries.div_ceil(self.capacity));
        let spare = self.places.checked_sub(needed[0] + needed[1])?;
        if before == 0 || after == 0 {
            return None;
        }
        let places = needed[0] + spare * before / (before + after);
        let with = |places| Self { places, ..self };
        Some([with(places), with(self.places - places)])
    }
}

/// Divides entries in two, and those again, until each group fits. There is room for
/// all of them.
pub(crate) fn divide<'e, K>(
    entries: &'e mut [Entry<K>],
    room: Room,
    groups: &mut Vec<&'e mut [Entry<K>]>,
) {
    let pieces = entries.len().div_ceil(room.capacity);
    if pieces < 2 {
        groups.push(entries);
        return;
    }
    let mut before = move_before(entries, room);
    let mut rooms = room.shared(before, entries.len() - before);
    if rooms.is_none() {
        // Whole groups on either side.
        before = pieces / 2 * room.capacity;
        rooms = room.shared(before, entries.len() - before);
    }
    let (left, right) = entries.split_at_mut(before);
    match rooms {
        Some([left_room, right_room]) => {
            divide(left, left_room, groups);
            divide(right, right_room, groups);
        }
        // Never: what is left over of whole groups needs no more places than before.
        None => groups.extend([left, right]),
    }
}

/// Moves those to the front that come first where entries are best divided in two, and
/// tells how many that are: none if nothing tells them apart.
pub(crate) fn move_before<K>(entries: &mut [Entry<K>], room: Room) -> usize {
    let predicates = entries.iter().map(|e| e.conjunction.predicates.as_slice());
    let division = Division::best(predicates, entries.len().div_ceil(room.fill));
    division.map_or(0, |division| {
        move_first(entries, |entry| {
            division.is_before(&entry.conjunction.predicates)
        })
    })
}

/// Moves what is wanted to the front, and tells how many that are.
fn move_first<T>(all: &mut [T], is_wanted: impl Fn(&T) -> bool) -> usize {
    let mut wanted = 0;
    for at in 0..all.len() {
        if is_wanted(&all[at]) {
            all.swap(wanted, at);
            wanted += 1;
        }
    }
    wanted
}
