//! Reading the reference implementation's PyTorch checkpoints.
//!
//! Burn's reader parses the pickle without executing it. A checkpoint's names are derived from
//! ours, one by one, so each missing or extra tensor is named.

use std::io::Write;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use pytorch_reader::{DType, PickleValue, PytorchReader};

use crate::error::{Error, Result};
use crate::networks::{ConditionalUNet, ConditionalUNetConfig, Discriminator, DiscriminatorConfig};
use crate::text::one_line;
use crate::weights::{self, HostTensor, TensorMap};

/// A checkpoint's tensors under their own names, without the `module.` that data-parallel
/// training puts before them.
///
/// # Errors
/// If the file is no PyTorch checkpoint of floats.
pub fn read_checkpoint(path: &Path) -> Result<TensorMap> {
    let file = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !file.is_file() && !file.is_dir() {
        return Err(Error::model(
            path,
            "is no regular file; save the checkpoint and name its file",
        ));
    }
    if file.len() == 0 {
        return Err(Error::model(
            path,
            "the file is empty; download the checkpoint again",
        ));
    }
    // The copy must live until the tensors are read from it.
    let (reader, copy) = match PytorchReader::new(path) {
        Ok(reader) => (reader, None),
        Err(error) => {
            let unreadable = || {
                let reason = one_line(&error);
                Error::model(
                    path,
                    format!(
                        "not a PyTorch checkpoint that can be read ({reason}); download it again"
                    ),
                )
            };
            let copy = copy_without_zip64(path)
                .ok()
                .flatten()
                .ok_or_else(unreadable)?;
            (
                PytorchReader::new(copy.path()).map_err(|_| unreadable())?,
                Some(copy),
            )
        }
    };
    refuse_objects(copy.as_ref().map_or(path, |copy| copy.path()), path)?;
    refuse_expansion(&reader, file.len(), path)?;
    let mut tensors = TensorMap::new();
    for (name, tensor) in reader.into_tensors() {
        let bytes = tensor.read().map_err(|error| {
            Error::model(
                path,
                format!(
                    "damaged ({}); download the checkpoint again",
                    one_line(&error)
                ),
            )
        })?;
        let values = floats_from_native(&bytes, tensor.dtype()).ok_or_else(|| {
            Error::model(
                path,
                format!("tensor {name} is of kind {:?}, not a float", tensor.dtype()),
            )
        })?;
        let name = name.strip_prefix("module.").unwrap_or(&name).to_string();
        tensors.insert(
            name,
            HostTensor {
                shape: tensor.shape().to_vec(),
                values,
            },
        );
    }
    Ok(tensors)
}

/// Refuses a checkpoint that would make Python call or build something beside tensors. Nothing here
/// does so, but a file that tries is no set of weights. `file` is read, and `path` named.
fn refuse_objects(file: &Path, path: &Path) -> Result<()> {
    let value = PytorchReader::read_pickle_data(file, None).map_err(|error| {
        let reason = one_line(&error);
        Error::model(path, format!("damaged ({reason}); download it again"))
    })?;
    let Some(name) = foreign_object(&value) else {
        return Ok(());
    };
    Err(Error::model(
        path,
        format!(
            "it holds the Python object {name}, which weights have no need of and which was not \
             run; do not load this file with other programs unless you know where it comes from"
        ),
    ))
}

/// An object that is neither plain data nor a tensor.
fn foreign_object(value: &PickleValue) -> Option<&str> {
    const TENSORS: [&str; 3] = ["torch.Tensor", "torch.TypedStorage", "torch.UntypedStorage"];
    match value {
        PickleValue::Unsupported(name) => {
            Some(name.as_str()).filter(|name| !TENSORS.contains(name))
        }
        PickleValue::List(values) => values.iter().filter_map(foreign_object).min(),
        PickleValue::Dict(values) => values.values().filter_map(foreign_object).min(),
        _ => None,
    }
}

/// Refuses tensors that take far more memory than the file has bytes. PyTorch stores each number; a
/// file can be made whose few numbers stand for gigabytes.
fn refuse_expansion(reader: &PytorchReader, bytes: u64, path: &Path) -> Result<()> {
    const SPARE: u64 = 1 << 20;
    let needed = reader.tensors().values().fold(0u64, |sum, tensor| {
        sum.saturating_add(tensor.byte_len() as u64)
    });
    if needed <= bytes.saturating_mul(2).saturating_add(SPARE) {
        return Ok(());
    }
    Err(Error::model(
        path,
        format!(
            "its tensors would take {} MiB, but the file has {} MiB: not as PyTorch writes \
             checkpoints; save it again with torch.save",
            needed >> 20,
            bytes >> 20
        ),
    ))
}

