//! Who is one person, by the graph of what was said and nothing else: numbers that are
//! tied, and ties that stand or do not.

use std::collections::BTreeSet;

/// People, by what they are known by, the strongest first.
pub const WHO: [&str; 6] = [
    "u:p0",
    "u:p1",
    "crm_id:p2",
    "loyalty_card:p3",
    "email:p4@shop.example",
    "phone:+436641234567",
];
/// Profiles that become one person.
pub const PROFILES_MAX: usize = 4;
const TIES_MAX: usize = 4 * PROFILES_MAX;

/// Two that somebody said are one, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tie {
    pub step: usize,
    /// Which of the step's messages.
    pub message: usize,
    pub one: usize,
    pub other: usize,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Stands,
    Undone,
    /// With the people it was about.
    Erased,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub ties: Vec<Tie>,
    apart: BTreeSet<(usize, usize)>,
}

impl Model {
    pub fn standing(&self) -> impl Iterator<Item = &Tie> {
        self.ties.iter().filter(|tie| tie.state == State::Stands)
    }

    /// Whoever is connected with somebody by what stands, themselves included.
    pub fn person(&self, who: usize) -> BTreeSet<usize> {
        let mut person = BTreeSet::from([who]);
        loop {
            let before = person.len();
            for tie in self.standing() {
                if person.contains(&tie.one) || person.contains(&tie.other) {
                    person.extend([tie.one, tie.other]);
                }
            }
            if person.len() == before {
                return person;
            }
        }
    }

    fn is_one(&self, a: usize, b: usize) -> bool {
        self.person(a).contains(&b)
    }

    fn customers(&self, who: usize) -> usize {
        let person = self.person(who).into_iter();
        person.filter(|who| WHO[*who].starts_with("u:")).count()
    }

    fn is_apart(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.person(a), self.person(b));
        let mut pairs = self.apart.iter();
        pairs.any(|(x, y)| (a.contains(x) && b.contains(y)) || (a.contains(y) && b.contains(x)))
    }

    fn fits(&self, a: usize, b: usize) -> bool {
        self.person(a).len() + self.person(b).len() <= PROFILES_MAX
    }

    fn is_new(&self, a: usize, b: usize) -> bool {
        let between = |tie: &Tie| [(a, b), (b, a)].contains(&(tie.one, tie.other));
        let person = self.person(a);
        let held = self.standing().filter(|tie| person.contains(&tie.one));
        a != b && !self.standing().any(between) && held.count() < TIES_MAX
    }

    /// A message names several; the first is the strongest.
    pub fn name(&mut self, at: (usize, usize), named: &[usize]) {
        let first = named[0];
        for other in &named[1..] {
            let ties = match self.is_one(first, *other) {
                true => self.is_new(first, *other) && self.customers(first) <= 1,
                false => {
                    let both_known = self.customers(first) > 0 && self.customers(*other) > 0;
                    !both_known && !self.is_apart(first, *other) && self.fits(first, *other)
                }
            };
            if ties {
                self.tie(at, first, *other);
            }
        }
    }

    /// Somebody says expressly that two are one. Whether they may be.
    pub fn alias(&mut self, step: usize, who: usize, previous: usize) -> bool {
        match self.is_one(who, previous) {
            true if self.is_new(who, previous) => self.tie((step, 0), who, previous),
            true => {}
            false if self.fits(who, previous) => self.tie((step, 0), who, previous),
            false => return false,
        }
        true
    }

    pub fn merge(&mut self, step: usize, a: usize, b: usize) -> bool {
        let merges = !self.is_one(a, b) && self.fits(a, b);
        if merges {
            self.tie((step, 0), a, b);
        }
        merges
    }

    fn tie(&mut self, (step, message): (usize, usize), one: usize, other: usize) {
        self.ties.push(Tie {
            step,
            message,
            one,
            other,
            state: State::Stands,
        });
    }

    /// Without these: whether each of them parts the two it is about.
    pub fn part(&self, undone: &[Tie]) -> Option<Self> {
        let mut parted = self.clone();
        for tie in &mut parted.ties {
            if undone.contains(tie) {
                tie.state = State::Undone;
            }
        }
        if undone.iter().any(|tie| parted.is_one(tie.one, tie.other)) {
            return None;
        }
        parted
            .apart
            .extend(undone.iter().map(|tie| (tie.one, tie.other)));
        Some(parted)
    }

    /// Everything that was said of a person is gone; who comes back is somebody new.
    pub fn erase(&mut self, who: usize) -> BTreeSet<usize> {
        let person = self.person(who);
        for tie in &mut self.ties {
            if person.contains(&tie.one) && tie.state == State::Stands {
                tie.state = State::Erased;
            }
        }
        self.apart
            .retain(|(a, b)| !person.contains(a) && !person.contains(b));
        person
    }

    /// Whether what a message said of two holds in the end.
    pub fn held(&self, at: (usize, usize), other: usize) -> bool {
        let mut ties = self.ties.iter();
        ties.any(|tie| {
            (tie.step, tie.message, tie.other) == (at.0, at.1, other) && tie.state != State::Undone
        })
    }
}
