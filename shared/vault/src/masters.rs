//! Master keys: where they come from, and what they wrap. The first of several wraps,
//! the others only unwrap, so that a new one can take over while people are served.
//! Never stored with what they wrap, and never shown.

use std::{
    fmt, fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use attune_storage::Error;
use parking_lot::RwLock;

use crate::{Config, seal::DataKey, sealed_column};

/// Tells which master wrapped something.
type MasterId = [u8; 8];

const ID_CONTEXT: &str = "attune 2026-11 id of a master key";
const HEAD_LEN: usize = size_of::<MasterId>();

/// Why there are no master keys.
#[derive(Debug, thiserror::Error)]
pub enum MastersError {
    #[error("must be set with PostgreSQL: make a key with `attune keys generate`")]
    Missing,
    #[error("must hold keys of 64 hexadecimal digits, separated by blanks or line ends")]
    Malformed,
    #[error("the master keys in {path} cannot be used")]
    File {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
}

struct Master {
    id: MasterId,
    key: DataKey,
}

/// The master keys of a process. Cheap to clone.
#[derive(Clone)]
pub struct Masters(Arc<Inner>);

struct Inner {
    held: RwLock<Held>,
    /// Where they are kept, if that is our business.
    file: Option<PathBuf>,
}

/// Keys as they were read.
struct Held {
    /// Never empty.
    masters: Vec<Arc<Master>>,
    /// Of the file they were read from: it is replaced as a whole, never written to.
    inode: u64,
}

impl fmt::Debug for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Masters([redacted])")
    }
}

impl Masters {
    /// The text of a new key.
    pub fn generate() -> String {
        blake3::Hash::from_bytes(rand::random())
            .to_hex()
            .to_string()
    }

    /// Those that are configured, or else, where `file` may be used, those in it; it is
    /// made if there is none.
    pub fn load(config: &Config, file: Option<&Path>) -> Result<Self, MastersError> {
        match (config.master_keys.expose().as_str(), file) {
            ("", None) => Err(MastersError::Missing),
            ("", Some(path)) => Self::from_file(path),
            (text, _) => Self::parse(text),
        }
    }

    /// Keys as [`Config::master_keys`] spells them.
    pub fn parse(text: &str) -> Result<Self, MastersError> {
        let (masters, inode) = (masters(text)?, 0);
        let held = RwLock::new(Held { masters, inode });
        Ok(Self(Arc::new(Inner { held, file: None })))
    }

    fn from_file(path: &Path) -> Result<Self, MastersError> {
        let failed = |cause| MastersError::File {
            path: path.to_owned(),
            cause,
        };
        let held = match read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(path).map_err(failed)?;
                // Another process may have been first: what lies there counts.
                read(path).map_err(failed)?
            }
            read => read.map_err(failed)?,
        };
        let (text, inode) = held;
        let masters = masters(&text)?;
        let held = RwLock::new(Held { masters, inode });
        let file = Some(path.to_owned());
        Ok(Self(Arc::new(Inner { held, file })))
    }

    /// Begins to wrap with a new key, and keeps the others beside it. False where the
    /// keys are configured, or several are there already: then the first is the new one.
    pub fn begin_rotation(&self) -> Result<bool, MastersError> {
        let Some(path) = &self.0.file else {
            return Ok(false);
        };
        if self.count() > 1 {
            return Ok(false);
        }
        let text = format!("{}\n{}", Self::generate(), self.text());
        self.rewrite(path, &text)?;
        Ok(true)
    }

    /// Drops all but the first. False where the keys are configured.
    pub fn end_rotation(&self) -> Result<bool, MastersError> {
        let Some(path) = &self.0.file else {
            return Ok(false);
        };
        let text = self.text();
        let first = text.lines().next().unwrap_or_default();
        self.rewrite(path, first)?;
        Ok(true)
    }

    /// Number of keys.
    pub fn count(&self) -> usize {
        self.0.held.read().masters.len()
    }

    fn text(&self) -> String {
        let held = self.0.held.read();
        let keys = held
            .masters
            .iter()
            .map(|m| blake3::Hash::from_bytes(*m.key.bytes()));
        let lines: Vec<_> = keys.map(|key| key.to_hex().to_string()).collect();
        lines.join("\n")
    }

    fn rewrite(&self, path: &Path, text: &str) -> Result<(), MastersError> {
        masters(text)?;
        let written = draft(path, text).and_then(|draft| {
            draft.persist(path).map_err(|error| error.error)?;
            sync_folder(path)
        });
        written.map_err(|cause| MastersError::File {
            path: path.to_owned(),
            cause,
        })?;
        self.reload(path);
        Ok(())
    }

    /// Reads the file anew. Where it cannot be read, what was read before still holds.
    fn reload(&self, path: &Path) {
        let Ok((text, inode)) = read(path) else {
            return;
        };
        if let Ok(masters) = masters(&text) {
            *self.0.held.write() = Held { masters, inode };
        }
    }

    /// Takes over what another process put in place, so that nothing is wrapped with a
    /// key that is about to be dropped.
    fn refresh(&self) {
        let Some(path) = &self.0.file else {
            return;
        };
        let inode = fs::metadata(path).map(|file| file.ino());
        if inode.is_ok_and(|inode| inode != self.0.held.read().inode) {
            self.reload(path);
        }
    }

    /// A key as it is stored: which master wrapped it, and the wrapped key.
    pub(crate) fn wrap(&self, associated: &[u8], key: &DataKey) -> Result<Vec<u8>, Error> {
        self.refresh();
        let master = self.0.held.read().masters.first().cloned();
        let master = master.ok_or_else(|| sealed_column("without a master key"))?;
        let mut wrapped = master.id.to_vec();
        wrapped.extend(master.key.seal(associated, key.bytes())?);
        Ok(wrapped)
    }

    pub(crate) fn unwrap(&self, associated: &[u8], wrapped: &[u8]) -> Result<DataKey, Error> {
        let (id, sealed) = wrapped
            .split_at_checked(HEAD_LEN)
            .ok_or_else(|| sealed_column("too short"))?;
        let master = self
            .find(id)
            .ok_or_else(|| sealed_column("wrapped by a master key that is not configured"))?;
        let bytes = zeroize::Zeroizing::new(master.key.open(associated, sealed)?);
        DataKey::from_slice(&bytes).ok_or_else(|| sealed_column("no key"))
    }

    /// Whether the master that wraps now wrapped this.
    pub(crate) fn is_current(&self, wrapped: &[u8]) -> bool {
        let held = self.0.held.read();
        held.masters
            .first()
            .is_some_and(|m| wrapped.starts_with(&m.id))
    }

    fn find(&self, id: &[u8]) -> Option<Arc<Master>> {
        let found = find_in(&self.0.held.read().masters, id);
        if found.is_some() {
            return found;
        }
        // Another process may have begun to use a new one.
        self.refresh();
        find_in(&self.0.held.read().masters, id)
    }
}

