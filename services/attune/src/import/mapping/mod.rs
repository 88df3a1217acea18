//! Mappings: how the columns of a file become items, profiles, events or members. Reads the TOML
//! and finds every fault of it; knows neither files nor the network.

mod spec;

use std::{collections::BTreeMap, path::Path};

use super::{
    template::{Columns, Template},
    value::{Field, FieldSpec, Kind},
};

use spec::{ConditionSpec, EventSpec, ItemSpec, Localized, MappingFile, MemberSpec, ProfileSpec};
pub use spec::{ItemTypeSpec, What};

/// A mapping, ready to be applied to rows.
#[derive(Debug, Clone)]
pub struct Mapping {
    pub columns: Columns,
    pub delimiter: u8,
    pub skip: Vec<Vec<Condition>>,
    pub item_type: Option<ItemTypeSpec>,
    pub target: Target,
}

#[derive(Debug, Clone)]
pub enum Target {
    Item(Box<ItemRule>),
    Profile(Box<ProfileRule>),
    Event(Box<EventRule>),
    Member(Box<MemberRule>),
}

#[derive(Debug, Clone)]
pub struct ItemRule {
    pub id: Template,
    pub kind: String,
    pub title: Vec<(String, Vec<Template>)>,
    pub description: Vec<(String, Vec<Template>)>,
    pub url: Option<Template>,
    pub image_url: Option<Template>,
    pub categories: Vec<Template>,
    pub price: Option<Field>,
    pub currency_code: String,
    pub stock: Option<Field>,
    pub audience: Option<Field>,
    pub locales: Option<Field>,
    pub replenishable: Option<Field>,
    pub replenishment_days: Option<Field>,
    pub characteristics: Vec<(String, Field)>,
}

#[derive(Debug, Clone)]
pub struct WhoRule {
    pub user_id: Option<Template>,
    pub anonymous_id: Option<Template>,
    pub guest_id: Option<Template>,
}

#[derive(Debug, Clone)]
pub struct ProfileRule {
    pub who: WhoRule,
    pub message_id: Option<Template>,
    pub time: Option<Field>,
    pub traits: Vec<(String, Field)>,
}

#[derive(Debug, Clone)]
pub struct EventRule {
    pub who: WhoRule,
    pub message_id: Option<Template>,
    pub name: Template,
    pub variants: Vec<(Vec<Condition>, Template)>,
    pub time: Field,
    pub channel: String,
    pub properties: Vec<(String, Field)>,
}

#[derive(Debug, Clone)]
pub struct MemberRule {
    pub segment_id: String,
    pub namespace: String,
    pub value: Template,
    pub remove: Option<Vec<Condition>>,
}

#[derive(Debug, Clone)]
pub struct Condition {
    pub column: usize,
    pub test: Test,
    pub not: bool,
}

#[derive(Debug, Clone)]
pub enum Test {
    OneOf(Vec<String>),
    StartsWith(String),
    LessThan(f64),
    Empty(bool),
}

/// All that is wrong with a mapping.
#[derive(Debug, thiserror::Error)]
#[error("the mapping cannot be used:\n{}", .0.iter().map(|f| format!("  {f}")).collect::<Vec<_>>().join("\n"))]
pub struct MappingFaults(pub Vec<String>);

/// The mappings that come with the program, by name.
pub const SHIPPED: [(&str, &str); 5] = [
    (
        "complete-journey-products",
        include_str!("../../../mappings/complete-journey-products.toml"),
    ),
    (
        "complete-journey-demographics",
        include_str!("../../../mappings/complete-journey-demographics.toml"),
    ),
    (
        "complete-journey-transactions",
        include_str!("../../../mappings/complete-journey-transactions.toml"),
    ),
    (
        "online-retail-items",
        include_str!("../../../mappings/online-retail-items.toml"),
    ),
    (
        "online-retail-events",
        include_str!("../../../mappings/online-retail-events.toml"),
    ),
];

