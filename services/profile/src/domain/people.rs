//! The people a batch concerns, as it changes them: what each profile says of itself,
//! which profiles are one person, and what holds of that person. Keeps the two apart, so
//! that a merge can be undone; knows no store and decides nothing about who is who.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Owner, ProfileId, Record,
    merge::{self, Joined, Side, Split},
    schema::TraitSchemas,
    standing::Standing,
    ties::Part,
};

/// A profile as it is stored, without its identities and events.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stored {
    /// What holds of the person; of a merged profile, what it says of itself.
    pub record: Record,
    /// Of a living profile that others are merged into, what it says of itself.
    pub own: Option<Record>,
    pub create_ms: i64,
    pub standing: Standing,
    /// The living profile this one became part of.
    pub merged_into: Option<ProfileId>,
    pub joined: Option<Joined>,
}

impl Stored {
    /// What the profile says of itself.
    pub fn said(&self) -> &Record {
        self.own.as_ref().unwrap_or(&self.record)
    }
}

/// Profiles by id, whole people at a time.
#[derive(Debug)]
pub struct People<'a> {
    rows: FxHashMap<ProfileId, Stored>,
    /// By living profile, those merged into it.
    parts: FxHashMap<ProfileId, Vec<ProfileId>>,
    /// Living profiles of which something else may hold now.
    stale: FxHashSet<ProfileId>,
    /// Merged profiles that changed.
    changed_parts: FxHashSet<ProfileId>,
    traits: &'a TraitSchemas,
}

/// What is to be stored of a batch's people.
#[derive(Debug, Default)]
pub struct Changed {
    pub living: FxHashMap<ProfileId, Stored>,
    pub merged: FxHashMap<ProfileId, Stored>,
}

impl<'a> People<'a> {
    /// `rows` has, with a profile, all that are the same person.
    pub fn new(rows: FxHashMap<ProfileId, Stored>, traits: &'a TraitSchemas) -> Self {
        let mut parts: FxHashMap<ProfileId, Vec<ProfileId>> = FxHashMap::default();
        for (id, row) in &rows {
            if let Some(living) = row.merged_into {
                parts.entry(living).or_default().push(*id);
            }
        }
        Self {
            rows,
            parts,
            stale: FxHashSet::default(),
            changed_parts: FxHashSet::default(),
            traits,
        }
    }

    pub fn begin(&mut self, profile_id: ProfileId, now_ms: i64) {
        let stored = Stored {
            create_ms: now_ms,
            ..Stored::default()
        };
        self.rows.insert(profile_id, stored);
    }

    /// What a profile says of itself, to be added to.
    pub fn own(&mut self, owner: Owner) -> &mut Record {
        let Owner {
            profile_id,
            origin_id,
        } = owner;
        if self.parts.get(&profile_id).is_some_and(|p| !p.is_empty()) {
            self.stale.insert(profile_id);
        }
        // An origin that is not part of the person can only be one that was erased.
        let is_part = self
            .rows
            .get(&origin_id)
            .is_some_and(|row| row.merged_into == Some(profile_id));
        if is_part {
            self.changed_parts.insert(origin_id);
            return &mut self.rows.entry(origin_id).or_default().record;
        }
        let row = self.rows.entry(profile_id).or_default();
        row.own.as_mut().unwrap_or(&mut row.record)
    }

    /// Drops what is too old, of a living profile and of all that are part of it.
    pub fn expire(&mut self, profile_id: ProfileId, before_ms: &BTreeMap<String, i64>) {
        let parts = self.parts.get(&profile_id).cloned().unwrap_or_default();
        for id in parts.into_iter().chain([profile_id]) {
            let row = self.rows.entry(id).or_default();
            let expired = row
                .own
                .as_mut()
                .unwrap_or(&mut row.record)
                .expire(before_ms);
            if id != profile_id && !expired.is_empty() {
                self.changed_parts.insert(id);
            }
        }
        self.stale.insert(profile_id);
    }

    /// What holds of a living profile; None if it was not looked up.
    pub fn record(&mut self, profile_id: ProfileId) -> Option<&Record> {
        if self.stale.remove(&profile_id) {
            self.fold(profile_id);
        }
        self.rows.get(&profile_id).map(|row| &row.record)
    }

