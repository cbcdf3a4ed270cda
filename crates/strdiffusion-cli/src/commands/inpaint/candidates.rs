//! Several fills of one photograph, each with a seed and a name of its own.

use std::path::{Path, PathBuf};

use crate::failure::user_error;

/// One fill that is asked for.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// From 1.
    pub number: u32,
    pub seed: u64,
    pub output: PathBuf,
}

/// `count` candidates with the seeds from `seed` on. One alone is written as `output`, several as
/// OUT-1.png, OUT-2.png and so on.
///
/// # Errors
/// If the seeds would run past the largest number.
pub fn candidates(output: &Path, seed: u64, count: u32) -> anyhow::Result<Vec<Candidate>> {
    if seed.checked_add(u64::from(count)).is_none() {
        return Err(user_error(format!(
            "--seed {seed} with --candidates {count} runs past the largest seed; choose a smaller \
             seed"
        )));
    }
    let name = |number: u32| {
        if count == 1 {
            return output.to_path_buf();
        }
        let mut name = output.file_stem().unwrap_or_default().to_os_string();
        name.push(format!("-{number}"));
        if let Some(extension) = output.extension() {
            name.push(".");
            name.push(extension);
        }
        output.with_file_name(name)
    };
    Ok((1..=count)
        .map(|number| Candidate {
            number,
            seed: seed + u64::from(number - 1),
            output: name(number),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_numbered_before_the_extension() {
        let names = |output: &str, count| -> Vec<(u64, PathBuf)> {
            let all = candidates(Path::new(output), 5, count).unwrap();
            all.into_iter().map(|c| (c.seed, c.output)).collect()
        };
        assert_eq!(names("a/b.c.png", 1), [(5, "a/b.c.png".into())]);
        let two = [(5, "a/b.c-1.PNG".into()), (6, "a/b.c-2.PNG".into())];
        assert_eq!(names("a/b.c.PNG", 2), two);
        assert!(candidates(Path::new("a.png"), u64::MAX, 2).is_err());
    }
}
