//! Checkpoints, model folders and settings.

use strdiffusion::Device;
use strdiffusion::import;
use strdiffusion::model::{CONFIG, Model, read_config};
use strdiffusion::training::config::TrainConfig;
use strdiffusion::weights::read_safetensors;

use crate::{halves, write};

/// A PyTorch checkpoint, as each of the networks.
pub fn checkpoint(bytes: &[u8]) {
    let path = write("checkpoint.pth", bytes);
    if import::read_checkpoint(&path).is_ok() {
        let device = Device::flex();
        let _ = import::unet(&path, &device);
        let _ = import::discriminator(&path, &device);
    }
}

/// A model folder: its settings, and one file of weights for all three networks.
pub fn model(bytes: &[u8]) {
    let [config, weights] = halves(bytes);
    let config = write(CONFIG, config);
    let files = ["texture", "structure", "discriminator"]
        .map(|name| write(&format!("{name}.safetensors"), weights));
    let folder = config.parent().expect("a file lies in a folder");
    let _ = read_safetensors(&files[0]);
    if read_config(folder).is_ok() {
        let _ = Model::load(folder, &Device::flex());
    }
}

/// Settings of a training run.
pub fn config(bytes: &[u8]) {
    let path = write("config.toml", bytes);
    let Ok(config) = TrainConfig::read(&path) else {
        return;
    };
    let again = write("again.toml", config.to_toml().as_bytes());
    let again = TrainConfig::read(&again).expect("settings that were written can be read");
    assert!(again == config);
    let model = config.model_config();
    model
        .validate()
        .expect("settings that are in range make a model's");
}