fn find_in(held: &[Arc<Master>], id: &[u8]) -> Option<Arc<Master>> {
    held.iter().find(|master| master.id == id).cloned()
}

fn masters(text: &str) -> Result<Vec<Arc<Master>>, MastersError> {
    let held: Option<Vec<_>> = text
        .split_whitespace()
        .map(|word| blake3::Hash::from_hex(word).ok())
        .map(|hash| {
            let key = *hash?.as_bytes();
            let mut id = MasterId::default();
            id.copy_from_slice(&blake3::derive_key(ID_CONTEXT, &key)[..HEAD_LEN]);
            let key = DataKey::new(key);
            Some(Arc::new(Master { id, key }))
        })
        .collect();
    held.filter(|held| !held.is_empty())
        .ok_or(MastersError::Malformed)
}

/// The text of the file, and which file it is.
fn read(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = fs::File::open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((text, file.metadata()?.ino()))
}

/// Makes the file with a new key, unless it is there.
fn make(path: &Path) -> std::io::Result<()> {
    let draft = draft(path, &Masters::generate())?;
    match draft.persist_noclobber(path) {
        Ok(_) => sync_folder(path),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

/// A file beside it, for its owner only, that holds the text for good: what a lost key
/// wrapped is lost.
fn draft(path: &Path, text: &str) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(draft, "{}", text.trim())?;
    draft.as_file().sync_all()?;
    Ok(draft)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_keys_are_read_and_others_refused() {
        let (one, two) = (Masters::generate(), Masters::generate());
        assert_ne!(one, two);
        for (text, count) in [(one.clone(), 1), (format!(" {one}\n{two} "), 2)] {
            assert_eq!(Masters::parse(&text).unwrap().count(), count);
        }
        for text in ["", "  ", "abc", &one[1..], &format!("{one} x")] {
            let refused = Masters::parse(text);
            assert!(matches!(refused, Err(MastersError::Malformed)), "{text}");
        }
        let missing = Masters::load(&Config::default(), None);
        assert!(matches!(missing, Err(MastersError::Missing)));
    }

    #[test]
    fn a_file_is_made_once_and_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let config = Config::default();
        let made = Masters::load(&config, Some(&path)).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = Masters::load(&config, Some(&path)).unwrap();
        let wrapped = made.wrap(b"x", &DataKey::fresh()).unwrap();
        assert!(read.unwrap(b"x", &wrapped).is_ok());
        fs::write(&path, "nonsense").unwrap();
        let broken = Masters::load(&config, Some(&path));
        assert!(matches!(broken, Err(MastersError::Malformed)));
    }

    #[test]
    fn a_new_master_takes_over_while_others_still_use_the_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let config = Config::default();
        let serving = Masters::load(&config, Some(&path)).unwrap();
        let key = DataKey::fresh();
        let old = serving.wrap(b"x", &key).unwrap();
        let rotating = Masters::load(&config, Some(&path)).unwrap();
        assert!(rotating.begin_rotation().unwrap());
        assert!(!rotating.begin_rotation().unwrap(), "goes on where it was");
        let new = rotating.wrap(b"x", &key).unwrap();
        assert!(rotating.is_current(&new) && !rotating.is_current(&old));
        let meanwhile = serving.wrap(b"x", &key).unwrap();
        assert!(rotating.is_current(&meanwhile), "by the new one at once");
        for wrapped in [&old, &new] {
            assert_eq!(serving.unwrap(b"x", wrapped).unwrap().bytes(), key.bytes());
        }
        assert!(rotating.end_rotation().unwrap());
        assert!(rotating.unwrap(b"x", &old).is_err());
        let started = Masters::load(&config, Some(&path)).unwrap();
        assert!(started.unwrap(b"x", &new).is_ok() && started.unwrap(b"x", &old).is_err());
    }
}
