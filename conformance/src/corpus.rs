// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Finding traces and tables of vectors, and what each contains.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::trace::{Header, Kind, Line, Reader, TraceError};
use crate::vectors::{EXTENSION as VECTORS, Table};

/// Environment variable that names the folder of the corpus.
pub const CORPUS_VARIABLE: &str = "IGD_CONFORMANCE_CORPUS";
/// Label of the accesses before the first section.
pub const UNNAMED: &str = "-";

/// How deep folders may nest below a path.
const MAX_DEPTH: usize = 32;
/// Most files and folders below a path.
const MAX_FILES: usize = 1_000_000;
/// Most sections of a trace that have different labels.
const MAX_SECTIONS: usize = 65536;

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// No folder of traces is known.
    #[error(
        "no corpus of traces found: name its folder with --corpus or {CORPUS_VARIABLE}, or name the traces themselves"
    )]
    Unknown,
    /// The folder of the corpus is not one.
    #[error("the corpus {path} is not a folder")]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// A path names nothing.
    #[error("{path}: no such file or folder, and no trace of this name in the corpus")]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A path is neither a file nor a folder.
    #[error("{path}: neither a regular file nor a folder")]
    Special {
        /// The path.
        path: PathBuf,
    },
    /// A folder without traces.
    #[error("{path}: no *.trace file in this folder, and no *.vectors file")]
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// More than any corpus has.
    #[error("{path}: more than {MAX_FILES} files, or folders nested deeper than {MAX_DEPTH}")]
    TooMany {
        /// The path.
        path: PathBuf,
    },
    /// A file or folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The path.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
}

/// One section of a trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// The label, or [`UNNAMED`].
    pub label: String,
    /// The rule in words, where the label stands first.
    pub text: String,
    /// How often the label stands in the trace.
    pub visits: u64,
    /// Lines that are accesses.
    pub accesses: u64,
}

/// A trace file, or a table of vectors, and what it contains.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Where it is.
    pub path: PathBuf,
    /// Its name: the path without `.trace` or `.vectors`, relative to the corpus if it is in there.
    pub name: String,
    /// Whether the name is of the corpus.
    pub in_corpus: bool,
    /// Size in bytes.
    pub size: u64,
    /// The header; the default if it is wrong.
    pub header: Header,
    /// The sections in the order in which their labels appear.
    pub sections: Vec<Section>,
    /// Why it cannot be replayed.
    pub problem: Option<String>,
}

impl Trace {
    /// Reads what the file at `path` contains, without checking each access.
    ///
    /// # Errors
    ///
    /// The file could not be read. A file that is no trace is not an error: [`Trace::problem`] says so.
    pub fn scan(path: &Path, corpus: Option<&Corpus>) -> Result<Self, CorpusError> {
        let file_error = |source| CorpusError::Io {
            path: path.to_owned(),
            source,
        };
        let meta = fs::metadata(path).map_err(file_error)?;
        if !meta.is_file() {
            return Err(CorpusError::Special { path: path.to_owned() });
        }
        let (name, in_corpus) = name(path, corpus);
        let path = path.to_owned();
        let size = meta.len();
        let mut trace = Self {
            path,
            name,
            in_corpus,
            size,
            header: Header::default(),
            sections: Vec::new(),
            problem: None,
        };
        match trace.read() {
            Ok(()) if trace.sections.is_empty() => {
                trace.problem = Some(format!("{}: the trace has no accesses", trace.path.display()));
            }
            Ok(()) => {}
            Err(TraceError::Io { source, .. }) => {
                return Err(CorpusError::Io {
                    path: trace.path,
                    source,
                });
            }
            Err(error) => trace.problem = Some(error.to_string()),
        }
        Ok(trace)
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// It could not be opened.
    pub fn open(&self) -> Result<Reader<File>, TraceError> {
        let name = self.path.display().to_string();
        match File::open(&self.path) {
            Ok(file) => Ok(Reader::new(file, name)),
            Err(source) => Err(TraceError::Io { name, source }),
        }
    }

    /// Whether the file is a table of vectors, to be decided and not to be replayed.
    #[must_use]
    pub fn is_vectors(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == VECTORS)
    }

    /// Kind of the trace.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.header.kind
    }

    fn read(&mut self) -> Result<(), TraceError> {
        if self.is_vectors() {
            return self.read_vectors();
        }
        let mut reader = self.open()?;
        self.header = reader.header()?;
        let mut places = HashMap::<String, usize>::new();
        let mut current = None;
        while let Some(text) = reader.text()? {
            let (label, rule) = match text {
                [] | [b'#' | b'@', ..] => continue,
                // A line that does not parse ends the replay, and with it the list of sections.
                [b's', b'e', ..] => match Line::parse(text) {
                    Ok(Line::Section { label, text }) => (label, text),
                    _ => break,
                },
                _ if current.is_some() => ("", ""),
                _ => (UNNAMED, ""),
            };
            if !label.is_empty() {
                let next = self.sections.len();
                let place = *places.entry(label.to_owned()).or_insert(next);
                if place == next {
                    if next == MAX_SECTIONS {
                        return Err(reader.at(1, format!("more than {MAX_SECTIONS} sections")));
                    }
                    let (label, text) = (label.to_owned(), rule.to_owned());
                    self.sections.push(Section {
                        label,
                        text,
                        visits: 0,
                        accesses: 0,
                    });
                }
                current = Some(place);
            }
            if let Some(section) = current.and_then(|place| self.sections.get_mut(place)) {
                section.visits += u64::from(!label.is_empty());
                section.accesses += u64::from(label.is_empty() || label == UNNAMED);
            }
        }
        Ok(())
    }

    fn read_vectors(&mut self) -> Result<(), TraceError> {
        let table = Table::open(&self.path)?;
        let of = |text: &String| ("source".to_owned(), text.clone());
        self.header.other = table.sources.iter().map(of).collect();
        self.sections = table
            .sections
            .into_iter()
            .map(|section| Section {
                label: section.label,
                text: section.text,
                visits: 1,
                accesses: section.cases.len() as u64,
            })
            .collect();
        Ok(())
    }
}

