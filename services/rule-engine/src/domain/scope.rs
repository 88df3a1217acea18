//! An item judged for a person, where the person is known only behind a trait object.
//! Forwards names to whichever side has them; holds no values.

use attune_expr::{ContextField, ItemField, Scope, Value};

/// See [`attune_expr::Judged`], which needs to know the subject's type.
pub struct Judged<'a, I> {
    pub subject: &'a dyn Scope,
    pub item: &'a I,
}

impl<I: Scope> Scope for Judged<'_, I> {
    fn profile(&self, trait_id: &str) -> Value<'_> {
        self.subject.profile(trait_id)
    }

    fn segments(&self) -> Value<'_> {
        self.subject.segments()
    }

    fn in_segment(&self, segment_id: &str) -> bool {
        self.subject.in_segment(segment_id)
    }

    fn context(&self, field: ContextField) -> Value<'_> {
        self.subject.context(field)
    }

    fn item(&self, field: ItemField) -> Value<'_> {
        self.item.item(field)
    }

    fn characteristic(&self, name: &str) -> Value<'_> {
        self.item.characteristic(name)
    }

    fn consent(&self, purpose: &str) -> bool {
        self.subject.consent(purpose)
    }

    fn subject_key(&self) -> &str {
        self.subject.subject_key()
    }
}
