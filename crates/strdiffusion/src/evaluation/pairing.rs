//! Which picture meets which mask: by name where names match, else in an order that the seed fixes.

use super::picture::open_mask;
use super::{Buckets, EvaluationError};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a pair's mask comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaskSource {
    /// A file, relative to the mask folder.
    File(String),
    /// Generated from the pair's seed.
    Generated,
}

/// One evaluation item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The image's relative path without its ending, `/` written as `__`; with masks from every
    /// bucket, `~` and the bucket follow. Result pictures bear this name.
    pub id: String,
    /// The image file, relative to the image folder, with `/` between folders.
    pub image: String,
    /// Where the mask comes from.
    pub mask: MaskSource,
    /// The seed of this picture's mask and noise, drawn from the run's seed and the id; it does not
    /// depend on which other pictures are evaluated.
    pub seed: u64,
}

/// How pairs came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingRule {
    /// Each image has a mask of its own name.
    SameName,
    /// No image has one: masks in an order fixed by the seed, dealt to the images in name order.
    Seeded(u64),
    /// As `Seeded`, but each image gets one mask of every bucket.
    SeededPerBucket(u64),
    /// Masks are generated for each picture.
    Generated(u64),
}

impl fmt::Display for PairingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName => f.write_str("each image with the mask of the same file name"),
            Self::Seeded(seed) => write!(
                f,
                "no mask bears an image's name: masks in the order of SHA-256(seed {seed}, name), dealt to the images in name order"
            ),
            Self::SeededPerBucket(seed) => write!(
                f,
                "each image with one mask of every bucket; a bucket's masks in the order of SHA-256(seed {seed}, name), dealt to the images in name order"
            ),
            Self::Generated(seed) => {
                write!(
                    f,
                    "a mask generated for each image from seed {seed} and its name"
                )
            }
        }
    }
}

/// What a pairing depends on beside the folders.
#[derive(Debug, Clone, Default)]
pub struct PairingOptions {
    /// Fixes the order of masks, and every pair's own seed.
    pub seed: u64,
    /// Takes only the first images in name order.
    pub limit: Option<usize>,
    /// Pairs each image with one mask of each of these buckets, whatever the file names.
    pub per_bucket: Option<Buckets>,
}

/// The pairs of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairing {
    /// How the pairs came about.
    pub rule: PairingRule,
    /// The image folder.
    pub images: PathBuf,
    /// The mask folder, unless masks are generated.
    pub masks: Option<PathBuf>,
    /// The pairs, in the images' name order.
    pub pairs: Vec<Pair>,
}

impl Pairing {
    /// Pairs the pictures of two folders, subfolders included.
    ///
    /// A mask has an image's name when its relative path or its file name agrees but for the
    /// ending, with or without `_mask` at its end. The two folders may be the same one, then files
    /// named `…_mask` are the masks.
    ///
    /// # Errors
    /// [`EvaluationError::Pairing`] when a folder has no pictures, two images share a name, only
    /// some images have a mask of their name, or a bucket has no mask;
    /// [`EvaluationError::File`] when a folder cannot be read.
    pub fn from_folders(
        images: &Path,
        masks: &Path,
        options: &PairingOptions,
    ) -> Result<Self, EvaluationError> {
        let (image_files, own_masks) = list_images(images)?;
        let mask_files = if same_folder(images, masks) {
            own_masks
        } else {
            list_pictures(masks)?
        };
        if mask_files.is_empty() {
            return Err(no_pictures("masks", masks));
        }
        let image_files = first(image_files, options.limit);
        let seed = options.seed;
        let (rule, pairs) = if let Some(buckets) = &options.per_bucket {
            let pairs = pair_per_bucket(&image_files, masks, &mask_files, buckets, seed)?;
            (PairingRule::SeededPerBucket(seed), pairs)
        } else {
            let names = MaskNames::new(&mask_files);
            let matches = image_files
                .iter()
                .map(|image| names.find(image))
                .collect::<Result<Vec<_>, _>>()?;
            let found = matches.iter().flatten().count();
            if found == image_files.len() {
                let with_masks = image_files.iter().zip(matches.into_iter().flatten());
                let pairs = with_masks.map(|(image, mask)| pair(image, mask, "", seed));
                (PairingRule::SameName, pairs.collect())
            } else if found == 0 {
                let order = seeded_order(&mask_files, seed);
                let with_masks = image_files.iter().zip(order.into_iter().cycle());
                let pairs = with_masks.map(|(image, mask)| pair(image, mask, "", seed));
                (PairingRule::Seeded(seed), pairs.collect())
            } else {
                return Err(some_unmatched(&image_files, &matches, masks));
            }
        };
        check_unique(&pairs)?;
        Ok(Self {
            rule,
            images: images.to_owned(),
            masks: Some(masks.to_owned()),
            pairs,
        })
    }

