//! One message there and one back, for the calls that every answer waits for: what
//! tonic keeps for streams (buffers to cut messages out of, copies of headers) is left
//! out, and a message is read from the very bytes that arrived. On the wire it is the
//! same as tonic's; it never knows what it carries.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use http_body::Frame;
use http_body_util::Full;
use prost::Message;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    metadata::{MetadataMap, MetadataValue},
};
use tower::Service;

use crate::{Channel, MESSAGE_BYTES_MAX, layers::code_in, metadata};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// gRPC's frame around a message: one flag, four bytes of length.
const PREFIX_BYTES: usize = 5;

/// One method of a peer.
#[derive(Debug, Clone)]
pub struct Unary {
    channel: Channel,
    uri: Uri,
}

impl Unary {
    /// `path` such as `/attune.profile.v1.ProfileService/GetSnapshot`.
    pub fn new(channel: &Channel, path: &'static str) -> Self {
        Self {
            channel: channel.clone(),
            uri: Uri::from_static(path),
        }
    }

    pub async fn call<Q, A>(&self, request: Request<Q>) -> Result<A, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        let request = self.outgoing(request)?;
        let Ok(response) = self.channel.clone().call(request).await;
        failure_in(response.headers())?;
        let http_status = response.status();
        let (message, trailers) = read(response.into_body(), MESSAGE_BYTES_MAX).await?;
        match &trailers {
            Some(trailers) => failure_in(trailers)?,
            None if http_status != StatusCode::OK => return Err(not_grpc(http_status)),
            None => {}
        }
        let message = message.ok_or_else(|| Status::internal("Missing response message."))?;
        decode(message)
    }

    fn outgoing<Q: Message>(&self, request: Request<Q>) -> Result<http::Request<Body>, Status> {
        let (metadata, extensions, message) = request.into_parts();
        let body = Body::new(Full::new(framed(&message)?));
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.extensions_mut() = extensions;
        let mut headers = metadata.into_headers();
        headers.insert(header::TE, TRAILERS);
        headers.insert(header::CONTENT_TYPE, GRPC);
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The other side: reads one message, has it handled, and answers with one.
pub async fn answer_unary<Q, A, F>(
    request: http::Request<Body>,
    handle: impl FnOnce(Request<Q>) -> F,
) -> http::Response<Body>
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = Result<Response<A>, Status>>,
{
    let answered = async {
        let (parts, body) = request.into_parts();
        uncompressed(&parts.headers)?;
        // What may arrive is bounded by the stack.
        let (message, _) = read(body, usize::MAX).await?;
        let message = message.ok_or_else(|| Status::internal("Missing request message."))?;
        let metadata = MetadataMap::from_headers(parts.headers);
        let request = Request::from_parts(metadata, parts.extensions, decode(message)?);
        answer_with(handle(request).await?)
    };
    answered.await.unwrap_or_else(Status::into_http)
}

fn answer_with<A: Message>(answer: Response<A>) -> Result<http::Response<Body>, Status> {
    let (metadata, message, extensions) = answer.into_parts();
    let body = Answer {
        message: Some(framed(&message)?),
        trailers: Some(HeaderMap::from_iter([(
            metadata::STATUS.clone(),
            HeaderValue::from_static("0"),
        )])),
    };
    let mut response = http::Response::new(Body::new(body));
    *response.extensions_mut() = extensions;
    let mut headers = metadata.into_headers();
    headers.insert(header::CONTENT_TYPE, GRPC);
    *response.headers_mut() = headers;
    Ok(response)
}

/// A message and that all went well.
struct Answer {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let message = self.message.take().map(Frame::data);
        let frame = message.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none()
    }
}

fn framed(message: &impl Message) -> Result<Bytes, Status> {
    let length = message.encoded_len();
    let prefix = u32::try_from(length)
        .map_err(|_| Status::resource_exhausted("message is longer than gRPC can tell"))?;
    let mut bytes = Vec::with_capacity(PREFIX_BYTES + length);
    bytes.push(0);
    bytes.extend_from_slice(&prefix.to_be_bytes());
    message.encode_raw(&mut bytes);
    Ok(bytes.into())
}

/// What a body holds: its message, if there is one, and its trailers.
async fn read<B>(body: B, bytes_max: usize) -> Result<(Option<Bytes>, Option<HeaderMap>), Status>
where
    B: http_body::Body<Data = Bytes, Error = Status>,
{
    let mut body = pin!(body);
    let mut bytes = Bytes::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(data) => bytes = joined(bytes, data),
            Err(frame) => return Ok((message_in(bytes, bytes_max)?, frame.into_trailers().ok())),
        }
        if bytes.len().saturating_sub(PREFIX_BYTES) > bytes_max {
            return Err(too_long(bytes.len(), bytes_max));
        }
    }
    Ok((message_in(bytes, bytes_max)?, None))
}

