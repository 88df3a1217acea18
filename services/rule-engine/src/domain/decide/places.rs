//! Where each of a few hundred items is in a list: a hash table that stays in the
//! nearest cache and is emptied by counting up. Knows nothing of what the list holds.

use super::ItemIndex;

const CELLS_MIN: usize = 512;

/// Positions by item.
#[derive(Debug)]
pub(super) struct Places {
    /// A power of two of them, at most half of them in use.
    cells: Vec<Cell>,
    generation: u32,
    held: usize,
}

/// In use only if it is of this generation.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    generation: u32,
    index: ItemIndex,
    position: u32,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            cells: vec![Cell::default(); CELLS_MIN],
            generation: 1,
            held: 0,
        }
    }
}

impl Places {
    pub fn clear(&mut self) {
        self.held = 0;
        self.generation = self.generation.wrapping_add(1);
        if self.generation == 0 {
            self.cells.fill(Cell::default());
            self.generation = 1;
        }
    }

    pub fn get(&self, index: ItemIndex) -> Option<u32> {
        // Most are empty in most decisions.
        if self.held == 0 {
            return None;
        }
        let cell = &self.cells[self.seek(index)];
        (cell.generation == self.generation).then_some(cell.position)
    }

    pub fn contains(&self, index: ItemIndex) -> bool {
        self.get(index).is_some()
    }

    /// The position an item already has; otherwise it has this one from now on.
    pub fn get_or_insert(&mut self, index: ItemIndex, position: u32) -> Option<u32> {
        let at = self.seek(index);
        let cell = &mut self.cells[at];
        if cell.generation == self.generation {
            return Some(cell.position);
        }
        *cell = Cell {
            generation: self.generation,
            index,
            position,
        };
        self.held += 1;
        if 2 * self.held > self.cells.len() {
            self.grow();
        }
        None
    }

    /// The item's cell, or the free one it would have.
    fn seek(&self, index: ItemIndex) -> usize {
        let mask = self.cells.len() - 1;
        let mixed = index.wrapping_mul(0x9e37_79b1);
        let mut at = (mixed ^ mixed >> 15) as usize & mask;
        loop {
            let cell = &self.cells[at];
            if cell.generation != self.generation || cell.index == index {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let twice = vec![Cell::default(); 2 * self.cells.len()];
        let cells = std::mem::replace(&mut self.cells, twice);
        let held = cells
            .iter()
            .filter(|cell| cell.generation == self.generation);
        for cell in held {
            let at = self.seek(cell.index);
            self.cells[at] = *cell;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_keeps_its_first_place_until_all_are_forgotten() {
        let mut places = Places::default();
        for generation in [1, 2, u32::MAX] {
            places.generation = generation;
            for n in 0..3_000 {
                assert_eq!(places.get_or_insert(n * 4096, n), None);
                assert_eq!(places.get_or_insert(n * 4096, n + 1), Some(n));
            }
            assert!((0..3_000).all(|n| places.get(n * 4096) == Some(n)));
            assert!(!places.contains(1));
            places.clear();
            assert!((0..3_000).all(|n| !places.contains(n * 4096)));
        }
    }
}
