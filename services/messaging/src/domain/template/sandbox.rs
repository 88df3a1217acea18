//! Where a template runs: what it can see, what it has assigned, and the budget that
//! everything it does is paid from. Missing names are nil, never an error.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

use liquid_core::{
    Error, Object, ObjectView, Result, Runtime, Value, ValueCow, ValueView,
    model::{KString, KStringCow, KStringRef, ScalarCow, try_find},
    runtime::{PartialStore, Registers},
};

use super::Limits;

/// How many steps pass between two looks at the clock.
const STEPS_BETWEEN_LOOKS: u64 = 64;

/// What is left to spend. Kept in the registers, where filters and blocks reach it.
#[derive(Debug, Default)]
pub(super) struct Budget {
    pub value_bytes_max: usize,
    bytes_left: usize,
    steps_left: u64,
    started: Option<Instant>,
    time_max: Duration,
    limit_reached: Option<&'static str>,
}

impl Budget {
    pub fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            value_bytes_max: limits.value_bytes_max,
            bytes_left: limits.total_bytes_max,
            steps_left: limits.steps_max,
            started: Some(now),
            time_max: limits.time_max,
            limit_reached: None,
        }
    }

    fn step(&mut self) -> Result<()> {
        if self.limit_reached.is_none() {
            match self.steps_left.checked_sub(1) {
                Some(left) => self.steps_left = left,
                None => self.limit_reached = Some("the template takes too many steps"),
            }
            let look = self.steps_left.is_multiple_of(STEPS_BETWEEN_LOOKS);
            if look && self.started.is_some_and(|it| it.elapsed() > self.time_max) {
                self.limit_reached = Some("the template takes too long");
            }
        }
        self.result()
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        if self.limit_reached.is_none() {
            match self.bytes_left.checked_sub(bytes) {
                _ if bytes > self.value_bytes_max => {
                    self.limit_reached = Some("a value is too long");
                }
                Some(left) => self.bytes_left = left,
                None => self.limit_reached = Some("the template needs too much memory"),
            }
        }
        self.result()
    }

    fn result(&self) -> Result<()> {
        match self.limit_reached {
            None => Ok(()),
            Some(limit) => Err(Error::with_msg(limit)),
        }
    }
}

/// Pays for one step: a loop's turn, a filter, a look-up.
pub(super) fn step(runtime: &dyn Runtime) -> Result<()> {
    runtime.registers().get_mut::<Budget>().step()
}

/// Pays for a value of this size.
pub(super) fn take(runtime: &dyn Runtime, bytes: usize) -> Result<()> {
    runtime.registers().get_mut::<Budget>().take(bytes)
}

pub(super) fn value_bytes_max(runtime: &dyn Runtime) -> usize {
    runtime.registers().get_mut::<Budget>().value_bytes_max
}

/// Roughly what a value occupies.
pub(super) fn weight(value: &Value) -> usize {
    const OVERHEAD: usize = 32;
    match value {
        Value::Scalar(scalar) => OVERHEAD + scalar.to_kstr().len(),
        Value::Array(values) => OVERHEAD + values.iter().map(weight).sum::<usize>(),
        Value::Object(object) => {
            let entries = object.iter().map(|(k, v)| k.len() + weight(v));
            OVERHEAD + entries.sum::<usize>()
        }
        Value::State(_) | Value::Nil => OVERHEAD,
    }
}

/// The outermost scope.
pub(super) struct Sandbox<'a> {
    globals: &'a Object,
    assigned: RefCell<Object>,
    registers: Registers,
}

impl<'a> Sandbox<'a> {
    pub fn new(globals: &'a Object, budget: Budget) -> Self {
        let registers = Registers::default();
        *registers.get_mut::<Budget>() = budget;
        Self {
            globals,
            assigned: RefCell::default(),
            registers,
        }
    }

    pub fn limit_reached(&self) -> Option<&'static str> {
        self.registers.get_mut::<Budget>().limit_reached
    }
}