/// A copy of a zip archive without its redundant zip64 trailer, if it has one.
///
/// PyTorch writes the trailer (76 bytes) even where the ordinary one says everything. Where the
/// archive's first directory entry is 76 bytes long too, which its name decides, the zip reader
/// takes the second entry for the first and fails.
fn copy_without_zip64(path: &Path) -> std::io::Result<Option<tempfile::NamedTempFile>> {
    const END: usize = 22; // of the ordinary trailer, without a comment
    const ZIP64: usize = 76; // zip64 record and locator
    let bytes = std::fs::read(path)?;
    let Some(end) = bytes.len().checked_sub(END).filter(|end| *end >= ZIP64) else {
        return Ok(None);
    };
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i])) as usize;
    let redundant = bytes[end..].starts_with(b"PK\x05\x06")
        && bytes[end - 20..].starts_with(b"PK\x06\x07")
        && bytes[end - ZIP64..].starts_with(b"PK\x06\x06")
        && word(end + 16).checked_add(word(end + 12)) == Some(end - ZIP64);
    if !redundant {
        return Ok(None);
    }
    let mut copy = tempfile::NamedTempFile::new()?;
    copy.write_all(&bytes[..end - ZIP64])?;
    copy.write_all(&bytes[end..])?;
    Ok(Some(copy))
}

fn floats_from_native(bytes: &[u8], dtype: DType) -> Option<Vec<f32>> {
    let pairs = || bytes.as_chunks::<2>().0.iter();
    Some(match dtype {
        DType::F32 => bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_ne_bytes(*b))
            .collect(),
        DType::F64 => bytes
            .as_chunks::<8>()
            .0
            .iter()
            .map(|b| f64::from_ne_bytes(*b) as f32)
            .collect(),
        DType::F16 => pairs()
            .map(|b| half::f16::from_ne_bytes(*b).to_f32())
            .collect(),
        DType::BF16 => pairs()
            .map(|b| half::bf16::from_ne_bytes(*b).to_f32())
            .collect(),
        _ => return None,
    })
}

/// A structure or texture network of the sizes that the checkpoint's shapes imply.
///
/// # Errors
/// Names the file and the tensors that are missing, extra, wrongly shaped or not finite.
pub fn unet(path: &Path, device: &Device) -> Result<(ConditionalUNetConfig, ConditionalUNet)> {
    let tensors = read_checkpoint(path)?;
    let [width, inputs, ..] = shape_of(&tensors, "init_conv.weight", path)?;
    let [out_channels, ..] = shape_of(&tensors, "final_conv.weight", path)?;
    let config = ConditionalUNetConfig {
        in_channels: inputs / 2,
        context_channels: 0,
        out_channels,
        width,
        depth: count_levels(&tensors),
        guided: tensors.keys().any(|name| name.starts_with("downs.0.4.")),
        guide_input: false,
        patch: 1,
    };
    let out_of_range = |error: Error| Error::model(path, error.to_string());
    config.validate().map_err(out_of_range)?;
    weights::check_count(&tensors, config.fewest_weights(), path)?;
    let network = config.zeros(device).map_err(out_of_range)?;
    let depth = config.depth;
    let network = apply(network, tensors, path, |name| unet_name(name, depth))?;
    Ok((config, network))
}

/// A discriminator of the sizes that the checkpoint's shapes imply.
///
/// # Errors
/// As [`unet`].
pub fn discriminator(path: &Path, device: &Device) -> Result<(DiscriminatorConfig, Discriminator)> {
    let tensors = read_checkpoint(path)?;
    let [double_width, in_channels, ..] = shape_of(&tensors, "start_conv.weight", path)?;
    let [time_dim, ..] = shape_of(&tensors, "t_embed.main.0.bias", path)?;
    let config = DiscriminatorConfig {
        in_channels,
        width: double_width / 2,
        time_dim,
        group_norm: false,
    };
    let out_of_range = |error: Error| Error::model(path, error.to_string());
    config.validate().map_err(out_of_range)?;
    weights::check_count(&tensors, config.fewest_weights(), path)?;
    let network = config.zeros(device).map_err(out_of_range)?;
    Ok((config, apply(network, tensors, path, discriminator_name)?))
}

/// The leading extents of a tensor that every checkpoint of the kind has.
fn shape_of(tensors: &TensorMap, name: &str, path: &Path) -> Result<[usize; 4]> {
    let tensor = tensors.get(name).ok_or_else(|| {
        let found = match tensors.keys().next() {
            Some(other) => format!("it holds {} tensors, the first is {other}", tensors.len()),
            None => "it holds no tensors".to_string(),
        };
        Error::model(
            path,
            format!(
                "tensor {name} is missing: not a checkpoint of this network ({found}); were the \
                 files given in the wrong order?"
            ),
        )
    })?;
    Ok(std::array::from_fn(|i| {
        tensor.shape.get(i).copied().unwrap_or(1)
    }))
}

fn count_levels(tensors: &TensorMap) -> usize {
    tensors
        .keys()
        .filter_map(|name| {
            name.strip_prefix("downs.")?
                .split('.')
                .next()?
                .parse::<usize>()
                .ok()
        })
        .max()
        .map_or(0, |last| last.saturating_add(1))
}

