//! What tests say of traits that are declared, in short.

#![allow(dead_code)] // Each test binary uses its own part of it.

use attune_api::profile::v1::{
    CreateTraitRequest, DeleteTraitRequest, Trait, TraitType, UpdateTraitRequest,
    schema_service_client::SchemaServiceClient,
};
use attune_errors::violations_of;
use attune_rpc::Channel;
use prost_types::FieldMask;
use tonic::Status;

use crate::support::*;

pub fn schema(shop: &Running) -> SchemaServiceClient<Channel> {
    SchemaServiceClient::new(shop.channel.clone())
}

pub fn declared(id: &str, kind: TraitType) -> Trait {
    Trait {
        trait_id: id.into(),
        r#type: kind.into(),
        ..Trait::default()
    }
}

pub async fn declare(shop: &Running, declared: Trait) -> Result<Trait, Status> {
    let request = shop.request(CreateTraitRequest {
        trait_id: declared.trait_id.clone(),
        r#trait: Some(declared),
    });
    Ok(schema(shop).create_trait(request).await?.into_inner())
}

pub async fn update(shop: &Running, changed: Trait, paths: &[&str]) -> Result<Trait, Status> {
    let request = shop.request(UpdateTraitRequest {
        r#trait: Some(changed),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        allow_missing: false,
    });
    Ok(schema(shop).update_trait(request).await?.into_inner())
}

pub async fn delete(shop: &Running, id: &str, etag: &str) -> Result<(), Status> {
    let request = shop.request(DeleteTraitRequest {
        trait_id: id.into(),
        etag: etag.into(),
    });
    schema(shop).delete_trait(request).await.map(drop)
}

pub fn fields(status: &Status) -> Vec<String> {
    violations_of(status).into_iter().map(|v| v.0).collect()
}
