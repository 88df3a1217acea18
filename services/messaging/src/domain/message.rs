//! A message on its way: what it says, to whom, and how its delivery stands.

/// What is sent by e-mail in this slice; other channels follow.
pub const EMAIL: &str = "email";

/// Words, as they will be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Empty where no template was used.
    pub template_id: String,
    pub locale: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Queued,
    Delivered,
    Failed,
}

impl State {
    /// As stored; these numbers are never given another meaning.
    pub fn code(self) -> i64 {
        match self {
            State::Queued => 1,
            State::Delivered => 2,
            State::Failed => 3,
        }
    }

    pub fn from_code(code: i64) -> Option<State> {
        [State::Queued, State::Delivered, State::Failed]
            .into_iter()
            .find(|state| state.code() == code)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub workspace: String,
    pub message_id: String,
    pub channel: String,
    pub to: String,
    pub profile_id: String,
    pub content: Content,
    pub state: State,
    pub attempt_count: i32,
    pub last_error: String,
    pub create_ms: i64,
    /// While queued: when it is tried next, or, while it is being tried, when another
    /// worker may take over.
    pub due_ms: i64,
    pub delivery_ms: Option<i64>,
}
