//! Protobuf to domain and back, and every rule about fields. What passes here is well
//! formed; whether it fits what is stored is decided elsewhere.

use attune_api::{json, messaging::v1 as pb, time};
use attune_errors::Violations;
use uuid::Uuid;

use crate::{
    domain::{
        address, locale,
        message::{Content, EMAIL, Message, State},
        template::{Engine, Item, RenderData, Target},
    },
    service::{RenderTemplate, SendMessage, Words},
};

const VARIANTS_MAX: usize = 100;
const DISPLAY_NAME_LENGTH_MAX: usize = 256;
const REQUEST_ID_LENGTH_MAX: usize = 128;
/// RFC 5322, 2.1.1.
const SUBJECT_LENGTH_MAX: usize = 998;
const ITEMS_MAX: usize = 1_000;

/// The id that a create request means: its own field, or the body's.
pub(crate) fn created_template(
    request: pb::CreateTemplateRequest,
) -> Result<pb::Template, Violations> {
    let Some(mut template) = request.template else {
        return Err(Violations::of("template", "must be set"));
    };
    if template.template_id.is_empty() {
        template.template_id = request.template_id;
    } else if !request.template_id.is_empty() && request.template_id != template.template_id {
        let rule = "must be the same as template.template_id, or only one of them set";
        return Err(Violations::of("template_id", rule));
    }
    Ok(template)
}

/// All that is wrong with a template as it is to be stored. Parses every text, which
/// takes milliseconds.
pub(crate) fn check_template(template: &pb::Template, engine: &Engine) -> Result<(), Violations> {
    let mut violations = Violations::new();
    violations.within("template", |violations| {
        check_fields(violations, template, engine)
    });
    violations.into_result()
}

fn check_fields(violations: &mut Violations, template: &pb::Template, engine: &Engine) {
    check_resource_id(violations, "template_id", &template.template_id);
    check_length(
        violations,
        "display_name",
        &template.display_name,
        DISPLAY_NAME_LENGTH_MAX,
    );
    check_channel(violations, &template.channel);
    if template.variants.is_empty() {
        violations.push("variants", "must not be empty");
    }
    if template.variants.len() > VARIANTS_MAX {
        violations.push("variants", format!("must have at most {VARIANTS_MAX}"));
        return;
    }
    for (index, variant) in template.variants.iter().enumerate() {
        violations.within_item("variants", index, |violations| {
            check_variant(violations, variant, engine);
            let earlier = &template.variants[..index];
            let locale = &variant.locale;
            if earlier
                .iter()
                .any(|it| it.locale.eq_ignore_ascii_case(locale))
            {
                violations.push("locale", "must not be that of an earlier variant");
            }
        });
    }
    let default = &template.default_locale;
    let has_default = |it: &pb::TemplateVariant| it.locale.eq_ignore_ascii_case(default);
    if !template.variants.iter().any(has_default) {
        violations.push(
            "default_locale",
            "must be the locale of one of the variants",
        );
    }
}

fn check_variant(violations: &mut Violations, variant: &pb::TemplateVariant, engine: &Engine) {
    if !locale::is_language_tag(&variant.locale) {
        violations.push("locale", "must be a language tag such as `de` or `de-AT`");
    }
    if variant.subject.trim().is_empty() {
        violations.push("subject", "must not be empty");
    }
    if variant.text.is_empty() && variant.html.is_empty() {
        violations.push("text", "must be set where html is not");
    }
    for (field, source, target) in [
        ("subject", &variant.subject, Target::Text),
        ("text", &variant.text, Target::Text),
        ("html", &variant.html, Target::Html),
    ] {
        if let Err(faults) = engine.compile(source, target) {
            for fault in faults {
                violations.push(field, fault.to_string());
            }
        }
    }
}

pub(crate) fn render_template(
    request: pb::RenderTemplateRequest,
) -> Result<RenderTemplate, Violations> {
    let mut violations = Violations::new();
    check_resource_id(&mut violations, "template_id", &request.template_id);
    check_locale(&mut violations, &request.locale);
    let data = render_data(&mut violations, request.data.unwrap_or_default());
    violations.into_result()?;
    Ok(RenderTemplate {
        template_id: request.template_id,
        locale: request.locale,
        data,
    })
}

fn render_data(violations: &mut Violations, data: pb::RenderData) -> RenderData {
    if data.items.len() > ITEMS_MAX {
        violations.push("data.items", format!("must have at most {ITEMS_MAX}"));
    }
    RenderData {
        profile: json::from_struct(&data.profile.unwrap_or_default()),
        items: data.items.into_iter().map(item).collect(),
        context: json::from_struct(&data.context.unwrap_or_default()),
        params: json::from_struct(&data.params.unwrap_or_default()),
    }
}

fn item(item: pb::RenderItem) -> Item {
    Item {
        item_id: item.item_id,
        title: item.title,
        description: item.description,
        url: item.url,
        image_url: item.image_url,
        price: item.price,
        reason: item.reason,
    }
}