    /// Pairs every picture of a folder with a mask that is generated later from the pair's seed.
    ///
    /// # Errors
    /// As [`Pairing::from_folders`].
    pub fn with_generated_masks(
        images: &Path,
        options: &PairingOptions,
    ) -> Result<Self, EvaluationError> {
        let (image_files, _) = list_images(images)?;
        let pairs: Vec<Pair> = first(image_files, options.limit)
            .iter()
            .map(|image| {
                let id = id_of(image);
                Pair {
                    seed: picture_seed(options.seed, &id),
                    id,
                    image: image.clone(),
                    mask: MaskSource::Generated,
                }
            })
            .collect();
        check_unique(&pairs)?;
        Ok(Self {
            rule: PairingRule::Generated(options.seed),
            images: images.to_owned(),
            masks: None,
            pairs,
        })
    }

    /// The pairs as CSV text with the columns id, image, mask, seed.
    pub fn to_csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut write = |record: [&str; 4]| {
            let written = writer.write_record(record);
            written.expect("writing to memory does not fail");
        };
        write(["id", "image", "mask", "seed"]);
        for pair in &self.pairs {
            let mask = match &pair.mask {
                MaskSource::File(file) => file,
                MaskSource::Generated => "generated",
            };
            write([&pair.id, &pair.image, mask, &pair.seed.to_string()]);
        }
        let bytes = writer
            .into_inner()
            .expect("writing to memory does not fail");
        String::from_utf8(bytes).expect("the fields are UTF-8")
    }
}

fn pair(image: &str, mask: &str, suffix: &str, seed: u64) -> Pair {
    let id = format!("{}{suffix}", id_of(image));
    Pair {
        seed: picture_seed(seed, &id),
        id,
        image: image.to_owned(),
        mask: MaskSource::File(mask.to_owned()),
    }
}

fn pair_per_bucket(
    images: &[String],
    folder: &Path,
    masks: &[String],
    buckets: &Buckets,
    seed: u64,
) -> Result<Vec<Pair>, EvaluationError> {
    let mut dealt: Vec<(String, Vec<&str>)> = buckets
        .iter()
        .map(|b| (b.to_string(), Vec::new()))
        .collect();
    for mask in seeded_order(masks, seed) {
        let ratio = open_mask(&folder.join(mask))?.hole_fraction();
        if let Some(index) = buckets.iter().position(|b| b.contains(ratio)) {
            dealt[index].1.push(mask);
        }
    }
    if let Some((bucket, _)) = dealt.iter().find(|(_, masks)| masks.is_empty()) {
        return Err(EvaluationError::Pairing(format!(
            "no mask in {} has a hole of {bucket} % of the picture; leave the bucket out",
            folder.display()
        )));
    }
    let mut pairs = Vec::with_capacity(images.len() * dealt.len());
    for (i, image) in images.iter().enumerate() {
        for (bucket, masks) in &dealt {
            pairs.push(pair(
                image,
                masks[i % masks.len()],
                &format!("~{bucket}"),
                seed,
            ));
        }
    }
    Ok(pairs)
}

/// Masks by relative name and by bare name, both without ending and `_mask`.
struct MaskNames<'a> {
    by_path: HashMap<String, &'a str>,
    by_name: HashMap<String, Vec<&'a str>>,
}

impl<'a> MaskNames<'a> {
    fn new(masks: &'a [String]) -> Self {
        let mut by_path = HashMap::new();
        let mut by_name: HashMap<String, Vec<&str>> = HashMap::new();
        for mask in masks {
            let path = without_ending(mask);
            for name in [path, path.strip_suffix("_mask").unwrap_or(path)] {
                by_path.entry(name.to_owned()).or_insert(mask.as_str());
                let bare = name.rsplit('/').next().unwrap_or(name);
                let same = by_name.entry(bare.to_owned()).or_default();
                if !same.contains(&mask.as_str()) {
                    same.push(mask);
                }
            }
        }
        Self { by_path, by_name }
    }

