//! The secrets that Doorward makes for itself: files in the data folder, readable by their owner.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use doorward_core::{Entropy, Secret};

/// The data folder's secrets, each 32 random bytes made at first use.
#[derive(Clone, PartialEq, Eq)]
pub struct Keep {
    folder: PathBuf,
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("folder", &self.folder).finish()
    }
}

/// A secret cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}")]
pub struct KeepError {
    path: PathBuf,
    what: &'static str,
    #[source]
    source: Option<io::Error>,
}

impl Keep {
    /// The file that holds the public half of the audit key, for whoever verifies the log.
    pub const AUDIT_PUBLIC: &str = "audit-public-key";

    /// The keep in a folder, which is made where it is missing (mode 0700).
    ///
    /// # Errors
    ///
    /// Where the folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self, KeepError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| failed(folder, "the data folder cannot be made", source))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Hashes virtual keys: without it the stored hashes cannot be tried against guesses.
    ///
    /// # Errors
    ///
    /// Where the file is unreadable or is none of ours.
    pub fn pepper(&self, entropy: &dyn Entropy) -> Result<[u8; 32], KeepError> {
        self.secret("key-pepper", entropy)
    }

    /// Keys the guard's memory of conversations.
    ///
    /// # Errors
    ///
    /// As [`pepper`](Self::pepper).
    pub fn guard_key(&self, entropy: &dyn Entropy) -> Result<[u8; 32], KeepError> {
        self.secret("guard-key", entropy)
    }

    /// Seals the sessions of MCP clients.
    ///
    /// # Errors
    ///
    /// As [`pepper`](Self::pepper).
    pub fn session_key(&self, entropy: &dyn Entropy) -> Result<[u8; 32], KeepError> {
        self.secret("mcp-session-key", entropy)
    }

    /// The seed of the key that signs the audit log's checkpoints.
    ///
    /// # Errors
    ///
    /// As [`pepper`](Self::pepper).
    pub fn audit_seed(&self, entropy: &dyn Entropy) -> Result<[u8; 32], KeepError> {
        self.secret("audit-signing-key", entropy)
    }

    /// Writes the public half of the audit key.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn publish_audit_key(&self, hex: &str) -> Result<(), KeepError> {
        let path = self.folder.join(Self::AUDIT_PUBLIC);
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() == hex) {
            return Ok(());
        }
        fs::write(&path, format!("{hex}\n"))
            .map_err(|source| failed(&path, "the public key cannot be written", source))
    }

    fn secret(&self, name: &str, entropy: &dyn Entropy) -> Result<[u8; 32], KeepError> {
        let path = self.folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => parse(&path, &Secret::new(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make(&path, entropy),
            Err(error) => Err(failed(&path, "the secret cannot be read", error)),
        }
    }

    /// Another process may make the same secret at the same moment: the first one counts, and
    /// nobody reads a half-written file.
    fn make(&self, path: &Path, entropy: &dyn Entropy) -> Result<[u8; 32], KeepError> {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        let text = Secret::new(hex(&seed));
        let mut mark = [0; 8];
        entropy.fill(&mut mark);
        let draft = self.folder.join(format!(".draft-{:016x}", u64::from_be_bytes(mark)));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| {
                file.write_all(text.expose().as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| match fs::hard_link(&draft, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            });
        let removed = fs::remove_file(&draft);
        written.and(removed).map_err(|error| failed(path, "the secret cannot be made", error))?;
        let text = fs::read_to_string(path)
            .map_err(|error| failed(path, "the secret cannot be read", error))?;
        parse(path, &Secret::new(text))
    }
}

fn failed(path: &Path, what: &'static str, source: io::Error) -> KeepError {
    KeepError { path: path.to_owned(), what, source: Some(source) }
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn parse(path: &Path, text: &Secret) -> Result<[u8; 32], KeepError> {
    let wrong = || KeepError {
        path: path.to_owned(),
        what: "expected 64 hexadecimal digits",
        source: None,
    };
    let digits = text.expose().trim();
    if digits.len() != 64 || !digits.is_ascii() {
        return Err(wrong());
    }
    let mut seed = [0; 32];
    for (byte, at) in seed.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use doorward_core::SystemEntropy;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::open(&folder.path().join("data")).unwrap();
        let first = keep.pepper(&SystemEntropy).unwrap();
        assert_eq!(keep.pepper(&SystemEntropy).unwrap(), first);
        assert_ne!(keep.guard_key(&SystemEntropy).unwrap(), first);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(keep.folder()), 0o700);
        assert_eq!(mode(&keep.folder().join("key-pepper")), 0o600);
        assert_eq!(fs::read_dir(keep.folder()).unwrap().count(), 2, "no drafts are left");
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_refused_without_being_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::open(folder.path()).unwrap();
        fs::write(folder.path().join("guard-key"), "hunter2").unwrap();
        let error = keep.guard_key(&SystemEntropy).unwrap_err();
        assert!(error.to_string().contains("64 hexadecimal digits"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