/// A message of our own arrives in one piece; over a network there may be more.
fn joined(bytes: Bytes, more: Bytes) -> Bytes {
    if bytes.is_empty() {
        return more;
    }
    if more.is_empty() {
        return bytes;
    }
    let mut bytes = BytesMut::from(bytes);
    bytes.extend_from_slice(&more);
    bytes.freeze()
}

fn message_in(mut bytes: Bytes, bytes_max: usize) -> Result<Option<Bytes>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let cut_off = || Status::internal("Unexpected EOF decoding stream.");
    let [flag, length @ ..] = *bytes.first_chunk::<PREFIX_BYTES>().ok_or_else(cut_off)?;
    if flag != 0 {
        return Err(Status::internal(
            "protocol error: received message with compressed-flag but no grpc-encoding was specified",
        ));
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > bytes_max {
        return Err(too_long(length, bytes_max));
    }
    if bytes.len() - PREFIX_BYTES < length {
        return Err(cut_off());
    }
    bytes.advance(PREFIX_BYTES);
    bytes.truncate(length);
    Ok(Some(bytes))
}

fn too_long(length: usize, bytes_max: usize) -> Status {
    Status::out_of_range(format!(
        "Error, decoded message length too large: found {length} bytes, the limit is: {bytes_max} bytes"
    ))
}

/// In tonic's words, which the public door tells its callers apart by.
fn decode<M: Message + Default>(message: Bytes) -> Result<M, Status> {
    M::decode(message).map_err(|error| Status::internal(error.to_string()))
}

fn uncompressed(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get(&ENCODING) {
        None => Ok(()),
        Some(encoding) if encoding == "identity" => Ok(()),
        Some(encoding) => {
            let encoding = encoding.to_str().unwrap_or_default();
            let mut status = Status::unimplemented(format!(
                "Content is compressed with `{encoding}` which isn't supported"
            ));
            let accepted = MetadataValue::from_static("identity");
            status
                .metadata_mut()
                .insert("grpc-accept-encoding", accepted);
            Err(status)
        }
    }
}

/// How the call ended, unless it went well.
fn failure_in(headers: &HeaderMap) -> Result<(), Status> {
    match code_in(headers) {
        None | Some(Code::Ok) => Ok(()),
        Some(_) => Err(Status::from_header_map(headers)
            .unwrap_or_else(|| Status::unknown("an unreadable status"))),
    }
}

/// Something between us and the peer answered in its place.
fn not_grpc(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    let status = status.as_u16();
    Status::new(
        code,
        format!("grpc-status header missing, mapped from HTTP status code {status}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::StreamBody;

    async fn read_frames(frames: &[&'static [u8]]) -> Result<Option<Bytes>, Code> {
        let frames: Vec<_> = frames
            .iter()
            .map(|bytes| Ok(Frame::data(Bytes::from_static(bytes))))
            .collect();
        let body = StreamBody::new(stream::iter(frames));
        let read = read(body, 3).await;
        read.map(|(message, _)| message).map_err(|s| s.code())
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_was_cut() {
        let abc = Ok(Some(Bytes::from_static(b"abc")));
        let rows: [(&[&'static [u8]], _); 9] = [
            (&[b"\0\0\0\0\x03abc"], abc.clone()),
            (&[b"\0\0\0\0\x03abc", b""], abc.clone()),
            (&[b"\0\0", b"\0\0\x03a", b"", b"bc"], abc),
            (&[b"\0\0\0\0\0"], Ok(Some(Bytes::new()))),
            (&[], Ok(None)),
            (&[b"\0\0\0"], Err(Code::Internal)),
            (&[b"\0\0\0\0\x03ab"], Err(Code::Internal)),
            (&[b"\x01\0\0\0\x03abc"], Err(Code::Internal)),
            (&[b"\0\0\0\0\x04abcd"], Err(Code::OutOfRange)),
        ];
        for (frames, expected) in rows {
            assert_eq!(read_frames(frames).await, expected, "{frames:?}");
        }
    }

    #[tokio::test]
    async fn what_is_compressed_is_refused_with_what_would_be_accepted() {
        let mut request = http::Request::new(Body::empty());
        let gzip = HeaderValue::from_static("gzip");
        request.headers_mut().insert(ENCODING, gzip);
        let handle = |_: Request<()>| async { Ok(Response::new(())) };
        let response = answer_unary(request, handle).await;
        assert_eq!(code_in(response.headers()), Some(Code::Unimplemented));
        assert_eq!(response.headers()["grpc-accept-encoding"], "identity");
    }

    #[tokio::test]
    async fn an_answer_is_a_message_and_then_that_all_went_well() {
        let request = http::Request::new(Body::new(Full::new(Bytes::from_static(&[0; 5]))));
        let handle = |_: Request<()>| async { Ok(Response::new("hello".to_owned())) };
        let response = answer_unary(request, handle).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], GRPC);
        assert_eq!(code_in(response.headers()), None);
        let (message, trailers) = read(response.into_body(), 100).await.unwrap();
        assert_eq!(decode::<String>(message.unwrap()).unwrap(), "hello");
        assert_eq!(code_in(&trailers.unwrap()), Some(Code::Ok));
    }
}