    fn find(&self, image: &str) -> Result<Option<&'a str>, EvaluationError> {
        let path = without_ending(image);
        if let Some(mask) = self.by_path.get(path) {
            return Ok(Some(mask));
        }
        let bare = path.rsplit('/').next().unwrap_or(path);
        match self.by_name.get(bare).map(Vec::as_slice) {
            None => Ok(None),
            Some([mask]) => Ok(Some(mask)),
            Some(several) => Err(EvaluationError::Pairing(format!(
                "{image} has several masks of its name: {}",
                several.join(", ")
            ))),
        }
    }
}

fn some_unmatched(images: &[String], matches: &[Option<&str>], masks: &Path) -> EvaluationError {
    let unmatched: Vec<&str> = images
        .iter()
        .zip(matches)
        .filter(|(_, mask)| mask.is_none())
        .map(|(image, _)| image.as_str())
        .collect();
    let shown = unmatched
        .iter()
        .take(3)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    EvaluationError::Pairing(format!(
        "{} of {} images have no mask of their name in {} ({shown}{}), the others have one; \
         add the missing masks, or use masks with other names to have them paired by the seed",
        unmatched.len(),
        images.len(),
        masks.display(),
        if unmatched.len() > 3 { ", …" } else { "" },
    ))
}

fn check_unique(pairs: &[Pair]) -> Result<(), EvaluationError> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for pair in pairs {
        if let Some(other) = seen.insert(&pair.id, &pair.image) {
            return Err(EvaluationError::Pairing(format!(
                "the images {other} and {} would both be called `{}`; rename one",
                pair.image, pair.id
            )));
        }
    }
    Ok(())
}

/// Files by the hash of seed and name: an order that no library's random numbers decide.
fn seeded_order(files: &[String], seed: u64) -> Vec<&str> {
    let mut order: Vec<&str> = files.iter().map(String::as_str).collect();
    order.sort_by_cached_key(|name| (digest("mask order", seed, name), name.to_string()));
    order
}

fn picture_seed(seed: u64, id: &str) -> u64 {
    let digest = digest("picture", seed, id);
    u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

fn digest(purpose: &str, seed: u64, name: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(purpose.as_bytes());
    hasher.update(seed.to_le_bytes());
    hasher.update(name.as_bytes());
    hasher.finalize().into()
}

fn first(mut files: Vec<String>, limit: Option<usize>) -> Vec<String> {
    files.truncate(limit.unwrap_or(usize::MAX));
    files
}

pub(super) fn without_ending(file: &str) -> &str {
    let name_start = file.rfind('/').map_or(0, |slash| slash + 1);
    match file[name_start..].rfind('.') {
        Some(dot) if dot > 0 => &file[..name_start + dot],
        _ => file,
    }
}

pub(super) fn id_of(file: &str) -> String {
    without_ending(file).replace('/', "__")
}

fn same_folder(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn no_pictures(what: &str, folder: &Path) -> EvaluationError {
    EvaluationError::Pairing(format!(
        "no {what} in {}; png, jpg, webp, tiff and bmp files are read",
        folder.display()
    ))
}

/// The images of a folder in name order, and the `…_mask` files that lie beside their images.
fn list_images(folder: &Path) -> Result<(Vec<String>, Vec<String>), EvaluationError> {
    let files = list_pictures(folder)?;
    let names: std::collections::HashSet<&str> = files.iter().map(|f| without_ending(f)).collect();
    let is_mask = |file: &String| {
        let base = without_ending(file).strip_suffix("_mask");
        base.is_some_and(|base| names.contains(base))
    };
    let (masks, images): (Vec<String>, Vec<String>) = files.iter().cloned().partition(is_mask);
    if images.is_empty() {
        return Err(no_pictures("images", folder));
    }
    Ok((images, masks))
}

/// Relative paths of all pictures in a folder and its subfolders, sorted; hidden ones are left out.
pub(super) fn list_pictures(folder: &Path) -> Result<Vec<String>, EvaluationError> {
    let paths = crate::files::list_pictures(folder).map_err(|error| match error {
        crate::Error::Io { path, source } => EvaluationError::File {
            action: "read",
            path,
            source,
        },
        other => EvaluationError::Damaged {
            path: folder.to_owned(),
            reason: other.to_string(),
        },
    })?;
    let mut files = Vec::new();
    for path in paths {
        let relative = path.strip_prefix(folder).unwrap_or(&path);
        let parts: Option<Vec<&str>> = relative.iter().map(|part| part.to_str()).collect();
        let Some(parts) = parts else {
            return Err(EvaluationError::Pairing(format!(
                "the name of {} is not UTF-8; rename it",
                path.display()
            )));
        };
        if !parts.iter().any(|part| part.starts_with('.')) {
            files.push(parts.join("/"));
        }
    }
    files.sort();
    Ok(files)
}
