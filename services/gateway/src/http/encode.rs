//! Messages on the wire into protobuf's canonical JSON (lowerCamelCase, defaults left
//! out, 64-bit integers as strings). The one place where reflection builds a message.

use bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use tonic::Status;

const OPTIONS: SerializeOptions = SerializeOptions::new();

/// Appends the message as JSON.
pub fn to_json(message: &MessageDescriptor, wire: Bytes, out: &mut Vec<u8>) -> Result<(), Status> {
    let unreadable = |_| Status::internal("an answer could not be read");
    let message = DynamicMessage::decode(message.clone(), wire).map_err(unreadable)?;
    let mut serializer = serde_json::Serializer::new(out);
    message
        .serialize_with_options(&mut serializer, &OPTIONS)
        .map_err(|_| Status::internal("an answer could not be written"))
}