impl Runtime for Sandbox<'_> {
    fn partials(&self) -> &dyn PartialStore {
        &NoPartials
    }

    fn name(&self) -> Option<KStringRef<'_>> {
        None
    }

    fn roots(&self) -> BTreeSet<KStringCow<'_>> {
        ObjectView::keys(self.globals).collect()
    }

    fn try_get(&self, path: &[ScalarCow<'_>]) -> Option<ValueCow<'_>> {
        let root = path.first()?.to_kstr();
        let assigned = self.assigned.borrow();
        if !assigned.contains_key(root.as_str()) {
            return try_find(self.globals, path);
        }
        // Owned, since what was assigned may be assigned anew.
        let found = try_find(&*assigned, path)?.into_owned();
        take(self, weight(&found)).ok()?;
        Some(ValueCow::Owned(found))
    }

    fn get(&self, path: &[ScalarCow<'_>]) -> Result<ValueCow<'_>> {
        step(self)?;
        Ok(self.try_get(path).unwrap_or(ValueCow::Owned(Value::Nil)))
    }

    fn set_global(&self, name: KString, value: Value) -> Option<Value> {
        // The trait has no way to refuse; the next step or the end will.
        take(self, weight(&value)).ok()?;
        self.assigned.borrow_mut().insert(name, value)
    }

    fn set_index(&self, _: KString, _: Value) -> Option<Value> {
        None // For `increment` and `decrement`, which are not part of the language here.
    }

    fn get_index<'b>(&'b self, _: &str) -> Option<ValueCow<'b>> {
        None
    }

    fn registers(&self) -> &Registers {
        &self.registers
    }
}

/// The scope of one turn of a loop: the loop's variable and `forloop`.
pub(super) struct Turn<'a> {
    pub parent: &'a dyn Runtime,
    pub name: &'a str,
    pub value: &'a dyn ValueView,
    pub forloop: &'a Object,
}

impl Runtime for Turn<'_> {
    fn partials(&self) -> &dyn PartialStore {
        self.parent.partials()
    }

    fn name(&self) -> Option<KStringRef<'_>> {
        self.parent.name()
    }

    fn roots(&self) -> BTreeSet<KStringCow<'_>> {
        self.parent.roots()
    }

    fn try_get(&self, path: &[ScalarCow<'_>]) -> Option<ValueCow<'_>> {
        let (root, rest) = path.split_first()?;
        let root = root.to_kstr();
        if root == self.name {
            try_find(self.value, rest)
        } else if root == "forloop" {
            try_find(self.forloop, rest)
        } else {
            self.parent.try_get(path)
        }
    }

    fn get(&self, path: &[ScalarCow<'_>]) -> Result<ValueCow<'_>> {
        step(self)?;
        Ok(self.try_get(path).unwrap_or(ValueCow::Owned(Value::Nil)))
    }

    fn set_global(&self, name: KString, value: Value) -> Option<Value> {
        self.parent.set_global(name, value)
    }

    fn set_index(&self, name: KString, value: Value) -> Option<Value> {
        self.parent.set_index(name, value)
    }

    fn get_index<'b>(&'b self, name: &str) -> Option<ValueCow<'b>> {
        self.parent.get_index(name)
    }

    fn registers(&self) -> &Registers {
        self.parent.registers()
    }
}

#[derive(Debug)]
struct NoPartials;

impl PartialStore for NoPartials {
    fn contains(&self, _: &str) -> bool {
        false
    }
    fn names(&self) -> Vec<&str> {
        Vec::new()
    }
    fn try_get(&self, _: &str) -> Option<std::sync::Arc<dyn liquid_core::Renderable>> {
        None
    }
    fn get(&self, name: &str) -> Result<std::sync::Arc<dyn liquid_core::Renderable>> {
        Err(Error::with_msg(format!("there is no partial `{name}`")))
    }
}

/// Collects output up to a limit.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    overflowed: bool,
}

impl Bounded {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            bytes_max,
            overflowed: false,
        }
    }

    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Only strings are written, so nothing is ever replaced.
    pub fn into_string(self) -> String {
        String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            self.overflowed = true;
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
