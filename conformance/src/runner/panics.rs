// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Panics of a subject as messages.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps panics that [`catch`] catches from being printed. All others are printed as before.
pub(super) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                PLACE.set(
                    info.location()
                        .map(|place| format!(" at {}:{}", place.file(), place.line())),
                );
            } else {
                previous(info);
            }
        }));
    });
}

/// Calls `work`; a panic becomes a message. What `work` was changing is in an unknown state then.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CATCHING.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    result.map_err(|payload| {
        let place = PLACE.take().unwrap_or_default();
        let message = message(payload.as_ref());
        // A payload may itself panic when it is dropped.
        std::mem::forget(payload);
        format!("the subject panicked{place}: {message}")
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