/// `content_bytes_max` bounds words that come without a template, each part.
pub(crate) fn send_message(
    request: pb::SendMessageRequest,
    content_bytes_max: usize,
) -> Result<SendMessage, Violations> {
    let mut violations = Violations::new();
    let v = &mut violations;
    check_length(v, "request_id", &request.request_id, REQUEST_ID_LENGTH_MAX);
    check_channel(v, &request.channel);
    if let Err(rule) = address::parse(&request.to) {
        v.push("to", rule);
    }
    let profile_id = profile_id(v, &request.profile_id);
    let words = match (request.template_id.is_empty(), request.content) {
        (false, None) => {
            check_resource_id(v, "template_id", &request.template_id);
            check_locale(v, &request.locale);
            Words::Template(RenderTemplate {
                template_id: request.template_id,
                locale: request.locale,
                data: render_data(v, request.data.unwrap_or_default()),
            })
        }
        (true, Some(content)) => {
            v.within("content", |v| check_content(v, &content, content_bytes_max));
            Words::Content(Content {
                template_id: String::new(),
                locale: content.locale,
                subject: content.subject,
                text: content.text,
                html: content.html,
            })
        }
        (given, _) => {
            let rule = if given {
                "must be set, or content"
            } else {
                "must not be set together with content"
            };
            v.push("template_id", rule);
            Words::Content(Content::default())
        }
    };
    violations.into_result()?;
    Ok(SendMessage {
        request_id: Some(request.request_id).filter(|id| !id.is_empty()),
        channel: request.channel,
        to: request.to,
        profile_id,
        words,
    })
}

/// As ids are written everywhere, or an erasure would not find what was sent to it;
/// empty for nobody we know.
fn profile_id(violations: &mut Violations, sent: &str) -> String {
    match Uuid::try_parse(sent) {
        _ if sent.is_empty() => String::new(),
        Ok(id) => id.to_string(),
        Err(_) => {
            violations.push("profile_id", "must be the id of a profile, or empty");
            String::new()
        }
    }
}

fn check_content(violations: &mut Violations, content: &pb::Content, bytes_max: usize) {
    if !content.template_id.is_empty() {
        violations.push("template_id", "must not be set");
    }
    check_locale(violations, &content.locale);
    if content.subject.trim().is_empty() {
        violations.push("subject", "must not be empty");
    }
    if content.subject.chars().any(char::is_control) {
        violations.push("subject", "must be one line");
    }
    check_length(violations, "subject", &content.subject, SUBJECT_LENGTH_MAX);
    if content.text.is_empty() && content.html.is_empty() {
        violations.push("text", "must be set where html is not");
    }
    for (field, text) in [("text", &content.text), ("html", &content.html)] {
        if text.len() > bytes_max {
            violations.push(field, format!("must not be longer than {bytes_max} bytes"));
        }
    }
}

pub(crate) fn check_resource_id(violations: &mut Violations, field: &str, id: &str) {
    let bytes = id.as_bytes();
    let starts_well = bytes.first().is_some_and(u8::is_ascii_lowercase);
    let allowed = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if !starts_well || bytes.len() > 64 || !bytes.iter().all(allowed) {
        let rule = "must be 1 to 64 of a-z, 0-9, `_` and `-`, beginning with a letter";
        violations.push(field, rule);
    }
}

fn check_channel(violations: &mut Violations, channel: &str) {
    if channel != EMAIL {
        violations.push("channel", "must be `email`");
    }
}

fn check_locale(violations: &mut Violations, tag: &str) {
    if !tag.is_empty() && !locale::is_language_tag(tag) {
        violations.push("locale", "must be a language tag such as `de` or `de-AT`");
    }
}

fn check_length(violations: &mut Violations, field: &str, text: &str, max: usize) {
    if text.chars().count() > max {
        violations.push(field, format!("must not be longer than {max} characters"));
    }
}

pub(crate) fn content(content: Content) -> pb::Content {
    pb::Content {
        template_id: content.template_id,
        locale: content.locale,
        subject: content.subject,
        text: content.text,
        html: content.html,
    }
}

pub(crate) fn message(message: Message) -> pb::Message {
    let (state, next_attempt_time) = match message.state {
        State::Queued => (
            pb::DeliveryState::Queued,
            Some(time::from_ms(message.due_ms)),
        ),
        State::Delivered => (pb::DeliveryState::Delivered, None),
        State::Failed => (pb::DeliveryState::Failed, None),
    };
    pb::Message {
        message_id: message.message_id,
        channel: message.channel,
        to: message.to,
        profile_id: message.profile_id,
        content: Some(content(message.content)),
        state: state.into(),
        attempt_count: message.attempt_count,
        last_error: message.last_error,
        create_time: Some(time::from_ms(message.create_ms)),
        next_attempt_time,
        delivery_time: message.delivery_ms.map(time::from_ms),
    }
}
