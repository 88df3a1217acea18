//! Which names an expression may use, and of what kind each is. Says nothing about
//! their values.

use std::collections::BTreeMap;

use attune_api::catalog::v1::{CharacteristicType, ItemType};

/// What is known about a value before it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        }
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

/// The names in scope of an expression.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    pub(crate) subject: bool,
    pub(crate) item: bool,
    /// Declared characteristics; None accepts any name.
    pub(crate) characteristics: Option<BTreeMap<String, Kind>>,
    /// Declared traits; None accepts any name.
    pub(crate) traits: Option<BTreeMap<String, Kind>>,
}

impl Vocabulary {
    /// A person in a situation: `profile.*`, `segments`, `context.*`, `consent()`, `bucket()`.
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
        }
    }

    /// Only the characteristics of these types may be named from now on. One that two
    /// types declare differently is checked when it is judged.
    #[must_use]
    pub fn with_item_types<'a>(mut self, types: impl IntoIterator<Item = &'a ItemType>) -> Self {
        let declared = self.characteristics.get_or_insert_default();
        for definition in types.into_iter().flat_map(|t| &t.characteristics) {
            let kind = characteristic_kind(definition.r#type());
            declared
                .entry(definition.name.clone())
                .and_modify(|known| {
                    if *known != kind {
                        *known = Kind::Any;
                    }
                })
                .or_insert(kind);
        }
        self
    }

    /// Only these traits may be named from now on.
    #[must_use]
    pub fn with_traits(mut self, traits: impl IntoIterator<Item = (String, Kind)>) -> Self {
        self.traits.get_or_insert_default().extend(traits);
        self
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
