//! Ties told in short: profiles are numbered by age, and so are merges.

use super::*;
use proptest::prelude::*;
use uuid::Uuid;

fn id(n: u8) -> ProfileId {
    Uuid::from_u128(0x7000 + u128::from(n))
        .hyphenated()
        .to_string()
        .parse()
        .unwrap()
}

fn merge_id(n: usize) -> MergeId {
    MergeId(Uuid::from_u128(0x9000 + n as u128))
}

/// In the order of the list, one a second.
fn ties(pairs: &[(u8, u8)]) -> Vec<Tie> {
    let ties = pairs.iter().enumerate();
    let tie = |(n, (one, other)): (usize, &(u8, u8))| Tie {
        time_ms: 1_000 * n as i64,
        merge_id: Some(merge_id(n)),
        one: id(*one),
        other: id(*other),
    };
    ties.map(tie).collect()
}

/// Everybody who is named, as they are stored after the ties were made.
fn stored(pairs: &[(u8, u8)]) -> BTreeMap<ProfileId, Option<Joined>> {
    let named: BTreeSet<_> = pairs.iter().flat_map(|(a, b)| [id(*a), id(*b)]).collect();
    let mut forest = Forest::over(&named);
    ties(pairs).iter().for_each(|tie| forest.join(tie));
    forest.0
}

fn without(pairs: &[(u8, u8)], undone: &[usize]) -> Result<Vec<Part>, StillTied> {
    let undone = undone.iter().map(|n| merge_id(*n)).collect();
    Ties::of(&stored(pairs), ties(pairs)).without(&undone)
}

/// Profiles by part, and which merges still tie the two where it is refused.
type Expected = Result<Vec<Vec<u8>>, (usize, Vec<usize>)>;

fn check(pairs: &[(u8, u8)], undone: &[usize], expected: Expected) {
    let shown = without(pairs, undone).map(|parts| {
        let profiles = parts.iter().map(|part| part.profiles().collect());
        profiles.collect::<Vec<Vec<_>>>()
    });
    let expected = match expected {
        Ok(parts) => Ok(parts
            .into_iter()
            .map(|part| part.into_iter().map(id).collect())
            .collect()),
        Err((merge, by)) => Err(StillTied {
            merge_id: merge_id(merge),
            by: by.into_iter().map(merge_id).collect(),
        }),
    };
    assert_eq!(shown, expected, "{pairs:?} without {undone:?}");
}

#[test]
fn what_hangs_on_a_side_goes_with_it() {
    // The third came by the second, whoever lived then.
    check(&[(1, 2), (2, 3)], &[0], Ok(vec![vec![1], vec![2, 3]]));
    check(&[(1, 2), (2, 3)], &[1], Ok(vec![vec![1, 2], vec![3]]));
    check(&[(2, 3), (1, 3)], &[0], Ok(vec![vec![1, 3], vec![2]]));
    let star = [(1, 2), (3, 1), (1, 4)];
    check(&star, &[1], Ok(vec![vec![1, 2, 4], vec![3]]));
    check(&star, &[0, 2], Ok(vec![vec![1, 3], vec![2], vec![4]]));
}

#[test]
fn what_else_says_that_they_are_one_is_named_by_the_shortest_way() {
    let circle = [(1, 2), (2, 3), (1, 3)];
    check(&circle, &[0], Err((0, vec![2, 1])));
    check(&circle, &[1, 2], Ok(vec![vec![1, 2], vec![3]]));
    check(&circle, &[0, 1], Ok(vec![vec![1, 3], vec![2]]));
    let ladder = [(1, 2), (2, 3), (3, 4), (4, 1), (2, 4)];
    check(&ladder, &[3], Err((3, vec![4, 0])));
    check(&ladder, &[3, 4], Err((3, vec![2, 1, 0])));
    // One of those that are named parts nobody.
    check(
        &[(1, 2), (2, 3), (1, 3), (3, 4)],
        &[0, 3],
        Err((0, vec![2, 1])),
    );
}