/// The text of a mapping: a file, or one that comes with the program.
pub fn text_of(name: &str) -> anyhow::Result<String> {
    let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
    if let (Some((_, text)), false) = (shipped, Path::new(name).exists()) {
        return Ok((*text).to_owned());
    }
    std::fs::read_to_string(name).map_err(|error| {
        let shipped: Vec<_> = SHIPPED.iter().map(|(name, _)| *name).collect();
        anyhow::anyhow!(
            "the mapping {name} cannot be read ({error}); there are also {}",
            shipped.join(", ")
        )
    })
}

impl Mapping {
    pub fn parse(text: &str, what: What) -> Result<Self, MappingFaults> {
        let file: MappingFile =
            toml::from_str(text).map_err(|error| MappingFaults(vec![error.to_string()]))?;
        let mut compiler = Compiler::default();
        let mapping = compiler.mapping(file, what);
        match mapping {
            Some(mapping) if compiler.faults.is_empty() => Ok(Mapping {
                columns: compiler.columns,
                ..mapping
            }),
            _ => Err(MappingFaults(compiler.faults)),
        }
    }
}

#[derive(Default)]
struct Compiler {
    columns: Columns,
    faults: Vec<String>,
}

impl Compiler {
    fn fault(&mut self, path: &str, fault: impl std::fmt::Display) {
        self.faults.push(format!("{path}: {fault}"));
    }

    fn mapping(&mut self, file: MappingFile, what: What) -> Option<Mapping> {
        if file.kind != what {
            let asked = format!("{what:?}").to_lowercase();
            self.fault("kind", format!("must be \"{asked}\" for this import"));
        }
        if !file.delimiter.is_ascii() {
            self.fault("delimiter", "must be one ASCII character");
        }
        let skip = file
            .skip
            .iter()
            .enumerate()
            .map(|(i, skip)| self.conditions(&format!("skip[{i}].when"), &skip.when))
            .collect();
        let sections = (file.item, file.profile, file.event, file.member);
        let target = match (file.kind, sections) {
            (What::Items, (Some(item), None, None, None)) => {
                Target::Item(Box::new(self.item(item, file.item_type.as_ref())?))
            }
            (What::Profiles, (None, Some(profile), None, None)) => {
                Target::Profile(Box::new(self.profile(profile)?))
            }
            (What::Events, (None, None, Some(event), None)) => {
                Target::Event(Box::new(self.event(event)?))
            }
            (What::Members, (None, None, None, Some(member))) => {
                Target::Member(Box::new(self.member(member)?))
            }
            _ => {
                self.fault(
                    "kind",
                    "needs the one section of the same name: item, profile, event or member",
                );
                return None;
            }
        };
        Some(Mapping {
            columns: Columns::default(),
            delimiter: u8::try_from(file.delimiter).unwrap_or(b','),
            skip,
            item_type: file.item_type,
            target,
        })
    }

