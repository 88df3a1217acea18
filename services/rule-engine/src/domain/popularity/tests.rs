//! What popularity promises, event by event.

use super::*;

const DAY_MS: i64 = 24 * 3_600_000;

fn all(n: u32) -> BitSet {
    let mut bits = BitSet::default();
    (0..n).for_each(|i| {
        bits.set(i, true);
    });
    bits
}

fn popular(p: &Popularity) -> Vec<u32> {
    p.popular(None).iter().collect()
}

#[test]
fn a_purchase_counts_more_than_a_view_and_the_new_more_than_the_old() {
    let mut p = Popularity::default();
    let items = all(4);
    p.record(Signal::View, 0, 100 * DAY_MS, &items);
    p.record(Signal::Purchase, 1, 100 * DAY_MS, &items);
    p.record(Signal::View, 2, 60 * DAY_MS, &items);
    p.record(Signal::View, 3, 101 * DAY_MS, &items);
    assert_eq!(popular(&p), [1, 3, 0, 2]);
}

#[test]
fn events_a_hundred_years_apart_keep_their_order() {
    let mut p = Popularity::default();
    let items = all(3);
    for (index, day) in [(0, 0), (1, 20_000), (2, 36_500)] {
        p.record(Signal::View, index, day * DAY_MS, &items);
    }
    p.record(Signal::View, 0, 36_501 * DAY_MS, &items);
    assert_eq!(popular(&p)[..2], [0, 2]);
}

const IMPORTED: u32 = 50;

/// A thousand views of fifty items within a year.
fn import(p: &mut Popularity, items: &BitSet) {
    for n in 0..1_000_i64 {
        let index = (n % i64::from(IMPORTED)) as u32;
        p.record(Signal::View, index, n * 8 * 3_600_000, items);
    }
}

#[test]
fn one_view_does_not_outweigh_a_year_old_history_but_thirty_do() {
    let items = all(IMPORTED + 10);
    let (now_ms, x) = (700 * DAY_MS, IMPORTED);
    for is_imported_first in [true, false] {
        let mut p = Popularity::default();
        if is_imported_first {
            import(&mut p, &items);
        }
        p.record(Signal::View, x, now_ms, &items);
        if !is_imported_first {
            import(&mut p, &items);
        }
        assert_eq!(popular(&p).last(), Some(&x));
        for n in 1..30 {
            p.record(Signal::View, x, now_ms + n, &items);
        }
        assert_eq!(popular(&p)[0], x);
    }
}

#[test]
fn the_past_does_not_matter_where_much_happens_today() {
    let mut p = Popularity::default();
    let items = all(IMPORTED + 10);
    import(&mut p, &items);
    for n in 0..20_000_i64 {
        let index = IMPORTED + (n % 10) as u32;
        p.record(Signal::View, index, 700 * DAY_MS + n * 1000, &items);
    }
    let first: std::collections::BTreeSet<u32> = popular(&p)[..10].iter().copied().collect();
    assert_eq!(first, (IMPORTED..IMPORTED + 10).collect());
}

#[test]
fn lists_kept_event_by_event_are_those_made_anew() {
    let mut p = Popularity::default();
    let items = all(300);
    for n in 0..4_000_i64 {
        let signal = [Signal::View, Signal::AddToCart, Signal::Purchase][(n % 7 % 3) as usize];
        // Late ones among them, and gaps of a month.
        let time_ms = n * 7_200_000 + n / 500 * 30 * DAY_MS - n % 11 * DAY_MS;
        p.record(signal, (n * n % 300) as u32, time_ms, &items);
        if n % 500 == 0 {
            for view in VIEWS {
                let kept: Vec<u32> = p.popular(view).iter().collect();
                p.rebuild_popular(view, &items);
                assert_eq!(kept, p.popular(view).iter().collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn what_grows_faster_than_its_past_is_trending() {
    let mut p = Popularity::default();
    let items = all(2);
    for day in 0..60 {
        for hour in 0..12 {
            p.record(Signal::View, 0, day * DAY_MS + hour * 7_200_000, &items);
        }
    }
    for minute in 0..20 {
        p.record(Signal::View, 1, 60 * DAY_MS + minute * 60_000, &items);
    }
    p.refresh(&items);
    assert_eq!(p.trending(None).iter().collect::<Vec<_>>(), [1]);
    assert_eq!(popular(&p), [0, 1]);
}

#[test]
fn an_item_that_is_not_offerable_leaves_the_lists_and_comes_back() {
    let mut p = Popularity::default();
    let mut items = all(2);
    p.record(Signal::View, 0, DAY_MS, &items);
    p.record(Signal::Purchase, 1, DAY_MS, &items);
    let change = |is_offerable| ItemChange {
        index: 1,
        is_offerable,
    };
    items.set(1, false);
    p.item_changed(change(false), &items);
    assert_eq!(popular(&p), [0]);
    items.set(1, true);
    p.item_changed(change(true), &items);
    assert_eq!(popular(&p), [1, 0]);
}

#[test]
fn a_restored_state_answers_the_same() {
    let mut p = Popularity::default();
    let items = all(50);
    p.rebuild(&items);
    for i in 0..500_i64 {
        let index = (i * i % 50) as u32;
        p.record(Signal::View, index, i * 3_600_000, &items);
    }
    p.refresh(&items);
    let indexes: Vec<u32> = p.touched().collect();
    let bytes = postcard::to_stdvec(&p.store(&indexes)).unwrap();
    let again = Popularity::restore(postcard::from_bytes(&bytes).unwrap(), &indexes, &items);
    assert_eq!(popular(&p), popular(&again));
    assert_eq!(p.little_known(), again.little_known());
}
