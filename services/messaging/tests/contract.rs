//! The contract of messaging, by the generated client over the in-process channel, on
//! both databases.

mod support;

use attune_api::{json, messaging::v1::*};
use attune_errors::{Reason, metadata_of, reason_of, violations_of};
use attune_messaging::Config;
use attune_testkit::test_database_urls;
use serde_json::json;
use support::{App, config, default, in_workspace, plain};
use tonic::{Code, Status};

fn template(id: &str) -> Template {
    let variant = |locale: &str, greeting: &str| TemplateVariant {
        locale: locale.into(),
        subject: format!("{greeting} {{{{ profile.first_name }}}}"),
        text: "{% for item in items %}{{ item.title }} {{ item.price }}\n{% endfor %}".into(),
        html: "<ul>{% for item in items %}<li>{{ item.title }}</li>{% endfor %}</ul>".into(),
    };
    Template {
        template_id: id.into(),
        display_name: "Picks".into(),
        channel: "email".into(),
        variants: vec![
            variant("en", "Hi"),
            variant("de", "Hallo"),
            variant("de-AT", "Servus"),
        ],
        default_locale: "en".into(),
        ..Default::default()
    }
}

async fn create(app: &App, template: Template) -> Result<Template, Status> {
    let request = CreateTemplateRequest {
        template_id: String::new(),
        template: Some(template),
    };
    let answer = app.client.clone().create_template(default(request)).await?;
    Ok(answer.into_inner())
}