    /// Makes two people one. Returns what was derived of the one that is merged.
    pub fn merge(&mut self, survivor: ProfileId, merged: ProfileId, now_ms: i64) -> Record {
        let parts = self.parts.remove(&merged).unwrap_or_default();
        for part in &parts {
            self.rows.entry(*part).or_default().merged_into = Some(survivor);
        }
        let theirs = self.rows.entry(merged).or_default();
        let derived = theirs.record.clear_derived();
        if let Some(own) = theirs.own.take() {
            theirs.record = own;
        }
        theirs.merged_into = Some(survivor);
        theirs.joined = Some(Joined {
            into: survivor,
            time_ms: now_ms,
        });
        let ours = self.rows.entry(survivor).or_default();
        ours.own.get_or_insert_with(|| {
            let mut own = ours.record.clone();
            own.clear_derived();
            own
        });
        self.stale.remove(&merged);
        self.stale.insert(survivor);
        self.changed_parts.extend(parts.iter().chain([&merged]));
        let all = self.parts.entry(survivor).or_default();
        all.push(merged);
        all.extend(parts);
        derived
    }

    /// Makes several people of one again, each as what is left joins them.
    pub fn part(&mut self, split: &Split) {
        for part in &split.leave {
            self.begin_again(part);
        }
        let Part { root, joined } = &split.stays;
        self.rejoin(joined);
        self.parts.insert(*root, joined.keys().copied().collect());
        self.stale.insert(*root);
        if joined.is_empty()
            && let Some(row) = self.rows.get_mut(root)
            && let Some(own) = row.own.take()
        {
            let derived = row.record.clear_derived();
            row.record = own;
            row.record.keep_derived(derived);
        }
    }

    /// What was merged and lives on its own from now on.
    fn begin_again(&mut self, part: &Part) {
        let Part { root, joined } = part;
        let row = self.rows.entry(*root).or_default();
        row.merged_into = None;
        row.joined = None;
        if !joined.is_empty() {
            row.own = Some(row.record.clone());
        }
        for id in joined.keys() {
            self.rows.entry(*id).or_default().merged_into = Some(*root);
        }
        self.rejoin(joined);
        self.changed_parts.remove(root);
        self.changed_parts.extend(joined.keys());
        self.parts.insert(*root, joined.keys().copied().collect());
        self.stale.insert(*root);
    }

    fn rejoin(&mut self, joined: &BTreeMap<ProfileId, Joined>) {
        for (id, joined) in joined {
            let row = self.rows.entry(*id).or_default();
            if row.joined != Some(*joined) {
                row.joined = Some(*joined);
                self.changed_parts.insert(*id);
            }
        }
    }

    fn fold(&mut self, root: ProfileId) {
        let parts = self.parts.get(&root).map_or(&[][..], Vec::as_slice);
        if parts.is_empty() {
            return;
        }
        let sides: Vec<_> = [&root]
            .into_iter()
            .chain(parts)
            .filter_map(|id| {
                let row = self.rows.get(id)?;
                Some(Side {
                    profile_id: *id,
                    own: row.said(),
                    joined: row.joined,
                })
            })
            .collect();
        let record = merge::fold(root, &sides, self.traits);
        if let Some(row) = self.rows.get_mut(&root) {
            let derived = row.record.clear_derived();
            row.record = record;
            row.record.keep_derived(derived);
        }
    }

    /// What is to be stored, of the living profiles that changed and of their parts.
    pub fn changed(
        mut self,
        changed: impl Iterator<Item = ProfileId>,
        standing: impl Fn(ProfileId) -> Option<Standing>,
    ) -> Changed {
        let mut result = Changed::default();
        for id in changed {
            if self.stale.remove(&id) {
                self.fold(id);
            }
            let Some(mut row) = self.rows.get(&id).cloned() else {
                continue;
            };
            if row.merged_into.is_none() {
                row.standing = standing(id).unwrap_or(row.standing);
                result.living.insert(id, row);
            }
        }
        for id in &self.changed_parts {
            if let Some(row) = self.rows.get(id) {
                result.merged.insert(*id, row.clone());
            }
        }
        result
    }
}