/// Whether a file's name says that it can be run.
fn is_runnable(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "trace" || extension == VECTORS)
}

fn name(path: &Path, corpus: Option<&Corpus>) -> (String, bool) {
    let inside = corpus.and_then(|corpus| {
        let path = path.canonicalize().ok()?;
        Some(path.strip_prefix(&corpus.canonical).ok()?.to_owned())
    });
    let in_corpus = inside.is_some();
    let mut name = inside.unwrap_or_else(|| path.components().collect());
    if is_runnable(&name) {
        name.set_extension("");
    }
    (name.to_string_lossy().into_owned(), in_corpus)
}

/// The folder of traces that runs are about by default.
#[derive(Clone, Debug)]
pub struct Corpus {
    root: PathBuf,
    canonical: PathBuf,
}

impl Corpus {
    /// The corpus at `folder`, else at [`CORPUS_VARIABLE`], else the one this program was built beside.
    ///
    /// # Errors
    ///
    /// None of these is a folder.
    pub fn locate(folder: Option<&Path>) -> Result<Self, CorpusError> {
        let variable = || {
            std::env::var_os(CORPUS_VARIABLE)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        if let Some(root) = folder.map(Path::to_owned).or_else(variable) {
            return Self::at(root);
        }
        let built_beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
        // As one would type it here, if it is below.
        let here = std::env::current_dir().unwrap_or_default();
        let path = built_beside
            .strip_prefix(here)
            .map(Path::to_owned)
            .unwrap_or(built_beside);
        Self::at(path).map_err(|_| CorpusError::Unknown)
    }

    fn at(root: PathBuf) -> Result<Self, CorpusError> {
        if !root.is_dir() {
            return Err(CorpusError::NotAFolder { path: root });
        }
        match root.canonicalize() {
            Ok(canonical) => Ok(Self { root, canonical }),
            Err(source) => Err(CorpusError::Io { path: root, source }),
        }
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of the trace or folder of traces called `name`.
    fn find(&self, name: &Path) -> Option<PathBuf> {
        let with = |extension| {
            let mut file = name.as_os_str().to_owned();
            file.push(extension);
            self.root.join(file)
        };
        let inside = name
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        let candidates = [with(".trace"), with(".vectors"), self.root.join(name)];
        candidates.into_iter().find(|path| inside && path.exists())
    }
}

/// Finds the traces at `paths`: files, folders and names of the corpus; the whole corpus if there are none.
///
/// They are ordered by name, and none stands twice.
///
/// # Errors
///
/// A path leads to no trace, or could not be read.
pub fn find(corpus: Option<&Corpus>, paths: &[PathBuf]) -> Result<Vec<Trace>, CorpusError> {
    let mut files = Vec::new();
    if paths.is_empty() {
        walk(corpus.ok_or(CorpusError::Unknown)?.root(), &mut files)?;
    }
    for path in paths {
        match (walk(path, &mut files), corpus.and_then(|corpus| corpus.find(path))) {
            // `fwcfg` may be a folder of something else here and a folder of the corpus too.
            (Err(CorpusError::Missing { .. } | CorpusError::Empty { .. }), Some(inside)) => walk(&inside, &mut files)?,
            (result, _) => result?,
        }
    }
    let mut known = HashSet::new();
    let mut traces = Vec::new();
    for path in files {
        let canonical = path.canonicalize().map_err(|source| CorpusError::Io {
            path: path.clone(),
            source,
        })?;
        if known.insert(canonical) {
            traces.push(Trace::scan(&path, corpus)?);
        }
    }
    traces.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(traces)
}

/// Adds the file at `path`, or every `*.trace` and `*.vectors` file below it.
fn walk(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
    let at = |path: &Path, source| CorpusError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(CorpusError::Missing { path: path.to_owned() });
        }
        Err(error) => return Err(at(path, error)),
        Ok(meta) if meta.is_file() => {
            files.push(path.to_owned());
            return Ok(());
        }
        Ok(meta) if !meta.is_dir() => return Err(CorpusError::Special { path: path.to_owned() }),
        Ok(_) => {}
    }
    let before = files.len();
    // A folder is entered once, however many links lead to it.
    let mut entered = HashSet::new();
    let mut folders = vec![(path.to_owned(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = folders.pop() {
        let canonical = folder.canonicalize().map_err(|error| at(&folder, error))?;
        if !entered.insert(canonical) {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(|error| at(&folder, error))? {
            let path = entry.map_err(|error| at(&folder, error))?.path();
            seen += 1;
            if seen > MAX_FILES || depth > MAX_DEPTH {
                return Err(CorpusError::TooMany { path: folder });
            }
            // A dangling link is nobody's trace.
            match fs::metadata(&path) {
                Ok(meta) if meta.is_dir() => folders.push((path, depth + 1)),
                Ok(meta) if meta.is_file() && is_runnable(&path) => files.push(path),
                _ => {}
            }
        }
    }
    if files.len() == before {
        return Err(CorpusError::Empty { path: path.to_owned() });
    }
    Ok(())
}
