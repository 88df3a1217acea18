//! Expressions over items with a memory. Asked about one item, a filter judges it once
//! and keeps the verdict in two bits until the item changes; asked for all of them, it
//! selects them by columns and keeps the set. Judging the whole catalog when a rule is
//! saved was rejected: a thousand rules over a hundred thousand items would hold up the
//! start, for verdicts that are mostly never asked for.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use attune_expr::{
    Expression, Judged, Scope,
    filter::{Columns, NoSubject},
};
use parking_lot::RwLock;
use quick_cache::sync::Cache;
use roaring::RoaringBitmap;

use super::{
    items::{ItemIndex, Items},
    plan::StrategyFilter,
};

const PAGE_ITEMS: usize = 4096;
/// Two bits per item, next to each other: one memory access for both.
const WORD_ITEMS: usize = 32;
const PAGE_WORDS: usize = PAGE_ITEMS / WORD_ITEMS;
const KNOWN: u64 = 1;
const HOLDS: u64 = 2;
/// Items beyond are judged anew each time.
const PAGES_MAX: usize = 256;
/// Subjects told apart whose items are remembered, per filter.
const BOUND_MAX: usize = 256;
/// What selecting may cost while somebody waits for a decision, about in nanoseconds.
const WORK_MAX: u64 = 150_000;
/// Changed items that are judged one by one rather than all selected anew.
const PATCHED_MAX: u64 = 512;

/// A filter that names items only: it holds for an item, whoever asks.
#[derive(Debug)]
pub struct ItemFilter {
    expression: Expression,
    pages: Box<[OnceLock<Box<Page>>]>,
    /// The version of the items that the verdicts are about.
    version: AtomicU64,
    members: Members,
}

#[derive(Debug)]
struct Page([AtomicU64; PAGE_WORDS]);

impl Page {
    fn new() -> Box<Self> {
        Box::new(Self([const { AtomicU64::new(0) }; PAGE_WORDS]))
    }
}

impl ItemFilter {
    /// For items at this version or a later one.
    pub fn new(expression: Expression, version: u64) -> Self {
        Self {
            expression,
            pages: (0..PAGES_MAX).map(|_| OnceLock::new()).collect(),
            version: AtomicU64::new(version),
            members: Members::default(),
        }
    }

    pub fn source(&self) -> &str {
        self.expression.source()
    }

    /// Whether the item satisfies the expression; an absent item satisfies none.
    pub fn holds(&self, items: &Items, index: ItemIndex) -> bool {
        let Some(page) = self.pages.get(index as usize / PAGE_ITEMS) else {
            return self.judge(items, index);
        };
        if self.version.load(Ordering::Acquire) != items.version() {
            self.catch_up(items);
        }
        let page = page.get_or_init(Page::new);
        let (word, shift) = place(index);
        let held = page.0[word].load(Ordering::Relaxed) >> shift;
        if held & KNOWN != 0 {
            return held & HOLDS != 0;
        }
        let verdict = self.judge(items, index);
        let told = if verdict { KNOWN | HOLDS } else { KNOWN };
        page.0[word].fetch_or(told << shift, Ordering::Relaxed);
        verdict
    }

    /// All items that satisfy the expression, if that is known or soon told: by columns,
    /// or from the last time where few items have changed since.
    pub fn members(&self, items: &Items) -> Option<Arc<RoaringBitmap>> {
        self.members.get(
            items,
            || self.expression.select_within(items, &NoSubject, WORK_MAX),
            |index| self.holds(items, index),
        )
    }

    /// As [`members`](Self::members), however long it takes. Where that is long, the
    /// verdicts on all items are better asked for before, in steps.
    pub fn all_members(&self, items: &Items) -> Arc<RoaringBitmap> {
        if let Some(members) = self.members(items) {
            return members;
        }
        let universe = Columns::universe(items).iter();
        let members: RoaringBitmap = universe.filter(|index| self.holds(items, *index)).collect();
        self.members.put(items, members)
    }

