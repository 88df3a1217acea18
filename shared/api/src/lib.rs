//! The contracts: messages, clients and servers generated from `/proto`, their
//! descriptors, and conversions between protobuf's well-known types and JSON,
//! time and field masks. Knows the shapes; holds no rule about their contents.

pub mod diff;
pub mod json;
pub mod mask;
pub mod raw;
pub mod time;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// `attune.type.v1`: what all packages share.
pub mod r#type {
    pub mod v1 {
        tonic::include_proto!("attune.r#type.v1");
    }
}
/// `attune.events.v1`: the event log between services.
pub mod events {
    // One entry at a time is in hand; boxing its largest kind would buy nothing.
    #[allow(clippy::large_enum_variant)]
    pub mod v1 {
        tonic::include_proto!("attune.events.v1");
    }
}
/// `attune.profile.v1`: who the customer is.
pub mod profile {
    pub mod v1 {
        tonic::include_proto!("attune.profile.v1");
    }
}
/// `attune.catalog.v1`: what can be offered.
pub mod catalog {
    pub mod v1 {
        tonic::include_proto!("attune.catalog.v1");
    }
}
/// `attune.rules.v1`: the rule base and decisions.
pub mod rules {
    // Who is simulated is asked now and then; a box would be in everybody's way.
    #[allow(clippy::large_enum_variant)]
    pub mod v1 {
        tonic::include_proto!("attune.rules.v1");
    }
}
/// `attune.messaging.v1`: templates and delivery.
pub mod messaging {
    pub mod v1 {
        tonic::include_proto!("attune.messaging.v1");
    }
}
/// `attune.gateway.v1`: the public door.
pub mod gateway {
    pub mod v1 {
        tonic::include_proto!("attune.gateway.v1");
    }
}

/// Every file of the contract with imports, options and comments, as a serialized
/// `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/attune.binpb"));

/// The contract for reflection at run time.
pub static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    #[allow(clippy::expect_used)] // The bytes are made by this crate's build script.
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the built-in descriptor set is valid")
});
