//! What a message looks like as an e-mail: headers and MIME parts. Makes bytes; never
//! sends them.

use lettre::{
    Address, Message as Mail,
    message::{Mailbox, MultiPart, SinglePart, header},
};

use super::message::Message;

/// A mail in transit format and whom the envelope names.
#[derive(Debug, Clone)]
pub struct Rendered {
    pub envelope: lettre::address::Envelope,
    pub bytes: Vec<u8>,
}

/// The `Message-ID` of a message. Always the same for the same message, so that a
/// receiver recognises a mail that was delivered twice; in the domain of the sender,
/// as RFC 5322 3.6.4 wants it.
pub fn message_id_header(message_id: &str, from: &Mailbox) -> String {
    format!("<{message_id}@{}>", from.email.domain())
}

/// Builds the mail, or says why the message cannot become one.
pub fn build(message: &Message, from: &Mailbox, to: Address) -> Result<Rendered, String> {
    let created = std::time::UNIX_EPOCH
        + std::time::Duration::from_millis(u64::try_from(message.create_ms).unwrap_or(0));
    let mut builder = Mail::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(message.content.subject.as_str())
        .date(created)
        .message_id(Some(message_id_header(&message.message_id, from)))
        // RFC 3834: no holiday notes in answer to a machine.
        .header(AutoSubmitted);
    if !message.content.locale.is_empty() {
        builder = builder.header(ContentLanguage(message.content.locale.clone()));
    }
    let (text, html) = (&message.content.text, &message.content.html);
    let mail = match (text.is_empty(), html.is_empty()) {
        // The richest last, as multipart/alternative has it.
        (false, false) => builder.multipart(
            MultiPart::alternative()
                .singlepart(SinglePart::plain(text.clone()))
                .singlepart(SinglePart::html(html.clone())),
        ),
        (true, false) => builder.singlepart(SinglePart::html(html.clone())),
        (_, true) => builder.singlepart(SinglePart::plain(text.clone())),
    }
    .map_err(|error| error.to_string())?;
    Ok(Rendered {
        envelope: mail.envelope().clone(),
        bytes: mail.formatted(),
    })
}

#[derive(Clone)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }
    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }
    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[derive(Clone)]
struct ContentLanguage(String);

impl header::Header for ContentLanguage {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Content-Language")
    }
    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }
    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        address,
        message::{Content, State},
    };

    fn message(content: Content) -> Message {
        Message {
            workspace: "default".into(),
            message_id: "0190-a".into(),
            channel: "email".into(),
            to: "ann@example.com".into(),
            profile_id: String::new(),
            content,
            state: State::Queued,
            attempt_count: 1,
            last_error: String::new(),
            create_ms: 1_700_000_000_000,
            due_ms: 0,
            delivery_ms: None,
        }
    }

    fn written(content: Content) -> String {
        let from = address::parse_mailbox("Fells Outdoor <hello@shop.example>").unwrap();
        let to = address::parse("ann@example.com").unwrap();
        let mail = build(&message(content), &from, to).unwrap();
        String::from_utf8(mail.bytes).unwrap()
    }

    #[test]
    fn text_and_html_travel_as_alternatives_with_the_html_last() {
        let mail = written(Content {
            locale: "de-AT".into(),
            subject: "Für dich: Zelte".into(),
            text: "Grüße".into(),
            html: "<p>Grüße</p>".into(),
            ..Content::default()
        });
        for header in [
            "From: \"Fells Outdoor\" <hello@shop.example>\r\n",
            "To: ann@example.com\r\n",
            "Message-ID: <0190-a@shop.example>\r\n",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n",
            "MIME-Version: 1.0\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Language: de-AT\r\n",
            "Content-Type: multipart/alternative",
        ] {
            assert!(mail.contains(header), "{header:?} in\n{mail}");
        }
        assert!(mail.is_ascii(), "encoded for any server");
        let plain = mail.find("Content-Type: text/plain").unwrap();
        let html = mail.find("Content-Type: text/html").unwrap();
        assert!(plain < html);
    }

    #[test]
    fn a_single_part_travels_alone() {
        let mail = written(Content {
            subject: "Hi".into(),
            text: "Hello".into(),
            ..Content::default()
        });
        assert!(mail.contains("Content-Type: text/plain; charset=utf-8"));
        assert!(!mail.contains("multipart"));
    }

    #[test]
    fn a_line_break_in_a_subject_makes_no_header() {
        let mail = written(Content {
            subject: "Hi\r\nBcc: eve@example.com".into(),
            text: "Hello".into(),
            ..Content::default()
        });
        assert!(!mail.contains("\r\nBcc:"), "{mail}");
    }

    #[test]
    fn a_message_keeps_its_id_over_attempts() {
        let from = address::parse_mailbox("hello@shop.example").unwrap();
        let once = message_id_header("0190-a", &from);
        assert_eq!(once, message_id_header("0190-a", &from));
        assert_eq!(once, "<0190-a@shop.example>");
    }
}
