//! A share of many photographs, chosen by their outputs' names.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// One of several equal shares. Which share a photograph is in depends on its output's name alone,
/// neither on the order of a list nor on what else is in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    pub count: u64,
}

impl Shard {
    /// Whether this share holds what has that name.
    pub fn holds(self, name: &[u8]) -> bool {
        number_of(name) % self.count == self.index
    }
}

/// The first eight bytes of the name's SHA-256, big-endian.
pub fn number_of(name: &[u8]) -> u64 {
    let digest = Sha256::digest(name);
    u64::from_be_bytes(std::array::from_fn(|i| digest[i]))
}

/// The path without what does not change where it leads, such as `./`.
pub fn plain(path: &Path) -> PathBuf {
    let parts = path.components();
    parts.filter(|part| *part != Component::CurDir).collect()
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, count)) if index < count => Ok(Self { index, count }),
            Some((_, count @ 1..)) => Err(format!(
                "of {count} shards the first is 0/{count} and the last {}/{count}",
                count - 1
            )),
            _ => Err("give a shard and how many there are, such as 0/4 to 3/4".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_counted_from_zero() {
        let shard = Shard { index: 3, count: 4 };
        assert_eq!("3/4".parse(), Ok(shard));
        assert!(Shard::from_str("4/4").unwrap_err().contains("3/4"));
        for text in ["", "1", "0/0", "-1/4", "a/b", "1/4/4"] {
            assert!(
                Shard::from_str(text).unwrap_err().contains("such as"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_names_shard_never_changes() {
        // SHA-256 of the empty text begins with e3b0c44298fc1c14 (FIPS 180-4's examples).
        assert_eq!(number_of(b""), 0xe3b0_c442_98fc_1c14);
        let shard = Shard { index: 4, count: 8 };
        assert!(shard.holds(b""));
    }
}
