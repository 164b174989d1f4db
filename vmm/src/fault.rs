// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
//! Accesses of this process to device memory that is no longer there: all ones instead of the end by SIGBUS.
//!
//! A peer may shrink the file behind a BAR, and a device may go away. KVM's own accesses fail with `EFAULT` then; those of
//! this process raise SIGBUS. For a range under [`guard`] the handler replaces the page by one of 0xFF that belongs to
//! this process alone, as a bus answers for nobody. It stays until the range is unmapped: a mapping that lost a page has to
//! be made anew. Any other SIGBUS goes to whoever handled it before.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::{io, mem, ptr};

/// Most ranges under guard at a time.
pub const MAX_GUARDS: usize = 512;

const FREE: u8 = 0;
const CLAIMED: u8 = 1;
const ACTIVE: u8 = 2;

struct Slot {
    state: AtomicU8,
    start: AtomicUsize,
    end: AtomicUsize,
}

/// A table of fixed size, since a signal handler can neither lock nor allocate.
static SLOTS: [Slot; MAX_GUARDS] = [const {
    Slot {
        state: AtomicU8::new(FREE),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
    }
}; MAX_GUARDS];
static COUNT: AtomicU64 = AtomicU64::new(0);
static PAGE: AtomicUsize = AtomicUsize::new(0);
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();
static INSTALLED: OnceLock<c_int> = OnceLock::new();

/// A range whose loss this process survives; ends when dropped, which must be before the range is unmapped.
#[derive(Debug)]
pub struct Guard {
    slot: usize,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(slot) = SLOTS.get(self.slot) {
            slot.state.store(FREE, Ordering::Release);
        }
    }
}

/// Puts `len` bytes of this process at `addr` under guard. The handler is installed if it is not yet.
///
/// # Errors
///
/// The range is empty or wraps, [`MAX_GUARDS`] ranges are under guard, or the kernel refuses the handler.
pub fn guard(addr: usize, len: usize) -> io::Result<Guard> {
    install()?;
    let end = addr.checked_add(len).filter(|end| *end > addr);
    let end = end.ok_or_else(|| io::Error::other(format!("{len:#x} bytes at {addr:#x} are no range to guard")))?;
    for (index, slot) in SLOTS.iter().enumerate() {
        let claim = slot
            .state
            .compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed);
        if claim.is_ok() {
            slot.start.store(addr, Ordering::Relaxed);
            slot.end.store(end, Ordering::Relaxed);
            slot.state.store(ACTIVE, Ordering::Release);
            return Ok(Guard { slot: index });
        }
    }
    let full = format!("all {MAX_GUARDS} guards of device memory are in use: map fewer areas");
    Err(io::Error::other(full))
}

/// How many pages were replaced.
#[must_use]
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// Installs the handler of SIGBUS, once in a process.
///
/// # Errors
///
/// The kernel refuses.
pub fn install() -> io::Result<()> {
    match *INSTALLED.get_or_init(|| {
        set_handler()
            .err()
            .map_or(0, |error| error.raw_os_error().unwrap_or(libc::EINVAL))
    }) {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn set_handler() -> io::Result<()> {
    // SAFETY: sysconf reads a constant; a sigaction of zeros is one without flags, and its mask is emptied below.
    #[expect(unsafe_code, reason = "no safe wrapper among the dependencies")]
    let (page, mut action, mut previous) = unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE);
        (page, mem::zeroed::<libc::sigaction>(), mem::zeroed::<libc::sigaction>())
    };
    PAGE.store(usize::try_from(page).map_err(io::Error::other)?, Ordering::Relaxed);
    action.sa_sigaction = handle as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both structures live here and are initialised. The earlier action is kept before ours can run, so that the
    // handler always finds it. The handler does only what a handler may.
    #[expect(unsafe_code, reason = "no safe wrapper hands out the earlier action")]
    let result = unsafe {
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, ptr::null(), &raw mut previous);
        PREVIOUS.get_or_init(|| previous);
        libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut())
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel hands over a valid siginfo, with an address if a fault raised the signal, which a positive code
    // says. errno belongs to this thread.
    #[expect(unsafe_code, reason = "what a signal handler is given is raw")]
    let (is_fault, addr, errno) = unsafe {
        let errno = *libc::__errno_location();
        ((*info).si_code > 0, (*info).si_addr().addr(), errno)
    };
    if is_fault && is_guarded(addr) && replace(addr) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    } else {
        give_back(signal, is_fault);
    }
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "the interrupted code must find its errno")]
    unsafe {
        *libc::__errno_location() = errno;
    }
}

fn is_guarded(addr: usize) -> bool {
    SLOTS.iter().any(|slot| {
        slot.state.load(Ordering::Acquire) == ACTIVE
            && (slot.start.load(Ordering::Relaxed)..slot.end.load(Ordering::Relaxed)).contains(&addr)
    })
}