fn data() -> RenderData {
    RenderData {
        profile: json::to_struct(json!({"first_name": "Ann & Co"})),
        items: vec![RenderItem {
            item_id: "t1".into(),
            title: "Tent <2P>".into(),
            price: "199.00 EUR".into(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn render(app: &App, id: &str, locale: &str) -> Result<Content, Status> {
    let request = RenderTemplateRequest {
        template_id: id.into(),
        locale: locale.into(),
        data: Some(data()),
    };
    let answer = app.client.clone().render_template(default(request)).await?;
    Ok(answer.into_inner())
}

fn fields(status: &Status) -> Vec<String> {
    violations_of(status)
        .into_iter()
        .map(|(field, _)| field)
        .collect()
}

#[tokio::test]
async fn templates_are_created_read_changed_listed_and_deleted() {
    for database in test_database_urls("templates").await {
        let app = App::open(database.url(), Config::default()).await;
        let mut client = app.client.clone();
        let created = create(&app, template("picks")).await.unwrap();
        assert!(!created.etag.is_empty() && created.create_time.is_some());
        let again = create(&app, template("picks")).await.unwrap_err();
        assert_eq!(reason_of(&again), Some(Reason::ResourceExists));

        let get = |id: &str| {
            default(GetTemplateRequest {
                template_id: id.into(),
            })
        };
        let read = client
            .get_template(get("picks"))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(read, created);
        let missing = client.get_template(get("nope")).await.unwrap_err();
        assert_eq!(reason_of(&missing), Some(Reason::ResourceNotFound));

        let update = |etag: &str, name: &str| UpdateTemplateRequest {
            template: Some(Template {
                template_id: "picks".into(),
                display_name: name.into(),
                etag: etag.into(),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["display_name".into()],
            }),
            allow_missing: false,
        };
        let request = default(update(&created.etag, "New name"));
        let updated = client.update_template(request).await.unwrap().into_inner();
        assert_eq!(updated.display_name, "New name");
        assert_eq!(updated.variants, created.variants);
        let request = default(update(&created.etag, "Lost"));
        let stale = client.update_template(request).await.unwrap_err();
        assert_eq!(reason_of(&stale), Some(Reason::EtagMismatch));

        create(&app, template("news")).await.unwrap();
        let list = |token: &str| ListTemplatesRequest {
            page_size: 1,
            page_token: token.into(),
        };
        let first = client
            .list_templates(default(list("")))
            .await
            .unwrap()
            .into_inner();
        let second = client.list_templates(default(list(&first.next_page_token)));
        let second = second.await.unwrap().into_inner();
        let listed = [&first, &second].map(|page| page.templates[0].template_id.clone());
        assert_eq!(listed, ["news", "picks"]);
        assert_eq!(second.next_page_token, "");

        let elsewhere = in_workspace(
            "other",
            GetTemplateRequest {
                template_id: "picks".into(),
            },
        );
        let elsewhere = client.get_template(elsewhere).await.unwrap_err();
        assert_eq!(elsewhere.code(), Code::NotFound, "workspaces are apart");

        let delete = DeleteTemplateRequest {
            template_id: "picks".into(),
            etag: updated.etag,
        };
        client.delete_template(default(delete)).await.unwrap();
        assert!(client.get_template(get("picks")).await.is_err());
        app.stop().await;
    }
}

#[tokio::test]
async fn every_fault_of_a_template_is_told_at_once() {
    for database in test_database_urls("template_faults").await {
        let app = App::open(database.url(), Config::default()).await;
        let broken = Template {
            template_id: "Not An Id".into(),
            channel: "pigeon".into(),
            variants: vec![
                TemplateVariant {
                    locale: "en".into(),
                    subject: "{{ profile.name".into(),
                    text: "fine".into(),
                    html: "<p>\n{{ a | shout }}".into(),
                },
                TemplateVariant {
                    locale: "EN".into(),
                    ..Default::default()
                },
                TemplateVariant {
                    locale: "d_e".into(),
                    subject: "x".into(),
                    text: "{% if a %}".into(),
                    ..Default::default()
                },
            ],
            default_locale: "fr".into(),
            ..Default::default()
        };
        let status = create(&app, broken).await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::InvalidFields));
        assert_eq!(
            fields(&status),
            [
                "template.template_id",
                "template.channel",
                "template.variants[0].subject",
                "template.variants[0].html",
                "template.variants[1].subject",
                "template.variants[1].text",
                "template.variants[1].locale",
                "template.variants[2].locale",
                "template.variants[2].text",
                "template.default_locale",
            ]
        );
        let html = violations_of(&status)
            .into_iter()
            .find(|(field, _)| field == "template.variants[0].html");
        let (_, rule) = html.unwrap();
        assert!(rule.starts_with("line 2, column 8: "), "{rule}");
        app.stop().await;
    }
}

#[tokio::test]
async fn an_edit_that_breaks_a_template_changes_nothing() {
    for database in test_database_urls("template_edit").await {
        let app = App::open(database.url(), Config::default()).await;
        let created = create(&app, template("picks")).await.unwrap();
        let request = UpdateTemplateRequest {
            template: Some(Template {
                template_id: "picks".into(),
                default_locale: "fr".into(),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["default_locale".into()],
            }),
            allow_missing: false,
        };
        let status = app
            .client
            .clone()
            .update_template(default(request))
            .await
            .unwrap_err();
        assert_eq!(fields(&status), ["template.default_locale"]);
        let request = GetTemplateRequest {
            template_id: "picks".into(),
        };
        let read = app
            .client
            .clone()
            .get_template(default(request))
            .await
            .unwrap();
        assert_eq!(read.into_inner(), created);
        app.stop().await;
    }
}

#[tokio::test]
async fn a_template_speaks_the_readers_language() {
    for database in test_database_urls("render").await {
        let app = App::open(database.url(), Config::default()).await;
        create(&app, template("picks")).await.unwrap();
        for (wanted, locale, subject) in [
            ("", "en", "Hi Ann & Co"),
            ("fr-FR", "en", "Hi Ann & Co"),
            ("de-CH", "de", "Hallo Ann & Co"),
            ("de-AT", "de-AT", "Servus Ann & Co"),
        ] {
            let content = render(&app, "picks", wanted).await.unwrap();
            assert_eq!(
                (content.locale.as_str(), content.subject.as_str()),
                (locale, subject)
            );
            assert_eq!(content.text, "Tent <2P> 199.00 EUR\n");
            assert_eq!(content.html, "<ul><li>Tent &lt;2P&gt;</li></ul>");
        }
        let unknown = render(&app, "nope", "").await.unwrap_err();
        assert_eq!(reason_of(&unknown), Some(Reason::ResourceNotFound));
        let invalid = render(&app, "Not An Id", "d_e").await.unwrap_err();
        assert_eq!(fields(&invalid), ["template_id", "locale"]);
        app.stop().await;
    }
}

#[tokio::test]
async fn an_edited_template_is_rendered_as_edited() {
    for database in test_database_urls("render_edited").await {
        let app = App::open(database.url(), Config::default()).await;
        create(&app, template("picks")).await.unwrap();
        render(&app, "picks", "en").await.unwrap();
        let mut edited = template("picks");
        edited.variants[0].subject = "Edited".into();
        let request = UpdateTemplateRequest {
            template: Some(edited),
            ..Default::default()
        };
        app.client
            .clone()
            .update_template(default(request))
            .await
            .unwrap();
        assert_eq!(render(&app, "picks", "en").await.unwrap().subject, "Edited");
        app.stop().await;
    }
}

#[tokio::test]
async fn a_template_that_needs_too_much_is_stopped() {
    for database in test_database_urls("render_limits").await {
        let app = App::open(database.url(), Config::default()).await;
        let mut greedy = template("greedy");
        greedy.variants[0].text =
            "{% for i in (1..100000000) %}{% for j in (1..100000000) %}x{% endfor %}{% endfor %}"
                .into();
        create(&app, greedy).await.unwrap();
        let status = render(&app, "greedy", "en").await.unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::WrongState));
        assert_eq!(metadata_of(&status, "part").as_deref(), Some("text"));
        app.stop().await;
    }
}

#[tokio::test]
async fn without_a_mail_server_nothing_is_queued() {
    for database in test_database_urls("no_smtp").await {
        let app = App::open(database.url(), Config::default()).await;
        let status = app.send(plain("ann@example.com")).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason_of(&status), Some(Reason::WrongState));
        assert_eq!(
            metadata_of(&status, "setting").as_deref(),
            Some("messaging.email.smtp.host")
        );
        app.stop().await;
    }
}

