//! Words for placements with a template: what was decided, told to the messaging
//! service. The only place that looks into the bytes of items, since few answers need it.

use std::collections::BTreeMap;

use attune_api::{
    DESCRIPTORS,
    catalog::v1::Item,
    json,
    messaging::v1::{Content, RenderData, RenderItem, RenderTemplateRequest},
    profile::v1::Snapshot,
    rules::v1::Reason,
    r#type::v1::{Context, Money},
};
use bytes::Bytes;
use futures::future::join_all;
use prost::Message;
use prost_reflect::{DynamicMessage, SerializeOptions};
use prost_types::{Struct, value::Kind};

use super::{Answer, Person, Personalization, compose::Items, degradations::Peer, wire};

impl Personalization {
    /// One content for each placement that has a template and could be put into words.
    pub(super) async fn render(
        &self,
        answer: &mut Answer<'_>,
        person: &Person,
        context: &[Bytes],
        decided: &[wire::PlacementDecision],
        items: &Items,
    ) -> Vec<Option<Content>> {
        if decided.iter().all(|decision| decision.template.is_empty()) {
            return Vec::new();
        }
        let scene = Scene::new(person, context);
        let slice = answer.slice(self.shares.messaging);
        let mut items = items.by_slot();
        let calls: Vec<_> = decided
            .iter()
            .map(|decision| {
                let shown: Vec<_> = decision.slots.iter().zip(items.by_ref()).collect();
                let request = scene.request(decision, &shown);
                let request = answer.caller.request_within(request, slice);
                let mut messaging = self.clients.messaging.clone();
                async move {
                    if decision.template.is_empty() {
                        return Ok(None);
                    }
                    let content = messaging.render_template(request).await?;
                    Ok(Some(content.into_inner()))
                }
            })
            .collect();
        let rendered = join_all(calls).await;
        rendered
            .into_iter()
            .map(|content| {
                // Also a template that is gone or broken: the person did not write it.
                content.unwrap_or_else(|status: tonic::Status| {
                    answer.degraded.note_always(Peer::Messaging, &status);
                    None
                })
            })
            .collect()
    }
}

/// What all templates of one answer may say.
struct Scene {
    locale: String,
    traits: Struct,
    context: Option<Struct>,
}

impl Scene {
    fn new(person: &Person, context: &[Bytes]) -> Self {
        let context = context.concat();
        let known = Snapshot::decode(person.snapshot.clone()).unwrap_or_default();
        let traits = known.traits.unwrap_or_default();
        let here = Context::decode(context.as_slice()).unwrap_or_default();
        let locale = match here.locale.is_empty() {
            false => here.locale,
            true => text_trait(&traits, "locale"),
        };
        Self {
            locale,
            traits,
            context: to_struct(&context),
        }
    }

    fn request(
        &self,
        decision: &wire::PlacementDecision,
        shown: &[(&wire::Slot, &Option<Bytes>)],
    ) -> RenderTemplateRequest {
        let items = shown
            .iter()
            .filter_map(|(slot, item)| self.item(slot, item.as_ref()?));
        RenderTemplateRequest {
            template_id: decision.template.clone(),
            locale: self.locale.clone(),
            data: Some(RenderData {
                profile: Some(self.traits.clone()),
                items: items.collect(),
                context: self.context.clone(),
                params: None,
            }),
        }
    }

    fn item(&self, slot: &wire::Slot, item: &Bytes) -> Option<RenderItem> {
        let item = Item::decode(item.clone()).ok()?;
        let reason = slot.reasons.first();
        let reason = reason.and_then(|r| Reason::decode(r.clone()).ok());
        Some(RenderItem {
            title: in_locale(&item.title, &self.locale),
            description: in_locale(&item.description, &self.locale),
            item_id: item.item_id,
            url: item.url,
            image_url: item.image_url,
            price: item.price.map(shown_price).unwrap_or_default(),
            reason: reason.map(|r| r.text).unwrap_or_default(),
        })
    }
}

/// `de-AT`, then `de`, then the default, then any.
fn in_locale(texts: &BTreeMap<String, String>, locale: &str) -> String {
    let language = locale.split(['-', '_']).next().unwrap_or_default();
    [locale, language, ""]
        .iter()
        .find_map(|locale| texts.get(*locale))
        .or_else(|| texts.values().next())
        .cloned()
        .unwrap_or_default()
}

fn shown_price(price: Money) -> String {
    format!("{:.2} {}", price.amount, price.currency_code)
}

fn text_trait(traits: &Struct, name: &str) -> String {
    match traits.fields.get(name).and_then(|v| v.kind.as_ref()) {
        Some(Kind::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

/// The context under the names that expressions give its fields too.
fn to_struct(context: &[u8]) -> Option<Struct> {
    let descriptor = DESCRIPTORS.get_message_by_name("attune.type.v1.Context")?;
    let message = DynamicMessage::decode(descriptor, context).ok()?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let value = message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .ok()?;
    json::to_struct(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_chosen_by_locale_then_language_then_default() {
        let texts = |entries: &[(&str, &str)]| -> BTreeMap<String, String> {
            let pairs = entries.iter().map(|(k, v)| ((*k).into(), (*v).into()));
            pairs.collect()
        };
        let all = texts(&[("de-AT", "Sackerl"), ("de", "Tüte"), ("", "bag")]);
        assert_eq!(in_locale(&all, "de-AT"), "Sackerl");
        assert_eq!(in_locale(&all, "de-CH"), "Tüte");
        assert_eq!(in_locale(&all, "fr"), "bag");
        assert_eq!(in_locale(&texts(&[("it", "borsa")]), "fr"), "borsa");
        assert_eq!(in_locale(&texts(&[]), "fr"), "");
    }

    #[test]
    fn the_context_keeps_its_names() {
        let context = Context {
            time_zone: "Europe/Vienna".into(),
            ..Default::default()
        };
        let shown = to_struct(&context.encode_to_vec()).unwrap();
        assert_eq!(text_trait(&shown, "time_zone"), "Europe/Vienna");
    }
}
