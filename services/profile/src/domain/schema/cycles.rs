//! Whether a computed trait comes to read itself by way of others. Depth-first over what
//! each reads; a trait is entered once.

use std::collections::BTreeSet;

use attune_expr::Expression;

use super::TraitSchemas;

/// The way from a trait through what it reads back to it, if there is one: its id at
/// both ends. `compiled` is what it is to be, `traits` what the others are.
pub fn through(
    trait_id: &str,
    compiled: &Expression,
    traits: &TraitSchemas,
) -> Option<Vec<String>> {
    let mut entered: BTreeSet<String> = BTreeSet::new();
    let mut ways: Vec<Vec<String>> = vec![vec![trait_id.to_owned()]];
    while let Some(way) = ways.pop() {
        let here = way.last()?.as_str();
        let read = match here == trait_id {
            true => Some(compiled),
            false => traits.get(here).and_then(|t| t.computed.as_ref()),
        };
        for next in read.iter().flat_map(|read| read.reads().traits) {
            let mut longer = way.clone();
            longer.push(next.to_owned());
            if next == trait_id {
                return Some(longer);
            }
            if entered.insert(next.to_owned()) {
                ways.push(longer);
            }
        }
    }
    None
}
