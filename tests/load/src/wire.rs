//! Raw gRPC: requests encoded once, answers counted and not decoded, so that the
//! load generator costs the same whatever it drives.

use anyhow::Result;
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Channel, Endpoint},
};

/// Passes message bytes through as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// One method of one server.
#[derive(Clone)]
pub struct Target {
    channels: Vec<Channel>,
    path: PathAndQuery,
    authorization: Option<tonic::metadata::AsciiMetadataValue>,
}

impl Target {
    pub async fn connect(
        endpoint: &str,
        connections: usize,
        path: &'static str,
        key: Option<&str>,
    ) -> Result<Self> {
        let mut channels = Vec::with_capacity(connections);
        for _ in 0..connections {
            let endpoint = Endpoint::from_shared(endpoint.to_owned())?.tcp_nodelay(true);
            channels.push(endpoint.connect().await?);
        }
        Ok(Self {
            channels,
            path: PathAndQuery::from_static(path),
            authorization: key.map(|k| format!("Bearer {k}").parse()).transpose()?,
        })
    }

    /// One call on the connection of this worker.
    pub async fn call(&self, worker: usize, message: Bytes) -> Result<Bytes, Status> {
        let channel = self.channels[worker % self.channels.len()].clone();
        let mut client = tonic::client::Grpc::new(channel);
        client
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = tonic::Request::new(message);
        if let Some(value) = &self.authorization {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        let answer = client.unary(request, self.path.clone(), RawCodec).await?;
        Ok(answer.into_inner())
    }
}
