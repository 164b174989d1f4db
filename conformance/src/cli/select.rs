// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Options that choose traces and sections.

use std::path::PathBuf;

use clap::Args;

use crate::corpus::{self, Corpus, CorpusError, Trace};
use crate::pattern::Pattern;
use crate::runner::Selection;
use crate::trace::Kind;

/// Options that choose traces and sections.
#[derive(Args, Default, Debug)]
pub(super) struct SelectArgs {
    /// Trace files, folders of them, or names of the corpus such as fwcfg or fwcfg/basic; without any, the corpus
    #[arg(value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,

    /// Only traces whose name has this in it, or matches it if it has a * or ?
    #[arg(long, value_name = "PATTERN")]
    pub(super) filter: Option<String>,

    /// Only sections whose label is this; * and ? match as in file names
    #[arg(long, value_name = "PATTERN")]
    pub(super) section: Option<String>,

    /// Only traces of this kind: qtest (scripted) or firmware (real firmware ran)
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub(super) kind: Option<Kind>,

    #[arg(
        long,
        value_name = "DIR",
        help = "Folder of the corpus; IGD_CONFORMANCE_CORPUS does the same"
    )]
    pub(super) corpus: Option<PathBuf>,
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    Kind::from_name(text).ok_or_else(|| "expected qtest or firmware".to_owned())
}

impl SelectArgs {
    /// The traces at the paths, and those of them that are selected.
    pub(super) fn find(&self) -> Result<Vec<Trace>, CorpusError> {
        let corpus = match Corpus::locate(self.corpus.as_deref()) {
            // Who names files needs no corpus.
            Err(CorpusError::Unknown) if !self.paths.is_empty() => None,
            corpus => Some(corpus?),
        };
        Ok(self.selection().take(corpus::find(corpus.as_ref(), &self.paths)?))
    }

    pub(super) fn selection(&self) -> Selection {
        Selection {
            filter: self.filter.as_deref().map(Pattern::part),
            section: self.section.as_deref().map(Pattern::glob),
            kind: self.kind,
        }
    }

    /// Whether this is the whole corpus.
    pub(super) fn is_everything(&self) -> bool {
        self.paths.is_empty() && self.selection().is_everything()
    }
}
