//! What is inside is the folder's, whole.

use std::path::Path;

use strdiffusion::evaluation::{model_files_sha256, model_sha256};
use strdiffusion::model::Model;
use strdiffusion::{Device, Error};
use strdiffusion_default_model::files;

#[test]
fn the_files_inside_are_those_of_the_folder_and_load_like_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/default");
    assert_eq!(model_files_sha256(&files()), model_sha256(&folder).unwrap());
    let inside = Model::from_files(&files(), &Device::flex()).unwrap();
    let named = Model::load(&folder, &Device::flex()).unwrap();
    assert_eq!(inside.config(), named.config());
    assert_eq!(inside.parameters(), named.parameters());
}

#[test]
fn files_in_memory_are_checked_as_a_folders_are() {
    let load = |files| match Model::from_files(&files, &Device::flex()) {
        Err(Error::Model { path, problem }) => (path.display().to_string(), problem),
        other => panic!("{other:?}"),
    };
    let mut short = files();
    short.texture = &short.texture[..1000];
    assert_eq!(load(short).0, "bundled model/texture.safetensors");
    let mut swapped = files();
    swapped.texture = swapped.structure;
    assert_eq!(load(swapped).0, "bundled model/texture.safetensors");
    let mut wrong = files();
    wrong.config = b"{}";
    let (path, problem) = load(wrong);
    assert_eq!(path, "bundled model/config.json");
    assert!(problem.starts_with("not a model's config"), "{problem}");
}
