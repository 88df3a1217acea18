//! Generates messages, clients and servers from `/proto` without protoc, and the
//! descriptor set that reflection, transcoding and OpenAPI read.

use std::{env, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());

    let files = [
        "attune/events/v1/log.proto",
        "attune/gateway/v1/access.proto",
        "attune/gateway/v1/collection.proto",
        "attune/gateway/v1/personalization.proto",
        "attune/gateway/v1/preferences.proto",
        "attune/messaging/v1/messaging.proto",
        "attune/profile/v1/audiences.proto",
        "attune/profile/v1/imports.proto",
        "attune/profile/v1/privacy.proto",
        "attune/profile/v1/schema.proto",
        "attune/profile/v1/segments.proto",
        "attune/rules/v1/analysis.proto",
        "attune/rules/v1/decisions.proto",
        "attune/rules/v1/rules.proto",
        "attune/type/v1/errors.proto",
    ];
    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(files)?;
    // Encoded by protox and not by prost, which would drop the options
    // `google.api.http` and `attune.type.v1.access`.
    std::fs::write(
        out.join("attune.binpb"),
        compiler.encode_file_descriptor_set(),
    )?;

    let mut config = tonic_prost_build::Config::new();
    // Ordered maps make equal messages encode to equal bytes; `Bytes` makes
    // carrying an opaque field free of copies.
    config.btree_map(["."]).bytes(["."]);
    tonic_prost_build::configure()
        .compile_well_known_types(false)
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}
