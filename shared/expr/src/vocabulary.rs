//! Which names an expression may use, and of what kind each is. Says nothing about
//! their values.

use std::collections::{BTreeMap, BTreeSet};

use attune_api::{
    catalog::v1::{CharacteristicType, ItemType},
    profile::v1::{EventProperty, EventType, Trait, TraitType},
};

/// What is known about a value before it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not declared: checked when it is judged, and never equal to what it cannot be.
    Any,
    Bool,
    Number,
    Text,
    /// A point in time.
    Time,
    /// A length of time.
    Duration,
    /// Text that may hold a date: compares with texts and with times.
    Date,
    List,
    Map,
    Bytes,
    Null,
    /// A semantic version.
    Version,
    /// What `type(x)` gives.
    Type,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Bool => "a truth value",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Time => "a time",
            Self::Duration => "a duration",
            Self::Date => "a date",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Bytes => "bytes",
            Self::Null => "null",
            Self::Version => "a version",
            Self::Type => "a type",
        }
    }

    pub(crate) fn has_order(self) -> bool {
        !matches!(self, Self::List | Self::Map | Self::Null | Self::Type)
    }

    /// Whether values of the two kinds can be equal or ordered.
    pub(crate) fn compares_with(self, other: Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::Any, _)
                    | (_, Self::Any)
                    | (Self::Date, Self::Text | Self::Time)
                    | (Self::Text | Self::Time, Self::Date)
            )
    }
}

/// Declares an enum of built-in fields with their names and kinds.
macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal : $kind:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is written after the root.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            pub fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind),+ }
            }

            pub fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

fields! {
    /// The fields every item has, as `item.NAME`.
    ItemField {
        Id = "id": Text,
        Type = "type": Text,
        Title = "title": Text,
        Description = "description": Text,
        Url = "url": Text,
        ImageUrl = "image_url": Text,
        Categories = "categories": List,
        Price = "price": Number,
        CurrencyCode = "currency_code": Text,
        Stock = "stock": Number,
        State = "state": Text,
        AvailableFrom = "available_from": Time,
        AvailableTo = "available_to": Time,
        CreateTime = "create_time": Time,
        UpdateTime = "update_time": Time,
        Locales = "locales": List,
        Replenishable = "replenishable": Bool,
    }
}

fields! {
    /// The fields of a request's situation, as `context.NAME`; see `attune.type.v1.Context`.
    ContextField {
        Channel = "channel": Text,
        Time = "time": Time,
        TimeZone = "time_zone": Text,
        Locale = "locale": Text,
        LocationLat = "location.lat": Number,
        LocationLng = "location.lng": Number,
        LocationCountry = "location.country": Text,
        LocationRegion = "location.region": Text,
        LocationCity = "location.city": Text,
        DeviceType = "device.type": Text,
        DeviceOs = "device.os": Text,
        DeviceAppVersion = "device.app_version": Text,
        PageUrl = "page.url": Text,
        PageType = "page.type": Text,
        PageItemId = "page.item_id": Text,
        PageCategory = "page.category": Text,
        PageQuery = "page.query": Text,
        CartItemIds = "cart_item_ids": List,
        Attributes = "attributes": Map,
    }
}

/// What is declared of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    pub kind: Kind,
    /// The texts it may be; None for any.
    pub values: Option<BTreeSet<String>>,
}

impl From<Kind> for Declared {
    fn from(kind: Kind) -> Self {
        Self { kind, values: None }
    }
}

impl Declared {
    /// One of these texts.
    pub fn one_of(values: impl IntoIterator<Item = String>) -> Self {
        Self {
            kind: Kind::Text,
            values: Some(values.into_iter().collect()),
        }
    }

    /// What is still true of a name that is declared twice.
    fn merge(&mut self, other: Self) {
        if self.kind != other.kind {
            *self = Kind::Any.into();
            return;
        }
        match (&mut self.values, other.values) {
            (Some(values), Some(more)) => values.extend(more),
            (values, _) => *values = None,
        }
    }
}

/// The properties that events of one type may have, by name.
pub type EventProperties = BTreeMap<String, Declared>;

/// The names in scope of an expression. What is not declared with one of the `with_…`
/// may have any name.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    pub(crate) subject: bool,
    pub(crate) item: bool,
    pub(crate) characteristics: Option<BTreeMap<String, Declared>>,
    pub(crate) traits: Option<BTreeMap<String, Declared>>,
    /// By type; those of None may have any property.
    pub(crate) events: Option<BTreeMap<String, Option<EventProperties>>>,
    pub(crate) segments: Option<BTreeSet<String>>,
    /// Of consent.
    pub(crate) purposes: Option<BTreeSet<String>>,
    /// Of subscriptions.
    pub(crate) groups: Option<BTreeSet<String>>,
    pub(crate) variables: BTreeMap<String, Kind>,
}

impl Vocabulary {
    /// No names but those of [`with_variables`](Self::with_variables).
    pub fn empty() -> Self {
        Self::new(false, false)
    }

    /// A person in a situation: `profile.*`, `segments`, `context.*`, `events()`,
    /// `consent()`, `subscribed()`, `bucket()`, `now`.
    pub fn subject() -> Self {
        Self::new(true, false)
    }

    /// An item: `item.*`.
    pub fn item() -> Self {
        Self::new(false, true)
    }

    /// An item judged for a person.
    pub fn subject_and_item() -> Self {
        Self::new(true, true)
    }

    fn new(subject: bool, item: bool) -> Self {
        Self {
            subject,
            item,
            characteristics: None,
            traits: None,
            events: None,
            segments: None,
            purposes: None,
            groups: None,
            variables: BTreeMap::new(),
        }
    }

