//! E-mail addresses: what may be written to. An address that passes here can be put
//! into an SMTP command and a header without being able to change either.

use lettre::{Address, message::Mailbox};

/// RFC 5321, 4.5.3.1.3: a path has at most 256 characters with its angle brackets.
const ADDRESS_LENGTH_MAX: usize = 254;

/// One address without a name (RFC 5322 addr-spec), or what is wrong with it.
pub fn parse(text: &str) -> Result<Address, &'static str> {
    if text.is_empty() {
        return Err("must not be empty");
    }
    if text.len() > ADDRESS_LENGTH_MAX {
        return Err("must not be longer than 254 characters");
    }
    // The grammar allows quoted blanks; no mailbox in use needs them, and they are
    // what an injected SMTP command is made of.
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must not contain white space");
    }
    let address: Address = text
        .parse()
        .map_err(|_| "must be one e-mail address, e.g. ann@example.com")?;
    if address.domain().starts_with('[') {
        return Err("must have a domain name, not an IP address");
    }
    Ok(address)
}

/// An address with or without a name, as in a `From` header: `Shop <hello@shop.example>`.
pub fn parse_mailbox(text: &str) -> Result<Mailbox, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    text.parse()
        .map_err(|_| "must be an e-mail address, e.g. `Shop <hello@shop.example>`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_plain_address_is_accepted() {
        for (text, accepted) in [
            ("ann@example.com", true),
            ("ann+news@mail.example.co.uk", true),
            ("ünal@example.com", true),
            ("ann@bücher.example", true),
            ("", false),
            ("ann", false),
            ("@example.com", false),
            ("ann@", false),
            ("ann@exa mple.com", false),
            ("Ann <ann@example.com>", false),
            ("ann@example.com, bob@example.com", false),
            ("ann@example.com\r\nRCPT TO:<eve@example.com>", false),
            ("\"a b\"@example.com", false),
            ("ann@[127.0.0.1]", false),
        ] {
            assert_eq!(parse(text).is_ok(), accepted, "{text:?}");
        }
        assert!(parse(&format!("{}@example.com", "a".repeat(300))).is_err());
    }

    #[test]
    fn a_sender_may_have_a_name() {
        let mailbox = parse_mailbox("Fells & Fern <hello@shop.example>").unwrap();
        assert_eq!(mailbox.name.as_deref(), Some("Fells & Fern"));
        assert_eq!(mailbox.email.to_string(), "hello@shop.example");
        assert!(parse_mailbox("Fells\r\nBcc: eve@example.com <a@b.example>").is_err());
    }
}
