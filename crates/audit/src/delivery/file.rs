//! Lines in a file that is put aside when it is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{DeliveryError, Destination};
use crate::{Format, Sealed};

/// Appends records to a file, in a form. A file that would grow beyond a size is renamed to
/// `name.1`, the one before to `name.2` and so on; the oldest are deleted.
#[derive(Debug)]
pub struct FileDestination {
    path: PathBuf,
    format: Format,
    most: u64,
    keep: u32,
    file: Option<File>,
}

impl FileDestination {
    /// Writes to this file; each holds up to `most` bytes, and `keep` older ones stay.
    pub fn new(path: impl Into<PathBuf>, format: Format, most: u64, keep: u32) -> Self {
        Self { path: path.into(), format, most, keep, file: None }
    }

    fn older(&self, number: u32) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        if self.keep == 0 {
            return ignore_missing(std::fs::remove_file(&self.path));
        }
        ignore_missing(std::fs::remove_file(self.older(self.keep)))?;
        for number in (1..self.keep).rev() {
            ignore_missing(std::fs::rename(self.older(number), self.older(number + 1)))?;
        }
        ignore_missing(std::fs::rename(&self.path, self.older(1)))
    }

    /// The file, ready for whole lines.
    fn open(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open_at_line(&self.path, self.format)?,
        };
        Ok(self.file.insert(file))
    }
}

/// Opens a file for appending. A line that was cut by a crash is ended; its record comes again.
fn open_at_line(path: &Path, format: Format) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    if file.metadata()?.len() == 0 {
        file.write_all(format.header().as_bytes())?;
        return Ok(file);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last != *b"\n" {
        file.write_all(format.line_end().as_bytes())?;
    }
    Ok(file)
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Destination for FileDestination {
    fn deliver(&mut self, records: &[Sealed]) -> Result<(), DeliveryError> {
        let mut text = String::new();
        for sealed in records {
            if let Some(line) = self.format.line(sealed)? {
                text.push_str(&line);
                text.push_str(self.format.line_end());
            }
        }
        let size = self.open()?.metadata()?.len();
        let empty = self.format.header().len() as u64;
        if size > empty && size.saturating_add(text.len() as u64) > self.most {
            self.rotate()?;
        }
        let file = self.open()?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        if written.is_err() {
            // Opened anew, the file is looked at for a line that was cut.
            self.file = None;
        }
        Ok(written?)
    }
}
