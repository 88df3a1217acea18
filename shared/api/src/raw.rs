//! Answers whose parts stay encoded: the same bytes on the wire as the messages of the
//! contract that they are named after, for those who pass items on without reading them.

use bytes::Bytes;

/// `attune.catalog.v1.BatchGetItemsResponse` with each `attune.catalog.v1.Item` as it
/// lies in the catalog.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BatchGetItemsResponse {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub items: Vec<Bytes>,
    #[prost(string, repeated, tag = "2")]
    pub missing_item_ids: Vec<String>,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::catalog::v1;

    #[test]
    fn the_bytes_are_those_of_the_contract() {
        let item = v1::Item {
            item_id: "tent-1".into(),
            stock: Some(0),
            ..Default::default()
        };
        let missing_item_ids = vec!["gone".to_owned()];
        let message = v1::BatchGetItemsResponse {
            items: vec![item.clone(), v1::Item::default()],
            missing_item_ids: missing_item_ids.clone(),
        };
        let raw = BatchGetItemsResponse {
            items: vec![item.encode_to_vec().into(), Bytes::new()],
            missing_item_ids,
        };
        assert_eq!(raw.encode_to_vec(), message.encode_to_vec());
    }
}