/// Moves a checkpoint's tensors into a network, speaking of the checkpoint's own names in errors.
fn apply<M: Module>(
    network: M,
    mut tensors: TensorMap,
    path: &Path,
    name_in_file: impl Fn(&str) -> String,
) -> Result<M> {
    let mut renamed = TensorMap::new();
    let mut problems = vec![];
    for (ours, expected) in weights::collect(&network) {
        let theirs = name_in_file(&ours);
        match tensors.remove(&theirs) {
            None => problems.push(format!("tensor {theirs} is missing")),
            Some(tensor) if tensor.shape != expected.shape => problems.push(format!(
                "tensor {theirs} has shape {:?} where {:?} is needed",
                tensor.shape, expected.shape
            )),
            Some(tensor) => match tensor.values.iter().find(|v| !v.is_finite()) {
                Some(bad) => problems.push(format!("tensor {theirs} holds {bad}")),
                None => {
                    renamed.insert(ours, tensor);
                }
            },
        }
    }
    problems.extend(
        tensors
            .keys()
            .map(|name| format!("tensor {name} is not part of the network")),
    );
    if !problems.is_empty() {
        let problem = weights::summary(&problems);
        let hint = "is this a whole checkpoint of StrDiffusion's network?";
        return Err(Error::model(path, format!("{problem}; {hint}")));
    }
    weights::apply(network, renamed, path)
}

/// The reference implementation's name for a tensor of [`ConditionalUNet`] of `depth` levels.
pub fn unet_name(ours: &str, depth: usize) -> String {
    let parts: Vec<&str> = ours.split('.').collect();
    match parts.as_slice() {
        ["time", "linear1", kind] => format!("time_mlp.1.{kind}"),
        ["time", "linear2", kind] => format!("time_mlp.3.{kind}"),
        ["downs", i, "downsample", kind] => format!("downs.{i}.3.{kind}"),
        ["downs", i, "guide", rest @ ..] => format!("downs.{i}.4.{}", guide_name(rest)),
        // The outermost level does not double the picture, so its convolution stands alone.
        ["ups", i, "upsample", kind] if *i == (depth - 1).to_string() => {
            format!("ups.{i}.3.{kind}")
        }
        ["ups", i, "upsample", kind] => format!("ups.{i}.3.1.{kind}"),
        [side @ ("downs" | "ups"), i, part, rest @ ..] => {
            let slot = ["block1", "block2", "attention"]
                .iter()
                .position(|p| p == part);
            format!(
                "{side}.{i}.{}.{}",
                slot.unwrap_or_default(),
                block_name(rest)
            )
        }
        ["mid_attention", rest @ ..] => format!("mid_attn.{}", block_name(rest)),
        ["final_block", rest @ ..] => format!("final_res_block.{}", block_name(rest)),
        [block @ ("mid_block1" | "mid_block2"), rest @ ..] => {
            format!("{block}.{}", block_name(rest))
        }
        _ => ours.to_string(),
    }
}

/// Names within a residual block or an attention.
fn block_name(parts: &[&str]) -> String {
    match parts {
        ["time", kind] => format!("mlp.1.{kind}"),
        ["conv1", kind] => format!("block1.proj.{kind}"),
        ["conv2", kind] => format!("block2.proj.{kind}"),
        ["skip", kind] => format!("res_conv.{kind}"),
        ["norm", "gain"] => "fn.norm.g".into(),
        ["to_qkv", kind] => format!("fn.fn.to_qkv.{kind}"),
        ["to_out", kind] => format!("fn.fn.to_out.0.{kind}"),
        ["out_norm", "gain"] => "fn.fn.to_out.1.g".into(),
        other => other.join("."),
    }
}

/// Names within a guide block.
fn guide_name(parts: &[&str]) -> String {
    let numbered = |name: &str| name[name.len() - 1..].to_string();
    match parts {
        [spade, "shared", kind] => format!("norm_{}.mlp_shared.0.{kind}", numbered(spade)),
        [spade, part @ ("gamma" | "beta"), kind] => {
            format!("norm_{}.mlp_{part}.{kind}", numbered(spade))
        }
        [conv, kind] => {
            let kind = match *kind {
                "weight" => "weight_orig",
                "left" => "weight_u",
                "right" => "weight_v",
                other => other,
            };
            format!("conv_{}.{kind}", numbered(conv))
        }
        other => other.join("."),
    }
}

/// The reference implementation's name for a tensor of [`Discriminator`].
pub fn discriminator_name(ours: &str) -> String {
    let parts: Vec<&str> = ours.split('.').collect();
    match parts.as_slice() {
        ["time", "linear1", kind] => format!("t_embed.main.0.{kind}"),
        ["time", "linear2", kind] => format!("t_embed.main.2.{kind}"),
        ["blocks", i, part, kind] => {
            let number = i.parse::<usize>().map_or(0, |i| i + 1);
            let part = if *part == "time" {
                "dense_t1".into()
            } else {
                format!("{part}.0")
            };
            format!("conv{number}.{part}.{kind}")
        }
        _ => ours.to_string(),
    }
}
