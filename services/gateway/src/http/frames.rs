//! gRPC's framing seen from the calling side: one message per frame, the outcome in
//! headers or trailers. Carries bytes; never reads a message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt;
use tonic::{Code, Status, body::Body};

/// One flag and four bytes of length.
const HEADER_BYTES: usize = 5;

/// The message as a frame.
pub fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + message.len());
    frame.put_u8(0);
    // Bodies are limited far below 4 GiB.
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// The messages of an answer, one after the other.
pub struct Frames {
    body: Body,
    buffer: BytesMut,
    /// Set once the trailers, or headers in their stead, have told the outcome.
    outcome: Option<Status>,
}

impl Frames {
    pub fn of(response: http::Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            body,
            buffer: BytesMut::new(),
            outcome: outcome(&parts.headers),
        }
    }

    /// The next message, None at a good end, or how the call failed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            if let Some(status) = &self.outcome {
                return match status.code() {
                    Code::Ok => Ok(None),
                    _ => Err(status.clone()),
                };
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.read(frame),
                Some(Err(status)) => self.outcome = Some(status),
                None => self.outcome = Some(Status::internal("the answer broke off")),
            }
        }
    }

    fn read(&mut self, frame: http_body::Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) if self.buffer.is_empty() => self.buffer = data.into(),
            Ok(data) => self.buffer.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let ended = outcome(&trailers);
                self.outcome = Some(ended.unwrap_or_else(|| Status::unknown("no outcome")));
            }
        }
        if self.outcome.is_none() && self.body.is_end_stream() && self.buffer.is_empty() {
            self.outcome = Some(Status::internal("the answer broke off"));
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        if self.buffer.len() < HEADER_BYTES {
            return Ok(None);
        }
        if self.buffer[0] != 0 {
            // We never say that we accept compression.
            return Err(Status::internal("an answer was compressed"));
        }
        let mut header = &self.buffer[1..HEADER_BYTES];
        let length = header.get_u32() as usize;
        if self.buffer.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

fn outcome(headers: &HeaderMap) -> Option<Status> {
    Status::from_header_map(headers)
}