    /// Forgets the verdicts about items that have changed. Two callers may do so at
    /// once: the items stand still meanwhile, so a verdict lost is only given again.
    #[cold]
    fn catch_up(&self, items: &Items) {
        match items.changed_since(self.version.load(Ordering::Acquire)) {
            Some(changed) => changed.for_each(|index| self.forget(index)),
            None => {
                let words = self.pages.iter().filter_map(OnceLock::get);
                words
                    .flat_map(|page| &page.0)
                    .for_each(|word| word.store(0, Ordering::Relaxed));
            }
        }
        self.version.store(items.version(), Ordering::Release);
    }

    fn forget(&self, index: ItemIndex) {
        let page = self.pages.get(index as usize / PAGE_ITEMS);
        if let Some(page) = page.and_then(OnceLock::get) {
            let (word, shift) = place(index);
            page.0[word].fetch_and(!((KNOWN | HOLDS) << shift), Ordering::Relaxed);
        }
    }

    fn judge(&self, items: &Items, index: ItemIndex) -> bool {
        items
            .scope(index)
            .is_some_and(|scope| self.expression.matches(&scope))
    }
}

fn place(index: ItemIndex) -> (usize, usize) {
    let within = index as usize % PAGE_ITEMS;
    (within / WORD_ITEMS, within % WORD_ITEMS * 2)
}

/// A filter that names the person or the situation too. What it reads of them is worked
/// out first; whoever is the same in that has the same items, which are remembered.
pub struct PersonalFilter {
    expression: Expression,
    bound: Cache<Box<[u8]>, Arc<Members>>,
}

impl std::fmt::Debug for PersonalFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.expression.fmt(f)
    }
}

impl PersonalFilter {
    pub fn new(expression: Expression) -> Self {
        Self {
            expression,
            bound: Cache::new(BOUND_MAX),
        }
    }

    /// Who the person is and where, as far as the filter asks.
    pub fn bind<'a>(&'a self, items: &Items, subject: &'a dyn Scope) -> PersonalItems<'a> {
        let key = self.expression.subject_values(subject);
        let held = self.bound.get(key.as_slice()).unwrap_or_else(|| {
            let held = Arc::new(Members::default());
            self.bound.insert(key.into(), Arc::clone(&held));
            held
        });
        let select = || self.expression.select_within(items, subject, WORK_MAX);
        let holds = |index| self.holds(items, index, subject);
        match held.get(items, select, holds) {
            Some(members) => PersonalItems::Selected(members),
            None => PersonalItems::Judged(self, subject),
        }
    }

    fn holds(&self, items: &Items, index: ItemIndex, subject: &dyn Scope) -> bool {
        items.scope(index).is_some_and(|item| {
            self.expression.matches(&Judged {
                subject,
                item: &item,
            })
        })
    }
}

/// What a personal filter lets through for one subject.
pub enum PersonalItems<'a> {
    Selected(Arc<RoaringBitmap>),
    /// Selecting would take too long: each item is judged when it is asked about.
    Judged(&'a PersonalFilter, &'a dyn Scope),
}

impl PersonalItems<'_> {
    pub fn holds(&self, items: &Items, index: ItemIndex) -> bool {
        match self {
            Self::Selected(members) => members.contains(index),
            Self::Judged(filter, subject) => filter.holds(items, index, *subject),
        }
    }

    fn members(&self) -> Option<Arc<RoaringBitmap>> {
        match self {
            Self::Selected(members) => Some(Arc::clone(members)),
            Self::Judged(..) => None,
        }
    }
}

/// The items a filter lets through, as of a version of the items.
#[derive(Debug, Default)]
struct Members(RwLock<Option<(u64, Arc<RoaringBitmap>)>>);

impl Members {
    /// None where nothing is held that could be patched, and `select` gives nothing.
    fn get(
        &self,
        items: &Items,
        select: impl FnOnce() -> Option<RoaringBitmap>,
        holds: impl Fn(ItemIndex) -> bool,
    ) -> Option<Arc<RoaringBitmap>> {
        let version = items.version();
        if let Some((of, members)) = &*self.0.read()
            && *of == version
        {
            return Some(Arc::clone(members));
        }
        let mut held = self.0.write();
        let members = match held.take() {
            Some((of, members)) if of == version => members,
            Some((of, members)) if version - of <= PATCHED_MAX => {
                patched(members, items.changed_since(of)?, holds)
            }
            _ => Arc::new(select()?),
        };
        *held = Some((version, Arc::clone(&members)));
        Some(members)
    }

