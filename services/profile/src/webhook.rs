//! Posts to destinations of the settings, signed as Standard Webhooks say
//! (github.com/standard-webhooks/standard-webhooks), and reads what their answers mean.
//! Follows no redirect: what is sent goes to whom the operator named and to nobody else.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use sha2::Sha256;
use tokio_rustls::rustls;

use crate::{config::Destination, domain::delivery::Answer};

/// For connecting and answering together.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What a secret begins with.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret, as the specification bounds them.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A client for all destinations. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// The system's certificates could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the system's root certificates cannot be read")]
pub struct NoRoots(#[source] std::io::Error);

/// Why a destination of the settings cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("url must begin with https://, or with http:// and a loopback address")]
    Url,
    #[error("signing_secret must be `whsec_` and 24 to 64 bytes in base64")]
    Secret,
}

impl Webhooks {
    pub fn new() -> Result<Self, NoRoots> {
        let provider = rustls::crypto::ring::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(NoRoots)?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Posts JSON once. `id` is the same whenever the same is sent again.
    pub async fn post(&self, to: &Destination, id: &str, now_s: i64, body: Bytes) -> Answer {
        let request = match signed(to, id, now_s, body) {
            Ok(request) => request,
            Err(unusable) => return Answer::Refused(unusable),
        };
        match tokio::time::timeout(TIMEOUT, self.0.request(request)).await {
            Ok(Ok(response)) => read(&response),
            // Not the error itself, which may repeat the address with what is in it.
            Ok(Err(error)) if error.is_connect() => Answer::Busy("cannot connect".into(), None),
            Ok(Err(_)) => Answer::Busy("the connection broke".into(), None),
            Err(_) => Answer::Busy("no answer in time".into(), None),
        }
    }
}

/// Whether a destination can be posted to.
pub fn check(destination: &Destination) -> Result<(), Unusable> {
    let uri: http::Uri = destination.url.parse().map_err(|_| Unusable::Url)?;
    let host = uri.host().unwrap_or_default();
    let is_loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    match uri.scheme_str() {
        Some("https") if !host.is_empty() => {}
        Some("http") if is_loopback => {}
        _ => return Err(Unusable::Url),
    }
    secret(destination).map(drop)
}

fn secret(destination: &Destination) -> Result<Vec<u8>, Unusable> {
    let text = destination.signing_secret.expose();
    let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(Unusable::Secret)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| Unusable::Secret)?;
    match SECRET_BYTES.contains(&bytes.len()) {
        true => Ok(bytes),
        false => Err(Unusable::Secret),
    }
}

fn signed(
    to: &Destination,
    id: &str,
    now_s: i64,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let secret = secret(to).map_err(|unusable| unusable.to_string())?;
    // A key of any length will do.
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&secret).map_err(|_| Unusable::Secret.to_string())?;
    mac.update(format!("{id}.{now_s}.").as_bytes());
    mac.update(&body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Request::post(&to.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, "attune")
        .header("webhook-id", id)
        .header("webhook-timestamp", now_s)
        .header("webhook-signature", format!("v1,{signature}"))
        .body(Full::new(body))
        .map_err(|_| Unusable::Url.to_string())
}

fn read<B>(response: &Response<B>) -> Answer {
    let status = response.status();
    let said = format!("the destination answered {}", status.as_u16());
    if status.is_success() {
        return Answer::Taken;
    }
    let passing = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    if !passing {
        return Answer::Refused(said);
    }
    let after = response.headers().get(header::RETRY_AFTER);
    let seconds = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Answer::Busy(said, seconds.map(Duration::from_secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    fn destination(url: &str) -> Destination {
        Destination {
            url: url.to_owned(),
            signing_secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into(),
        }
    }

    #[test]
    fn signatures_are_those_of_the_specification() {
        let body = Bytes::from_static(br#"{"test": 2432232314}"#);
        let (id, now_s) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let request = signed(&destination("https://x.org/a"), id, now_s, body).unwrap();
        assert_eq!(
            request.headers()["webhook-signature"],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn destinations_are_checked() {
        let rows = [
            ("https://ads.example/in", Ok(())),
            ("http://127.0.0.1:8080/in", Ok(())),
            ("http://ads.example/in", Err(Unusable::Url)),
            ("ftp://ads.example", Err(Unusable::Url)),
            ("", Err(Unusable::Url)),
        ];
        for (url, expected) in rows {
            assert_eq!(check(&destination(url)), expected, "{url}");
        }
        for secret in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            let destination = Destination {
                signing_secret: secret.to_owned().into(),
                ..destination("https://x.org")
            };
            assert_eq!(check(&destination), Err(Unusable::Secret), "{secret}");
        }
    }

    #[test]
    fn answers_say_whether_to_try_again() {
        let rows = [
            (200, "", "taken"),
            (204, "", "taken"),
            (301, "", "refused"),
            (400, "", "refused"),
            (410, "", "refused"),
            (429, "7", "busy after 7 s"),
            (503, "soon", "busy"),
            (500, "", "busy"),
        ];
        for (status, after, expected) in rows {
            let response = Response::builder()
                .status(status)
                .header(header::RETRY_AFTER, after)
                .body(())
                .unwrap();
            let found = match read(&response) {
                Answer::Taken => "taken".to_owned(),
                Answer::Refused(_) => "refused".to_owned(),
                Answer::Busy(_, Some(after)) => format!("busy after {} s", after.as_secs()),
                Answer::Busy(_, None) => "busy".to_owned(),
            };
            assert_eq!(found, expected, "{status}");
        }
    }
}
