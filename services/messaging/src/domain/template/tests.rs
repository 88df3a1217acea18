use proptest::prelude::*;
use serde_json::json;

use super::*;

fn data() -> RenderData {
    RenderData {
        profile: json!({
            "first_name": "Zoë & Co",
            "points": 120,
            "tags": ["a", "b", "a"],
            "orders": [{"id": 1, "total": 9.5}, {"id": 2}],
            "born": "1990-04-01 10:00:00 +0000",
        }),
        items: vec![
            Item {
                item_id: "t1".into(),
                title: "Tent <2P>".into(),
                price: "199.00 EUR".into(),
                ..Item::default()
            },
            Item {
                item_id: "s1".into(),
                title: "Stove".into(),
                ..Item::default()
            },
        ],
        context: json!({"locale": "de-AT"}),
        params: json!({}),
    }
}

fn render(source: &str, target: Target) -> Result<String, RenderError> {
    let engine = Engine::new(Limits::default());
    let compiled = engine.compile(source, target).unwrap();
    engine.render(&compiled, &globals(data()))
}

#[test]
fn templates_say_what_liquid_says() {
    for (source, expected) in [
        ("Hi {{ profile.first_name }}!", "Hi Zoë & Co!"),
        ("{{ profile.points | plus: 5 }}", "125"),
        (
            "{% if profile.points > 100 %}gold{% else %}-{% endif %}",
            "gold",
        ),
        ("{% unless profile.vip %}no{% endunless %}", "no"),
        (
            "{% for i in items %}{{ forloop.index }}.{{ i.title }} {% endfor %}",
            "1.Tent <2P> 2.Stove ",
        ),
        (
            "{% for i in items limit: 1 %}{{ i.title }}{% endfor %}",
            "Tent <2P>",
        ),
        (
            "{% for i in items offset: 1 %}{{ i.title }}{% endfor %}",
            "Stove",
        ),
        (
            "{% for i in items reversed %}{{ i.item_id }}{% endfor %}",
            "s1t1",
        ),
        ("{% for i in (1..3) %}{{ i }}{% endfor %}", "123"),
        (
            "{% for i in (1..9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "13",
        ),
        (
            "{% for o in profile.orders %}[{{ o.total }}]{% endfor %}",
            "[9.5][]",
        ),
        (
            "{% for x in profile.none %}x{% else %}none{% endfor %}",
            "none",
        ),
        (
            "{% capture a %}{{ profile.points }}p{% endcapture %}{{ a }}{{ a }}",
            "120p120p",
        ),
        (
            "{% assign n = profile.tags | uniq | join: '+' %}{{ n }}",
            "a+b",
        ),
        (
            "{% case context.locale %}{% when 'de-AT' %}Servus{% else %}Hi{% endcase %}",
            "Servus",
        ),
        ("{{ profile.born | date: '%Y' }}", "1990"),
        (
            "{% if items[0].price %}{{ items[0].price }}{% endif %}{% if items[1].price %}!{% endif %}",
            "199.00 EUR",
        ),
        (
            "{% comment %}{{ nonsense }}{% endcomment %}{% raw %}{{ a }}{% endraw %}",
            "{{ a }}",
        ),
    ] {
        assert_eq!(
            render(source, Target::Text).as_deref(),
            Ok(expected),
            "{source}"
        );
    }
}

#[test]
fn missing_names_render_empty() {
    for source in [
        "{{ nothing }}",
        "{{ profile.nothing.at.all }}",
        "{{ items[7].title }}",
        "{{ nothing | upcase | append: '' }}",
        "{{ nothing | plus: 1 }}",
        "{{ nothing | join: ',' }}",
        "{{ nothing | date: '%Y' }}",
        "{% for x in nothing %}{{ x.y }}{% endfor %}",
        "{% for o in profile.orders %}{{ o.missing }}{% endfor %}",
        "{% if nothing > 3 %}x{% endif %}",
        "{% for i in (1..nothing) %}{{ i }}{% endfor %}",
    ] {
        assert_eq!(render(source, Target::Text).as_deref(), Ok(""), "{source}");
    }
}

#[test]
fn outputs_in_html_are_escaped_unless_told_otherwise() {
    for (source, expected) in [
        ("<b>{{ profile.first_name }}</b>", "<b>Zoë &amp; Co</b>"),
        (
            "{% for i in items %}{{ i.title }};{% endfor %}",
            "Tent &lt;2P&gt;;Stove;",
        ),
        ("{{ items[0].title | upcase }}", "TENT &lt;2P&gt;"),
        ("{{ items[0].title | escape }}", "Tent &lt;2P&gt;"),
        ("{{ items[0].title | raw }}", "Tent <2P>"),
        ("{% assign t = items[0].title %}{{ t }}", "Tent &lt;2P&gt;"),
        (
            "{% capture t %}<i>{{ items[0].title }}</i>{% endcapture %}{{ t | raw }}",
            "<i>Tent &lt;2P&gt;</i>",
        ),
        (
            "<a title=\"{{ 'a\"b' }}\" alt='{{ \"a'b\" }}'>",
            "<a title=\"a&quot;b\" alt='a&#39;b'>",
        ),
        ("{{- nothing -}}", ""),
    ] {
        assert_eq!(
            render(source, Target::Html).as_deref(),
            Ok(expected),
            "{source}"
        );
    }
}

