//! A failure as HTTP: `google.rpc.Status` in JSON, the matching HTTP status, and
//! `Retry-After` where waiting helps. Decides nothing about what is a failure.

use attune_errors::{Fault, Reason, reason_of, retry_after_of};
use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt};

/// Where the `@type` of a detail begins.
const TYPE: &str = "type.googleapis.com/google.rpc.";

/// The failure as an answer.
pub fn response(status: &Status) -> Response<Body> {
    let mut response = Response::new(Body::from(to_json(status).to_string()));
    *response.status_mut() = http_status(status);
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Some(delay) = retry_after_of(status) {
        // Whole seconds, and never so early that the answer is the same.
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status.code() == Code::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

/// No route has this path.
pub fn no_such_path(path: &str) -> Response<Body> {
    response(&Fault::method_unknown(path).into())
}

/// The path has other verbs.
pub fn other_verbs(verb: &http::Method, path: &str, allowed: &[http::Method]) -> Response<Body> {
    let mut response = response(&Fault::method_unknown(format_args!("{verb} {path}")).into());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let names: Vec<_> = allowed.iter().map(http::Method::as_str).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(header::ALLOW, names);
    }
    response
}

/// As `google/rpc/code.proto` maps them, with the finer codes that HTTP has.
fn http_status(status: &Status) -> StatusCode {
    match reason_of(status) {
        Some(Reason::PayloadTooLarge) => return StatusCode::PAYLOAD_TOO_LARGE,
        Some(Reason::MethodUnknown) => return StatusCode::NOT_FOUND,
        _ => {}
    }
    match status.code() {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        // Not in the registry of status codes, but what proxies use for it.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// `{"code", "message", "details": [{"@type", …}]}`
pub fn to_json(status: &Status) -> Value {
    let mut details = status.get_error_details_vec();
    // The reason comes first, whatever order the parts were put together in.
    details.sort_by_key(|detail| !matches!(detail, ErrorDetail::ErrorInfo(_)));
    let details: Vec<_> = details.into_iter().filter_map(detail).collect();
    json!({
        "code": status.code() as i32,
        "message": status.message(),
        "details": details,
    })
}

/// The details that this product sends; others have no reader.
fn detail(detail: ErrorDetail) -> Option<Value> {
    Some(match detail {
        ErrorDetail::ErrorInfo(info) => json!({
            "@type": format!("{TYPE}ErrorInfo"),
            "reason": info.reason,
            "domain": info.domain,
            "metadata": info.metadata,
        }),
        ErrorDetail::BadRequest(bad) => {
            let violations: Vec<_> = bad
                .field_violations
                .into_iter()
                .map(|v| json!({"field": v.field, "description": v.description}))
                .collect();
            json!({"@type": format!("{TYPE}BadRequest"), "fieldViolations": violations})
        }
        ErrorDetail::RetryInfo(retry) => {
            let delay = retry.retry_delay.unwrap_or_default();
            json!({
                "@type": format!("{TYPE}RetryInfo"),
                "retryDelay": format!("{}s", delay.as_secs_f64()),
            })
        }
        ErrorDetail::ResourceInfo(resource) => json!({
            "@type": format!("{TYPE}ResourceInfo"),
            "resourceType": resource.resource_type,
            "resourceName": resource.resource_name,
            "owner": resource.owner,
            "description": resource.description,
        }),
        _ => return None,
    })
}
