//! Where in a message the decoder is, as a chain on the stack, so that a path costs
//! nothing until something is wrong. Writes `items[3].title["en"]`; knows no rule.

use std::fmt;

/// A step into a message, and how one got there.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    pub const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    pub fn field(&'a self, name: &'a str) -> Path<'a> {
        self.step(Step::Field(name))
    }

    pub fn index(&'a self, index: usize) -> Path<'a> {
        self.step(Step::Index(index))
    }

    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        self.step(Step::Key(key))
    }

    fn step(&'a self, step: Step<'a>) -> Path<'a> {
        Path {
            parent: Some(self),
            step,
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key:?}]"),
            Step::Field(name) => match self.parent {
                None
                | Some(Path {
                    step: Step::Root, ..
                }) => f.write_str(name),
                Some(_) => write!(f, ".{name}"),
            },
        }
    }
}