#[test]
fn faults_are_told_with_line_and_column() {
    let engine = Engine::new(Limits::default());
    for (source, expected) in [
        (
            "ok\n  {{ a | nope }}",
            "line 2, column 10: unknown filter `nope`",
        ),
        ("{% frob %}", "line 1, column 4: unknown tag `frob`"),
        (
            "{% cycle 'a', 'b' %}",
            "line 1, column 4: unknown tag `cycle`",
        ),
        (
            "a\n{% if x %}b",
            "line 2, column 12: Unclosed block. {% endif %} tag expected.",
        ),
        (
            "{{ 1234567890123456789012 }}",
            "line 1, column 22: the number is too large",
        ),
    ] {
        for target in [Target::Text, Target::Html] {
            let faults = engine.compile(source, target).unwrap_err();
            assert_eq!(faults[0].to_string(), expected, "{source}");
        }
    }
    for (source, position) in [
        ("x {{ a b }}", (1, 6)),
        ("\n\n{{ }}", (3, 4)),
        ("a {{ b", (1, 3)),
        ("a {% if 'b %}", (1, 3)),
    ] {
        let faults = engine.compile(source, Target::Html).unwrap_err();
        assert_eq!(
            faults[0].position,
            Some(position),
            "{source}: {}",
            faults[0]
        );
    }
}

/// Each of these would, unbounded, take gigabytes or minutes.
#[test]
fn no_template_takes_more_than_its_share() {
    let doubling = format!(
        "{{% assign a = 'xxxxxxxx' %}}{}",
        "{% assign a = a | append: a %}".repeat(40)
    );
    let capturing = format!(
        "{{% assign a = 'xxxxxxxx' %}}{}",
        "{% capture a %}{{ a }}{{ a }}{{ a }}{% endcapture %}".repeat(40)
    );
    let hoarding: String = (0..4_000)
        .map(|i| format!("{{% assign v{i} = big %}}"))
        .collect();
    let hoarding = format!(
        "{{% capture big %}}{{% for i in (1..20000) %}}xxxxxxxxxx{{% endfor %}}{{% endcapture %}}{hoarding}"
    );
    for source in [
        "{% for i in (1..900000000000000000) %}{% endfor %}",
        "{% for i in (1..100000) %}{% for j in (1..100000) %}{{ j }}{% endfor %}{% endfor %}",
        "{% for i in (1..100000) %}{% for j in (1..100000) %}{% break %}{% endfor %}{% endfor %}",
        "{% for i in (1..190000) %}some text that is written again and again{% endfor %}",
        "{{ '2020-01-01 10:00:00 +0000' | date: '%99999999999d' }}",
        "{% capture a %}{% for i in (1..9000) %}aaaaaaaa{% endfor %}{% endcapture %}{{ a | replace: 'a', a }}",
        "{% capture a %}{% for i in (1..9000) %}aaaaaaaa{% endfor %}{% endcapture %}{{ a | split: '' | join: a }}",
        "{% capture a %}{% for i in (1..9000) %}aa{% endfor %}{% endcapture %}{% assign l = a | split: '' | uniq %}",
        doubling.as_str(),
        capturing.as_str(),
        hoarding.as_str(),
    ] {
        let started = Instant::now();
        let rendered = render(source, Target::Html);
        let shown: String = source.chars().take(90).collect();
        assert!(
            rendered.is_err(),
            "{shown}: {} bytes",
            rendered.unwrap().len()
        );
        assert!(started.elapsed() < Duration::from_secs(20), "{shown}");
    }
}

#[test]
fn a_fault_at_render_does_not_quote_the_data() {
    let error = render("{{ profile.first_name | plus: 1 }}", Target::Text).unwrap_err();
    let RenderError::Fault(message) = error else {
        panic!("a fault, not {error:?}");
    };
    assert!(!message.contains("Zoë"), "{message}");
}

#[test]
fn arithmetic_out_of_range_is_a_fault() {
    let source = "{{ 999999999999999999 | times: 999999999999999999 }}";
    // Wraps in release builds and panics in debug builds; both must end here.
    let _ = render(source, Target::Text);
}

proptest! {
    /// Whatever is made of the pieces, the parser comes back, and markup in the data
    /// never reaches HTML as markup.
    #[test]
    fn markup_in_data_never_gets_into_html(pieces in proptest::collection::vec(0..PIECES.len(), 0..12)) {
        let source: String = pieces.iter().map(|&i| PIECES[i]).collect();
        let engine = Engine::new(Limits::default());
        if let Ok(compiled) = engine.compile(&source, Target::Html) {
            let mut data = data();
            data.profile["x"] = json!("<script>");
            if let Ok(html) = engine.render(&compiled, &globals(data)) {
                prop_assert!(!html.contains("<script>"), "{source} gave {html}");
            }
        }
    }
}

const PIECES: [&str; 26] = [
    "{{",
    "}}",
    "{%",
    "%}",
    "{{ profile.x }}",
    "{{- profile.x -}}",
    " ",
    "\n",
    "'",
    "\"",
    "|",
    "profile.x",
    "{% assign y = profile.x %}",
    "{{ y | upcase | downcase }}",
    "{% if profile.x %}",
    "{% endif %}",
    "{% for c in profile %}",
    "{{ c }}",
    "{% endfor %}",
    "{% capture z %}",
    "{% endcapture %}",
    "{{ z }}",
    "{% raw %}",
    "{% endraw %}",
    "{{ 'a' | append: profile.x }}",
    "{% comment %}",
];