/// Puts a page of ones where `addr` is.
fn replace(addr: usize) -> bool {
    let page = PAGE.load(Ordering::Relaxed);
    if !page.is_power_of_two() {
        return false;
    }
    let to = ptr::without_provenance_mut::<c_void>(addr & !(page - 1));
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the new page is filled before it is moved over the lost one, so nobody sees it half made. The target lies in
    // a range under guard, which is a mapping of device memory that no Rust reference points into. mmap, mremap and memset
    // neither lock nor allocate.
    #[expect(unsafe_code, reason = "the only way to give an address other memory")]
    unsafe {
        let from = libc::mmap(ptr::null_mut(), page, protection, flags, -1, 0);
        if from == libc::MAP_FAILED {
            return false;
        }
        ptr::write_bytes(from.cast::<u8>(), 0xff, page);
        let moved = libc::mremap(from, page, page, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, to);
        if moved == libc::MAP_FAILED {
            libc::munmap(from, page);
            return false;
        }
    }
    true
}

/// Lets the earlier action have this signal: a fault repeats itself, anything else is raised again.
fn give_back(signal: c_int, is_fault: bool) {
    // SAFETY: a sigaction of zeros is the default action; sigaction and raise may be called from a handler. While the
    // handler runs the signal is blocked, so what is raised arrives after it.
    #[expect(unsafe_code, reason = "no safe wrapper among the dependencies")]
    unsafe {
        let default = mem::zeroed::<libc::sigaction>();
        let previous = PREVIOUS.get().unwrap_or(&default);
        libc::sigaction(signal, ptr::from_ref(previous), ptr::null_mut());
        if !is_fault {
            libc::raise(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::{AsFd, FromRawFd};

    use crate::backend::Mapping;

    fn memory(len: u64) -> File {
        // SAFETY: the name ends with 0, and the descriptor is checked before it is owned.
        #[expect(unsafe_code, reason = "no safe wrapper")]
        let file = unsafe {
            let fd = libc::memfd_create(c"test".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0);
            File::from_raw_fd(fd)
        };
        file.set_len(len).unwrap();
        file
    }

    fn byte(addr: u64) -> *mut u8 {
        ptr::without_provenance_mut(usize::try_from(addr).unwrap())
    }

    #[test]
    fn a_truncated_file_reads_as_ones() {
        let file = memory(0x4000);
        let mapping = Mapping::new(file.as_fd(), 0, 0x4000).unwrap();
        let before = count();
        file.set_len(0x1000).unwrap();
        // SAFETY: the mapping is alive; its lost pages are under guard.
        #[expect(unsafe_code, reason = "touches the mapping as a VMM would")]
        let seen = unsafe {
            byte(mapping.hva() + 0x2010).write_volatile(0x5a);
            [0, 0x1000, 0x1fff, 0x2010, 0x2011, 0x3fff].map(|at| byte(mapping.hva() + at).read_volatile())
        };
        assert_eq!(seen, [0, 0xff, 0xff, 0x5a, 0xff, 0xff]);
        assert!(count() >= before + 3);
        assert_eq!(file.metadata().unwrap().len(), 0x1000);
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        assert!(guard(0x1000, 0).is_err());
        assert!(guard(usize::MAX, 2).is_err());
    }

    #[test]
    fn ranges_end_with_their_guards() {
        // Nothing is there; only the table is asked.
        let addr = usize::MAX - 0x1fff;
        let first = guard(addr, 0x1000).unwrap();
        let second = guard(addr + 0x1000, 0x800).unwrap();
        assert!(is_guarded(addr) && is_guarded(addr + 0xfff) && is_guarded(addr + 0x17ff));
        assert!(!is_guarded(addr - 1) && !is_guarded(addr + 0x1800));
        drop(first);
        assert!(!is_guarded(addr) && is_guarded(addr + 0x1000));
        drop(second);
        assert!(!is_guarded(addr + 0x1000));
    }

    #[test]
    fn a_fault_outside_of_all_guards_ends_the_process() {
        let file = memory(0x1000);
        // SAFETY: the child makes system calls and touches a mapping of its own, then ends by the signal or by _exit. The
        // parent waits for it.
        #[expect(unsafe_code, reason = "the end of a process is seen from another one")]
        let status = unsafe {
            install().unwrap();
            use std::os::fd::AsRawFd;
            let addr = libc::mmap(
                ptr::null_mut(),
                0x1000,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            );
            assert_ne!(addr, libc::MAP_FAILED);
            file.set_len(0).unwrap();
            let child = libc::fork();
            if child == 0 {
                libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
                libc::alarm(10);
                addr.cast::<u8>().read_volatile();
                libc::_exit(0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            libc::munmap(addr, 0x1000);
            status
        };
        assert!(libc::WIFSIGNALED(status), "{status:#x}");
        assert_eq!(libc::WTERMSIG(status), libc::SIGBUS);
    }
}
