//! A client of HTTP/JSON, as anybody could write one from the OpenAPI document.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// The public door, with one key. Clones share connections.
#[derive(Clone)]
pub struct Api {
    url: String,
    key: Option<String>,
    /// Beside those of every request.
    headers: HeaderMap,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Null where the body is no JSON.
    pub body: Value,
    pub text: String,
}

impl Api {
    pub fn new(url: &str, key: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            url: url.to_owned(),
            key: Some(key.to_owned()),
            headers: HeaderMap::new(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    pub fn with_key(&self, key: &str) -> Self {
        let key = Some(key.to_owned());
        Self {
            key,
            ..self.clone()
        }
    }

    /// Sends this with every request, as a browser of that mind would.
    pub fn with_header(&self, name: &'static str, value: &'static str) -> Self {
        let mut other = self.clone();
        let name = HeaderName::from_static(name);
        other.headers.insert(name, HeaderValue::from_static(value));
        other
    }

    pub fn without_key(&self) -> Self {
        Self {
            key: None,
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body.to_string())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body.to_string())).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body.to_string())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// Posts what may be no JSON at all.
    pub async fn post_text(&self, path: &str, body: impl Into<String>) -> Answer {
        self.call(Method::POST, path, Some(body.into())).await
    }

    async fn call(&self, method: Method, path: &str, body: Option<String>) -> Answer {
        let what = format!("{method} {path}");
        self.attempt(method, path, body)
            .await
            .unwrap_or_else(|e| panic!("{what}: {e}"))
    }

    /// As [`Api::post`], where the door may be closed or break off.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        self.attempt(Method::POST, path, Some(body.to_string()))
            .await
            .ok()
    }

    /// As [`Api::put`], where the door may be closed or break off.
    pub async fn try_put(&self, path: &str, body: &Value) -> Option<Answer> {
        self.attempt(Method::PUT, path, Some(body.to_string()))
            .await
            .ok()
    }

    async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(Full::from(body.unwrap_or_default()))?;
        request.headers_mut().extend(self.headers.clone());
        let response = self.client.request(request).await?;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        })
    }
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.text
        );
        self.body
    }

    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn details(&self) -> impl Iterator<Item = &Value> {
        self.body["details"].as_array().into_iter().flatten()
    }

    /// The stable reason of a failure.
    pub fn reason(&self) -> &str {
        let mut reasons = self.details().filter_map(|d| d["reason"].as_str());
        reasons.next().unwrap_or_default()
    }

    /// One entry of the reason's metadata.
    pub fn metadata(&self, key: &str) -> &str {
        let mut values = self.details().filter_map(|d| d["metadata"][key].as_str());
        values.next().unwrap_or_default()
    }

    /// Paths of the fields at fault, sorted.
    pub fn violations(&self) -> Vec<&str> {
        let lists = self
            .details()
            .filter_map(|d| d["fieldViolations"].as_array());
        let mut fields: Vec<_> = lists
            .flatten()
            .filter_map(|v| v["field"].as_str())
            .collect();
        fields.sort_unstable();
        fields
    }
}
