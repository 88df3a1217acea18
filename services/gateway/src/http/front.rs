//! The one port: tells gRPC, gRPC-Web and HTTP/JSON apart by content type and gives
//! each to its own way into the door. Only what browsers send passes CORS.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use attune_rpc::Health;
use axum::{BoxError, Router, body::Body, response::IntoResponse, routing::get};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use tonic::service::Routes as TonicRoutes;
use tonic_web::GrpcWebLayer;
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{
    openapi,
    routes::Routes,
    transcode::{BoxedDoor, Transcoder},
};
use crate::{config::Cors, error::Error, methods::Methods};

type Web = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Everything that the public port answers.
pub fn router<D, B>(
    door: D,
    routes: Arc<Routes>,
    health: &Health,
    cors: &Cors,
    body_bytes_max: usize,
) -> Result<Router, Error>
where
    D: Service<
            Request<tonic::body::Body>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let document = Bytes::from(openapi::document(&routes).to_string());
    let cors = cors_layer(cors);
    let boxed = BoxCloneSyncService::new(
        door.clone()
            .map_response(|response: Response<B>| response.map(tonic::body::Body::new)),
    );
    let json = Transcoder::new(routes, boxed.clone(), body_bytes_max);
    let json = Web::new(cors.layer(tower::service_fn(move |request| {
        let json = json.clone();
        async move { Ok(json.answer(request).await) }
    })));
    let grpc_web = Web::new(cors.layer(grpc_web(boxed)));
    let browsers = Arc::new(Browsers { grpc_web, json });
    let front = Front { door, browsers };
    let open = get(move || std::future::ready(openapi_json(document.clone()))).layer(cors);
    Ok(health
        .router()
        .merge(reflection()?)
        .route("/openapi.json", open)
        .fallback_service(front))
}

fn grpc_web(door: BoxedDoor) -> Web {
    let web = GrpcWebLayer::new().layer(door);
    Web::new(tower::service_fn(move |request: Request<Body>| {
        let answer = web.clone().oneshot(request);
        async move { Ok(answer.await?.map(Body::new)) }
    }))
}

/// Lists what the public may call; the messages of all. In both versions of the
/// protocol, since Python's client speaks only the older one.
fn reflection() -> Result<Router, Error> {
    let routes =
        TonicRoutes::new(described().build_v1()?).add_service(described().build_v1alpha()?);
    // The fallback is the front's: a merged one would answer unknown paths for it.
    Ok(routes.into_axum_router().reset_fallback())
}

fn described() -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(attune_api::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    let services = Methods::read().services().into_iter();
    services.fold(builder, |builder, service| {
        builder.with_service_name(service)
    })
}

fn openapi_json(document: Bytes) -> Response<Body> {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], document).into_response()
}

fn cors_layer(cors: &Cors) -> CorsLayer {
    let origins: Vec<_> = cors
        .allowed_origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins)
    };
    let exposed = [
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
        "retry-after",
        "x-request-id",
    ];
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(Duration::from_secs(cors.max_age_s))
}

/// Tells the ways apart. Cloned for every request, so all but the door is shared.
#[derive(Clone)]
struct Front<D> {
    door: D,
    browsers: Arc<Browsers>,
}

/// The ways that pass CORS.
struct Browsers {
    grpc_web: Web,
    json: Web,
}

impl<D, B> Service<Request<Body>> for Front<D>
where
    D: Service<
            Request<tonic::body::Body>,
            Response = Response<B>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // The others end here too, and are made ready when they are taken.
        self.door.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match Form::of(&request) {
            Form::Grpc => {
                let answer = self.door.call(request.map(tonic::body::Body::new));
                Box::pin(async move {
                    let mut answer = answer.await?;
                    // Foreign clients refuse long headers, and failures travel in them.
                    attune_errors::fit_headers(answer.headers_mut());
                    Ok(answer.map(Body::new))
                })
            }
            Form::GrpcWeb => Box::pin(self.browsers.grpc_web.clone().oneshot(request)),
            Form::Json => Box::pin(self.browsers.json.clone().oneshot(request)),
        }
    }
}

enum Form {
    Grpc,
    GrpcWeb,
    Json,
}

impl Form {
    fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let content_type = headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map_or(&b""[..], HeaderValue::as_bytes);
        if content_type.starts_with(b"application/grpc-web") {
            return Self::GrpcWeb;
        }
        if content_type.starts_with(b"application/grpc") {
            return Self::Grpc;
        }
        // Before a gRPC-Web call a browser asks for the path of the method.
        Self::Json
    }
}