    fn item(&mut self, spec: ItemSpec, declared: Option<&ItemTypeSpec>) -> Option<ItemRule> {
        let kind = match (spec.kind.as_str(), declared) {
            ("", Some(declared)) => declared.item_type_id.clone(),
            ("", None) => {
                self.fault("item.type", "must be set where no [item_type] is declared");
                String::new()
            }
            (kind, _) => kind.to_owned(),
        };
        if spec.price.is_some() && spec.currency_code.is_none() {
            self.fault("item.currency_code", "must be set where there is a price");
        }
        for name in spec.characteristics.keys() {
            let known = |d: &ItemTypeSpec| d.characteristics.iter().any(|c| c.name == *name);
            if declared.is_some_and(|d| d.item_type_id == kind && !known(d)) {
                let path = format!("item.characteristics.{name}");
                self.fault(&path, "is not declared in [item_type]");
            }
        }
        let categories = spec.categories.iter().enumerate();
        Some(ItemRule {
            id: self.template("item.id", &spec.id)?,
            kind,
            title: self.localized("item.title", spec.title),
            description: self.localized("item.description", spec.description),
            url: self.optional("item.url", spec.url.as_deref()),
            image_url: self.optional("item.image_url", spec.image_url.as_deref()),
            categories: categories
                .filter_map(|(i, c)| self.template(&format!("item.categories[{i}]"), c))
                .collect(),
            price: self.number("item.price", spec.price),
            currency_code: spec.currency_code.unwrap_or_default(),
            stock: self.number("item.stock", spec.stock),
            audience: self.of_kind("item.audience", spec.audience, Kind::Text),
            locales: self.of_kind("item.locales", spec.locales, Kind::Set),
            replenishable: self.of_kind("item.replenishable", spec.replenishable, Kind::Bool),
            replenishment_days: self.number("item.replenishment_days", spec.replenishment_days),
            characteristics: self.fields("item.characteristics", spec.characteristics),
        })
    }

    fn profile(&mut self, spec: ProfileSpec) -> Option<ProfileRule> {
        Some(ProfileRule {
            who: self.who("profile", [spec.user_id, spec.anonymous_id, spec.guest_id]),
            message_id: self.optional("profile.message_id", spec.message_id.as_deref()),
            time: spec.time.and_then(|t| self.field("profile.time", &t)),
            traits: self.fields("profile.traits", spec.traits),
        })
    }

    fn event(&mut self, spec: EventSpec) -> Option<EventRule> {
        let mut variants = Vec::new();
        for (i, variant) in spec.variants.iter().enumerate() {
            let path = format!("event.variants[{i}]");
            let when = self.conditions(&format!("{path}.when"), &variant.when);
            let name = self.template(&format!("{path}.name"), &variant.name);
            variants.extend(name.map(|name| (when, name)));
        }
        let mut time = spec.time;
        time.0.required = true;
        let name = self.template("event.name", &spec.name);
        let time = self.field("event.time", &time);
        Some(EventRule {
            who: self.who("event", [spec.user_id, spec.anonymous_id, spec.guest_id]),
            message_id: self.optional("event.message_id", spec.message_id.as_deref()),
            name: name?,
            variants,
            time: time?,
            channel: spec.channel,
            properties: self.fields("event.properties", spec.properties),
        })
    }

    fn member(&mut self, spec: MemberSpec) -> Option<MemberRule> {
        for (name, text) in [
            ("member.segment_id", &spec.segment_id),
            ("member.namespace", &spec.namespace),
        ] {
            if text.is_empty() {
                self.fault(name, "must be set");
            }
        }
        let remove = match spec.remove.is_empty() {
            true => None,
            false => Some(self.conditions("member.remove", &spec.remove)),
        };
        Some(MemberRule {
            segment_id: spec.segment_id,
            namespace: spec.namespace,
            value: self.template("member.value", &spec.value)?,
            remove,
        })
    }

    fn who(&mut self, path: &str, templates: [Option<String>; 3]) -> WhoRule {
        if templates.iter().all(Option::is_none) {
            self.fault(path, "must have a user_id, an anonymous_id or a guest_id");
        }
        let [user_id, anonymous_id, guest_id] = templates;
        let mut one = |name: &str, text: Option<String>| {
            self.optional(&format!("{path}.{name}"), text.as_deref())
        };
        WhoRule {
            user_id: one("user_id", user_id),
            anonymous_id: one("anonymous_id", anonymous_id),
            guest_id: one("guest_id", guest_id),
        }
    }

