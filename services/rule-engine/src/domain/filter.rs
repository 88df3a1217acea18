//! An expression over items with a memory: an item is judged once and its verdict kept
//! in two bits until the item changes. Judging the whole catalog when a rule is saved
//! was rejected: a thousand rules over a hundred thousand items would hold up the start
//! by half a minute, for verdicts that are mostly never asked for.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use attune_expr::Expression;

use super::items::{ItemIndex, Items};

const PAGE_ITEMS: usize = 4096;
/// Two bits per item, next to each other: one memory access for both.
const WORD_ITEMS: usize = 32;
const PAGE_WORDS: usize = PAGE_ITEMS / WORD_ITEMS;
const KNOWN: u64 = 1;
const HOLDS: u64 = 2;
/// Items beyond are judged anew each time.
const PAGES_MAX: usize = 256;

/// Verdicts on the items by index.
#[derive(Debug)]
pub struct ItemFilter {
    expression: Expression,
    pages: Box<[OnceLock<Box<Page>>]>,
}

#[derive(Debug)]
struct Page([AtomicU64; PAGE_WORDS]);

impl Page {
    fn new() -> Box<Self> {
        Box::new(Self([const { AtomicU64::new(0) }; PAGE_WORDS]))
    }
}

impl ItemFilter {
    pub fn new(expression: Expression) -> Self {
        Self {
            expression,
            pages: (0..PAGES_MAX).map(|_| OnceLock::new()).collect(),
        }
    }

    pub fn source(&self) -> &str {
        self.expression.source()
    }

    /// Whether the item satisfies the expression; an absent item satisfies none. The
    /// caller's shared borrow of the items keeps `forget` away meanwhile.
    pub fn holds(&self, items: &Items, index: ItemIndex) -> bool {
        let Some(page) = self.pages.get(index as usize / PAGE_ITEMS) else {
            return self.judge(items, index);
        };
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

    /// The item has changed. Called while nobody can be judging.
    pub fn forget(&self, index: ItemIndex) {
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
