//! The code of gRPC is the one that its `.proto` makes.

use std::{fs, path::Path};

use prost::Message;

#[test]
fn the_code_is_made_from_the_protocol() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/grpc/proto");
    let described = protox::compile([folder.join("open_inference.proto")], [&folder]).unwrap();
    let made = std::env::temp_dir().join(format!("kubesentiment-proto-{}", std::process::id()));
    fs::create_dir_all(&made).unwrap();
    tonic_prost_build::configure()
        // Parts of what came, not copies of it.
        .bytes(".")
        .build_transport(false)
        .codec_path("crate::grpc::codec::Bounded")
        .out_dir(&made)
        .compile_fds(described.clone())
        .unwrap();
    // Comments would be a second copy of the file.
    let mut described = described;
    described.file.iter_mut().for_each(|file| file.source_code_info = None);
    let files =
        [("inference.rs", fs::read(made.join("inference.rs")).unwrap()), ("descriptor.bin", described.encode_to_vec())];
    fs::remove_dir_all(&made).unwrap();
    for (name, expected) in files {
        let file = folder.join(name);
        if std::env::var_os("UPDATE_PROTO").is_some() {
            fs::write(&file, &expected).unwrap();
        }
        assert!(fs::read(&file).unwrap_or_default() == expected, "{name} is not what the protocol makes: make proto");
    }
}
