//! Server: a message that is too large is refused while it arrives, before anybody has
//! held or decoded it. Counts all that a call sends, or each message by itself where the
//! method takes a stream of them.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use attune_errors::Fault;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{Layer, Service};

use crate::Method;

/// Refuses requests of more bytes than this.
#[derive(Debug, Clone, Copy)]
pub struct SizeLimit(pub usize);

/// gRPC's frame around a message: one flag, four bytes of length.
const FRAME_BYTES: usize = 5;

impl<I> Layer<I> for SizeLimit {
    type Service = SizeLimited<I>;
    fn layer(&self, inner: I) -> Self::Service {
        let bytes_max = self.0;
        SizeLimited { bytes_max, inner }
    }
}

#[derive(Debug, Clone)]
pub struct SizeLimited<I> {
    bytes_max: usize,
    inner: I,
}

impl<I, B> Service<Request<tonic::body::Body>> for SizeLimited<I>
where
    I: Service<Request<tonic::body::Body>, Response = Response<B>>,
{
    type Response = I::Response;
    type Error = I::Error;
    type Future = I::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), I::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> I::Future {
        let limit = self.bytes_max;
        if Method::of(&request).takes_stream {
            let counted = |inner| {
                let room = Room::Each(Frames::default());
                tonic::body::Body::new(Counted { inner, limit, room })
            };
            return self.inner.call(request.map(counted));
        }
        let left = limit.saturating_add(FRAME_BYTES);
        let upper = request.body().size_hint().upper();
        if upper.is_some_and(|upper| upper <= left as u64) {
            return self.inner.call(request);
        }
        let counted = |inner| {
            let room = Room::Left(left);
            tonic::body::Body::new(Counted { inner, limit, room })
        };
        self.inner.call(request.map(counted))
    }
}

pin_project! {
    struct Counted<B> {
        #[pin]
        inner: B,
        limit: usize,
        room: Room,
    }
}

/// What may still be sent.
#[derive(Debug)]
enum Room {
    /// So many bytes.
    Left(usize),
    /// As many messages as there are, none of them too large.
    Each(Frames),
}

impl Room {
    /// Whether these bytes may come too.
    fn take(&mut self, arrived: &[u8], limit: usize) -> bool {
        match self {
            Self::Left(left) => match left.checked_sub(arrived.len()) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => false,
            },
            Self::Each(frames) => frames.take(arrived, limit),
        }
    }
}

/// Where in a stream of frames the bytes so far end.
#[derive(Debug, Default)]
struct Frames {
    header: [u8; FRAME_BYTES],
    header_len: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Frames {
    /// False if a frame begins whose message is larger than `limit`.
    fn take(&mut self, mut bytes: &[u8], limit: usize) -> bool {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = &bytes[passed..];
                continue;
            }
            self.header[self.header_len] = bytes[0];
            self.header_len += 1;
            bytes = &bytes[1..];
            if self.header_len == FRAME_BYTES {
                let [_, a, b, c, d] = self.header;
                let message_len = u32::from_be_bytes([a, b, c, d]);
                self.left = usize::try_from(message_len).unwrap_or(usize::MAX);
                self.header_len = 0;
                if self.left > limit {
                    return false;
                }
            }
        }
        true
    }
}

impl<B: Body<Data = Bytes, Error = Status>> Body for Counted<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let arrived = frame.data_ref().map_or(&[][..], |data| data);
            if !this.room.take(arrived, *this.limit) {
                return Poll::Ready(Some(Err(Fault::payload_too_large(*this.limit).into())));
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of these sizes, one after the other.
    fn stream(sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for size in sizes {
            bytes.push(0);
            bytes.extend(u32::try_from(*size).unwrap().to_be_bytes());
            bytes.extend(std::iter::repeat_n(7, *size));
        }
        bytes
    }

    #[test]
    fn each_message_of_a_stream_is_held_against_the_limit() {
        let rows: [(&[usize], bool); 6] = [
            (&[], true),
            (&[10], true),
            (&[11], false),
            (&[10, 10, 0, 10, 10], true),
            (&[0, 0, 3, 11], false),
            (&[u32::MAX as usize >> 8], false),
        ];
        for (sizes, fits) in rows {
            let bytes = stream(sizes);
            // However the bytes are cut, the frames are the same.
            for cut in [1, 2, 3, 7, bytes.len().max(1)] {
                let mut room = Room::Each(Frames::default());
                let taken = bytes.chunks(cut).all(|chunk| room.take(chunk, 10));
                assert_eq!(taken, fits, "{sizes:?} in pieces of {cut}");
            }
        }
    }

    #[test]
    fn a_single_message_has_the_limit_for_all_its_bytes() {
        let mut room = Room::Left(15);
        assert!(room.take(&stream(&[9]), 10));
        assert!(room.take(&[0], 10));
        assert!(!room.take(&[0], 10));
    }
}