    fn put(&self, items: &Items, members: RoaringBitmap) -> Arc<RoaringBitmap> {
        let members = Arc::new(members);
        *self.0.write() = Some((items.version(), Arc::clone(&members)));
        members
    }
}

fn patched(
    mut members: Arc<RoaringBitmap>,
    changed: impl Iterator<Item = ItemIndex>,
    holds: impl Fn(ItemIndex) -> bool,
) -> Arc<RoaringBitmap> {
    let patched = Arc::make_mut(&mut members);
    for index in changed {
        if holds(index) {
            patched.insert(index);
        } else {
            patched.remove(index);
        }
    }
    members
}

/// Items up to which a filter is walked itself. Ranking more of them costs more than a
/// decision may take.
const SELECTIVE_MAX: u64 = 4096;
/// A filter that lets through more than one item in so many is not walked: lists of the
/// best hold enough of its items.
const SELECTIVE_SHARE: u64 = 12;

/// The items that a decision's filters let through, where they are so few that lists of
/// the best would mostly be turned down: to be ranked themselves instead.
#[derive(Debug)]
pub struct SelectiveItems(Arc<RoaringBitmap>);

impl SelectiveItems {
    fn of(items: &Items, members: Arc<RoaringBitmap>) -> Option<Self> {
        let count = members.len();
        let is_few = count <= SELECTIVE_MAX && count * SELECTIVE_SHARE <= items.len() as u64;
        is_few.then_some(Self(members))
    }

    pub fn contains(&self, index: ItemIndex) -> bool {
        self.0.contains(index)
    }

    pub fn iter(&self) -> impl Iterator<Item = ItemIndex> + '_ {
        self.0.iter()
    }

    /// The best `max` of them in `into`, the best first and among equals the lower
    /// index; one that has no value is none of them.
    pub fn ranked(
        &self,
        max: usize,
        value: impl Fn(ItemIndex) -> Option<f64>,
        into: &mut Vec<(f64, ItemIndex)>,
    ) {
        let order =
            |a: &(f64, ItemIndex), b: &(f64, ItemIndex)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        into.clear();
        into.extend(
            self.0
                .iter()
                .filter_map(|index| Some((value(index)?, index))),
        );
        if into.len() > max {
            into.select_nth_unstable_by(max, order);
            into.truncate(max);
        }
        into.sort_unstable_by(order);
    }
}

/// The filters of one placement in one request, worked out for who asks.
#[derive(Default)]
pub struct Filters<'a> {
    request: Option<&'a ItemFilter>,
    strategy: Option<&'a ItemFilter>,
    personal: Option<PersonalItems<'a>>,
    selective: Option<SelectiveItems>,
}

impl<'a> Filters<'a> {
    pub fn new(
        items: &Items,
        subject: &'a dyn Scope,
        strategy: Option<&'a StrategyFilter>,
        request: Option<&'a ItemFilter>,
    ) -> Self {
        let (strategy, personal) = match strategy {
            None => (None, None),
            Some(StrategyFilter::Items(filter)) => (Some(&**filter), None),
            Some(StrategyFilter::Personal(filter)) => (None, Some(filter.bind(items, subject))),
        };
        let shared = [request, strategy].into_iter().flatten();
        let known = shared
            .map(|filter| filter.members(items))
            .chain(personal.iter().map(PersonalItems::members))
            .flatten();
        let all = known.reduce(|a, b| Arc::new(&*a & &*b));
        Self {
            request,
            strategy,
            selective: all.and_then(|all| SelectiveItems::of(items, all)),
            personal,
        }
    }

    pub fn request_holds(&self, items: &Items, index: ItemIndex) -> bool {
        self.request.is_none_or(|f| f.holds(items, index))
    }

    pub fn strategy_holds(&self, items: &Items, index: ItemIndex) -> bool {
        self.strategy.is_none_or(|f| f.holds(items, index))
            && self.personal.as_ref().is_none_or(|p| p.holds(items, index))
    }

    /// The items that all let through, where there are few.
    pub fn selective(&self) -> Option<&SelectiveItems> {
        self.selective.as_ref()
    }
}