    fn conditions(&mut self, path: &str, specs: &[ConditionSpec]) -> Vec<Condition> {
        if specs.is_empty() {
            self.fault(path, "must not be empty");
        }
        let mut conditions = Vec::new();
        for (i, spec) in specs.iter().enumerate() {
            let tests = [
                spec.equals.clone().map(|text| Test::OneOf(vec![text])),
                spec.is_one_of.clone().map(Test::OneOf),
                spec.starts_with.clone().map(Test::StartsWith),
                spec.less_than.map(Test::LessThan),
                spec.is_empty.map(Test::Empty),
            ];
            let mut tests = tests.into_iter().flatten();
            match (tests.next(), tests.next()) {
                (Some(test), None) => conditions.push(Condition {
                    column: self.columns.index(&spec.column),
                    test,
                    not: spec.not,
                }),
                _ => self.fault(
                    &format!("{path}[{i}]"),
                    "must have one of equals, is_one_of, starts_with, less_than and is_empty",
                ),
            }
        }
        conditions
    }

    fn localized(&mut self, path: &str, spec: Localized) -> Vec<(String, Vec<Template>)> {
        let by_locale = match spec {
            Localized::One(template) => BTreeMap::from([(String::new(), vec![template])]),
            Localized::Alternatives(list) if list.is_empty() => BTreeMap::new(),
            Localized::Alternatives(list) => BTreeMap::from([(String::new(), list)]),
            Localized::ByLocale(map) => map,
        };
        by_locale
            .into_iter()
            .map(|(locale, list)| {
                let templates = list.iter().filter_map(|t| self.template(path, t));
                let templates = templates.collect();
                (locale, templates)
            })
            .collect()
    }

    fn optional(&mut self, path: &str, text: Option<&str>) -> Option<Template> {
        self.template(path, text?)
    }

    fn template(&mut self, path: &str, text: &str) -> Option<Template> {
        match Template::parse(text, &mut self.columns) {
            Ok(template) => Some(template),
            Err(fault) => {
                self.fault(path, fault);
                None
            }
        }
    }

    fn number(&mut self, path: &str, spec: Option<FieldSpec>) -> Option<Field> {
        self.of_kind(path, spec, Kind::Number)
    }

    fn of_kind(&mut self, path: &str, spec: Option<FieldSpec>, kind: Kind) -> Option<Field> {
        let mut spec = spec?;
        spec.0.kind = kind;
        self.field(path, &spec)
    }

    fn field(&mut self, path: &str, spec: &FieldSpec) -> Option<Field> {
        match spec.compile(&mut self.columns) {
            Ok(field) => Some(field),
            Err(fault) => {
                self.fault(path, fault);
                None
            }
        }
    }

    fn fields(&mut self, path: &str, specs: BTreeMap<String, FieldSpec>) -> Vec<(String, Field)> {
        specs
            .into_iter()
            .filter_map(|(name, spec)| {
                let field = self.field(&format!("{path}.{name}"), &spec)?;
                Some((name, field))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mappings_that_come_along_are_valid() {
        for (name, text) in SHIPPED {
            let what = match name.rsplit('-').next() {
                Some("demographics") => What::Profiles,
                Some("products" | "items") => What::Items,
                _ => What::Events,
            };
            Mapping::parse(text, what).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        }
    }

    #[test]
    fn every_fault_of_a_mapping_is_told() {
        let text = r#"
            kind = "items"
            [item_type]
            item_type_id = "product"
            [item]
            id = "{a"
            title = "{b|nope}"
            price = "{c}"
            characteristics = { color = "{d}" }
            [[skip]]
            when = [{ column = "a" }]
        "#;
        let faults = Mapping::parse(text, What::Events).unwrap_err().0;
        let paths: Vec<_> = faults
            .iter()
            .map(|f| f.split(':').next().unwrap())
            .collect();
        let expected = [
            "kind",
            "skip[0].when[0]",
            "item.currency_code",
            "item.characteristics.color",
            "item.id",
        ];
        assert_eq!(paths, expected);
        let unknown = Mapping::parse("kind = \"items\"\nnope = 1", What::Items).unwrap_err();
        assert!(unknown.0[0].contains("nope"));
    }
}