#[test]
fn each_part_is_as_if_what_is_left_were_all_there_was() {
    let parts = without(&[(3, 4), (1, 2), (1, 4), (2, 3)], &[2, 3]).unwrap();
    let joined = |into, time_ms| Joined { into, time_ms };
    assert_eq!(parts[0].joined, [(id(2), joined(id(1), 1_000))].into());
    assert_eq!(parts[1].joined, [(id(4), joined(id(3), 0))].into());
    // What only confirmed before is what joins them now, when it was said.
    let parts = without(&[(1, 2), (2, 3), (1, 3)], &[0, 1]).unwrap();
    assert_eq!(parts[0].joined, [(id(3), joined(id(1), 2_000))].into());
}

#[test]
fn who_was_joined_before_merges_were_recorded_stays_joined() {
    let profiles = stored(&[(1, 2), (2, 3), (3, 4)]);
    let of_record = ties(&[(9, 9), (9, 9), (3, 4)]);
    let undone = BTreeSet::from([merge_id(2)]);
    let parts = Ties::of(&profiles, of_record).without(&undone);
    let parts = parts.unwrap();
    assert!(parts[0].profiles().eq([id(1), id(2), id(3)]));
    assert!(parts[1].profiles().eq([id(4)]));
}

/// Whom each profile reaches by the ties that are left.
fn reached(pairs: &[(u8, u8)], undone: &BTreeSet<usize>, from: u8) -> BTreeSet<u8> {
    let mut reached = BTreeSet::from([from]);
    loop {
        let before = reached.len();
        for (_, (a, b)) in pairs
            .iter()
            .enumerate()
            .filter(|(n, _)| !undone.contains(n))
        {
            if reached.contains(a) || reached.contains(b) {
                reached.extend([*a, *b]);
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

proptest! {
    #[test]
    fn parts_are_what_the_graph_connects(
        pairs in prop::collection::vec((0u8..8, 0u8..8), 1..20),
        undone in prop::collection::btree_set(0usize..20, 0..6),
    ) {
        let undone: BTreeSet<_> = undone.into_iter().filter(|n| *n < pairs.len()).collect();
        let whole = reached(&pairs, &BTreeSet::new(), pairs[0].0);
        let pairs: Vec<_> = pairs.into_iter().filter(|(a, _)| whole.contains(a)).collect();
        let undone: BTreeSet<_> = undone.into_iter().filter(|n| *n < pairs.len()).collect();
        let listed: Vec<_> = undone.iter().copied().collect();
        let one = |n: &usize| reached(&pairs, &undone, pairs[*n].0).contains(&pairs[*n].1);
        match without(&pairs, &listed) {
            Err(still) => {
                // One that parts nobody, and a way around it that stands.
                let n = listed.iter().find(|n| merge_id(**n) == still.merge_id).unwrap();
                prop_assert!(one(n));
                let mut at = BTreeSet::from([id(pairs[*n].0)]);
                for by in &still.by {
                    let m = (0..pairs.len()).find(|m| merge_id(*m) == *by).unwrap();
                    prop_assert!(!undone.contains(&m));
                    let (a, b) = (id(pairs[m].0), id(pairs[m].1));
                    prop_assert!(at.contains(&a) || at.contains(&b));
                    at = [a, b].into_iter().filter(|i| !at.contains(i)).collect();
                }
                let (a, b) = pairs[*n];
                prop_assert!(a == b || at == BTreeSet::from([id(b)]));
            }
            Ok(parts) => {
                prop_assert!(!listed.iter().any(one));
                let shown: BTreeSet<BTreeSet<_>> =
                    parts.iter().map(|p| p.profiles().collect()).collect();
                let expected: BTreeSet<BTreeSet<_>> = whole
                    .iter()
                    .map(|n| reached(&pairs, &undone, *n).into_iter().map(id).collect())
                    .collect();
                prop_assert_eq!(shown, expected);
                prop_assert!(parts.is_sorted_by_key(|part| part.root));
                for part in parts {
                    // Each is joined to an older one of its part.
                    let of: BTreeSet<_> = part.profiles().collect();
                    for (id, joined) in part.joined {
                        prop_assert!(joined.into < id && of.contains(&joined.into));
                    }
                }
            }
        }
    }
}