    /// Only the characteristics of these types may be named from now on. One that two
    /// types declare differently is checked when it is judged.
    #[must_use]
    pub fn with_item_types<'a>(mut self, types: impl IntoIterator<Item = &'a ItemType>) -> Self {
        let declared = self.characteristics.get_or_insert_default();
        for definition in types.into_iter().flat_map(|t| &t.characteristics) {
            let this = match definition.r#type() {
                CharacteristicType::Enum => {
                    Declared::one_of(definition.enum_values.iter().cloned())
                }
                other => characteristic_kind(other).into(),
            };
            match declared.get_mut(&definition.name) {
                Some(known) => known.merge(this),
                None => {
                    declared.insert(definition.name.clone(), this);
                }
            }
        }
        self
    }

    /// Only the traits that are declared here may be named from now on.
    #[must_use]
    pub fn with_declared_traits<'a>(self, traits: impl IntoIterator<Item = &'a Trait>) -> Self {
        let declared = traits.into_iter().map(|declared| {
            let values = &declared.enum_values;
            let kind = trait_kind(declared.r#type(), values);
            (declared.trait_id.clone(), kind)
        });
        self.with_traits(declared)
    }

    /// Only events of these types, and of those that every shop has, may be asked for
    /// from now on; of a closed type only the properties that it declares.
    #[must_use]
    pub fn with_declared_events<'a>(self, types: impl IntoIterator<Item = &'a EventType>) -> Self {
        let of = |property: &EventProperty| {
            let kind = trait_kind(property.r#type(), &property.enum_values);
            (property.name.clone(), kind)
        };
        let known = EVENT_TYPES.map(|known| (known.to_owned(), None));
        let declared = types.into_iter().map(|declared| {
            let properties = declared.properties.iter().map(of);
            let properties = declared.closed.then(|| properties.collect());
            (declared.event_type_id.clone(), properties)
        });
        self.with_events(known).with_events(declared)
    }

    /// Only these traits may be named from now on.
    #[must_use]
    pub fn with_traits<D: Into<Declared>>(
        mut self,
        traits: impl IntoIterator<Item = (String, D)>,
    ) -> Self {
        let declared = self.traits.get_or_insert_default();
        declared.extend(traits.into_iter().map(|(name, d)| (name, d.into())));
        self
    }

    /// Only events of these types may be asked for from now on, and of their properties
    /// only those given; a type with None may have any.
    #[must_use]
    pub fn with_events(
        mut self,
        events: impl IntoIterator<Item = (String, Option<EventProperties>)>,
    ) -> Self {
        self.events.get_or_insert_default().extend(events);
        self
    }

    /// Only these segments may be named from now on.
    #[must_use]
    pub fn with_segments(mut self, ids: impl IntoIterator<Item = String>) -> Self {
        self.segments.get_or_insert_default().extend(ids);
        self
    }

    /// Consent may be asked for these purposes only from now on.
    #[must_use]
    pub fn with_purposes(mut self, ids: impl IntoIterator<Item = String>) -> Self {
        self.purposes.get_or_insert_default().extend(ids);
        self
    }

    /// Only these subscription groups may be asked for from now on. Given none, nobody
    /// can be asked for a subscription: whoever judges knows of no group.
    #[must_use]
    pub fn with_groups(mut self, ids: impl IntoIterator<Item = String>) -> Self {
        self.groups.get_or_insert_default().extend(ids);
        self
    }

    /// Further names that stand alone, whose values the scope gives.
    #[must_use]
    pub fn with_variables(mut self, variables: impl IntoIterator<Item = (String, Kind)>) -> Self {
        self.variables.extend(variables);
        self
    }
}

/// Types of events that need not be declared to be asked for: those that the profile
/// service gives the e-commerce events of the Segment spec, version 2.
const EVENT_TYPES: [&str; 34] = [
    "add_to_cart",
    "add_to_wishlist",
    "cart_shared",
    "cart_viewed",
    "checkout_started",
    "checkout_step_completed",
    "checkout_step_viewed",
    "click",
    "coupon_applied",
    "coupon_denied",
    "coupon_entered",
    "coupon_removed",
    "list_view",
    "order_cancelled",
    "order_updated",
    "page",
    "payment_info_entered",
    "product_list_filtered",
    "product_removed_from_wishlist",
    "product_reviewed",
    "product_shared",
    "promotion_clicked",
    "promotion_viewed",
    "purchase",
    "refund",
    "remove_from_cart",
    "screen",
    "search",
    "sign_up",
    "signed_in",
    "signed_out",
    "signed_up",
    "view",
    "wishlist_product_added_to_cart",
];

fn trait_kind(declared: TraitType, values: &[String]) -> Declared {
    match declared {
        TraitType::Unspecified | TraitType::TraitObject => Kind::Any.into(),
        TraitType::TraitText => Kind::Text.into(),
        TraitType::TraitNumber => Kind::Number.into(),
        TraitType::TraitBool => Kind::Bool.into(),
        TraitType::TraitEnum => Declared::one_of(values.iter().cloned()),
        TraitType::TraitDate => Kind::Date.into(),
        TraitType::TraitTextSet | TraitType::TraitNumberSet => Kind::List.into(),
        TraitType::TraitGeo => Kind::Map.into(),
    }
}

fn characteristic_kind(declared: CharacteristicType) -> Kind {
    match declared {
        CharacteristicType::Unspecified => Kind::Any,
        CharacteristicType::Text | CharacteristicType::Enum => Kind::Text,
        CharacteristicType::Number => Kind::Number,
        CharacteristicType::Bool => Kind::Bool,
        CharacteristicType::TextSet => Kind::List,
        CharacteristicType::Date => Kind::Date,
        CharacteristicType::Geo => Kind::Map,
    }
}