#[tokio::test]
async fn every_fault_of_a_message_is_told_at_once() {
    for database in test_database_urls("message_faults").await {
        let app = App::open(database.url(), config(1)).await;
        let mut both = plain("ann@example.com");
        both.template_id = "picks".into();
        let mut broken = plain("ann at home");
        broken.channel = "fax".into();
        broken.request_id = "x".repeat(129);
        broken.content = Some(Content {
            template_id: "picks".into(),
            subject: "two\nlines".into(),
            locale: "d_e".into(),
            ..Default::default()
        });
        let mut neither = plain("ann@example.com");
        neither.content = None;
        for (request, expected) in [
            (both, vec!["template_id"]),
            (neither, vec!["template_id"]),
            (
                broken,
                vec![
                    "request_id",
                    "channel",
                    "to",
                    "content.template_id",
                    "content.locale",
                    "content.subject",
                    "content.text",
                ],
            ),
        ] {
            let status = app.send(request).await.unwrap_err();
            assert_eq!(reason_of(&status), Some(Reason::InvalidFields));
            assert_eq!(fields(&status), expected);
        }
        app.stop().await;
    }
}

#[tokio::test]
async fn a_repeated_request_sends_once() {
    for database in test_database_urls("idempotent").await {
        let app = App::open(database.url(), config(1)).await;
        let mut request = plain("ann@example.com");
        request.request_id = "order-17".into();
        let calls = (0..20).map(|_| app.send(request.clone()));
        let sent = futures::future::join_all(calls).await;
        let mut ids: Vec<_> = sent.into_iter().map(|it| it.unwrap().message_id).collect();
        ids.dedup();
        assert_eq!(ids.len(), 1, "on {}", database.system);

        request.to = "bob@example.com".into();
        let later = app.send(request.clone()).await.unwrap();
        assert_eq!(
            (later.message_id, later.to),
            (ids[0].clone(), "ann@example.com".into())
        );

        let elsewhere = in_workspace("other", request.clone());
        let elsewhere = app
            .client
            .clone()
            .send_message(elsewhere)
            .await
            .unwrap()
            .into_inner();
        assert_ne!(
            elsewhere.message_id, ids[0],
            "a key counts in its workspace"
        );

        request.request_id.clear();
        let one = app.send(request.clone()).await.unwrap();
        let other = app.send(request).await.unwrap();
        assert_ne!(
            one.message_id, other.message_id,
            "without a key every call sends"
        );
        app.stop().await;
    }
}

#[tokio::test]
async fn a_queued_message_is_there_after_a_restart() {
    for database in test_database_urls("restart").await {
        let app = App::open(database.url(), config(1)).await;
        create(&app, template("picks")).await.unwrap();
        let mut request = plain("ann@example.com");
        request.content = None;
        request.template_id = "picks".into();
        request.locale = "de-AT".into();
        request.data = Some(data());
        request.profile_id = "01900000-0000-7000-8000-0000000000aa".into();
        let sent = app.send(request).await.unwrap();
        app.stop().await;

        let app = App::open(database.url(), config(1)).await;
        let read = app.message(&sent.message_id).await;
        assert_eq!(read, sent);
        assert_eq!(read.state(), DeliveryState::Queued);
        assert_eq!(read.content.unwrap().subject, "Servus Ann & Co");
        let unknown = GetMessageRequest {
            message_id: "nope".into(),
        };
        let status = app
            .client
            .clone()
            .get_message(default(unknown))
            .await
            .unwrap_err();
        assert_eq!(reason_of(&status), Some(Reason::ResourceNotFound));
        let elsewhere = in_workspace(
            "other",
            GetMessageRequest {
                message_id: sent.message_id,
            },
        );
        let status = app.client.clone().get_message(elsewhere).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "workspaces are apart");
        app.stop().await;
    }
}
