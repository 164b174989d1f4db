// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! The pieces of a BAR that are mapped or trapped.

use pci_model::carve::{CarveError, Carving, Mappable, PageSize, Piece, Span};

use super::{Answers, Question, REFUSED};
use crate::subject::Refusal;
use crate::vectors::steps::{joined, spans};

/// The facts of a case.
struct Facts {
    size: u64,
    page: u64,
    whole: bool,
    areas: Vec<Span>,
    trapped: Vec<Span>,
}

impl Facts {
    fn of(question: &Question<'_>) -> Result<Self, Refusal> {
        let whole = question.text("areas")? == "whole";
        Ok(Self {
            size: question.number("size")?,
            page: question.number("page")?,
            whole,
            areas: if whole { Vec::new() } else { spans(question, "areas")? },
            trapped: spans(question, "trapped")?,
        })
    }

    fn carving(&self) -> Result<Carving<'_>, CarveError> {
        let mappable = match self.areas.as_slice() {
            _ if self.whole => Mappable::Whole,
            [] => Mappable::Nothing,
            areas => Mappable::Areas(areas),
        };
        Carving::new(self.size, PageSize::new(self.page)?, mappable, &self.trapped)
    }
}

/// All pieces in order: `m:` mapped, `t:` trapped.
pub(super) fn pieces(question: &Question<'_>) -> Result<Answers, Refusal> {
    let facts = Facts::of(question)?;
    let text = |piece| match piece {
        Piece::Mapped(span) => format!("m:{span}"),
        Piece::Trapped(span) => format!("t:{span}"),
    };
    let pieces = facts
        .carving()
        .map(|carving| carving.pieces().map(text).collect::<Vec<_>>());
    Ok(vec![(
        "pieces",
        pieces.map_or(REFUSED.to_owned(), |pieces| joined(&pieces)),
    )])
}

/// The page that a BAR of less than a page is mapped as.
pub(super) fn page_slot(question: &Question<'_>) -> Result<Answers, Refusal> {
    let facts = Facts::of(question)?;
    let (gpa, others) = (question.number("gpa")?, spans(question, "others")?);
    let slot = match facts.carving().map(|carving| carving.page_slot(gpa, others)) {
        Ok(Some(page)) => page.to_string(),
        Ok(None) => "trap".to_owned(),
        Err(_) => REFUSED.to_owned(),
    };
    Ok(vec![("slot", slot)])
}
