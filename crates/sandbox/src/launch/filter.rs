//! The system calls a program may make.
//!
//! Two filters, and the stricter answer counts. The first allows what programs are known to need;
//! whatever else there is, now or in a later kernel, answers "no such call" (`ENOSYS`), so that a
//! program falls back to something older. The second refuses (`EPERM`) what could be used against
//! the machine, so that a program is told the truth.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

mod calls;

use calls::{ALLOWED, ALLOWED_HERE, MODES, MODES_HERE, REFUSED, REFUSED_HERE};

/// Flags of `clone` that make a namespace, and none that a program needs otherwise.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// The only kinds of socket there are.
const FAMILIES: [libc::c_int; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// Requests that put words into the mouth of whoever sits at a terminal.
const TYPING: [u64; 2] = [0x5412 /* TIOCSTI */, 0x541c /* TIOCLINUX */];

/// Flags of `open` by which a file is made: `O_CREAT`, and the bit of its own in `O_TMPFILE`.
const MAKING: [u64; 2] = [0o100, 0o20_000_000];

/// Puts both filters up for this process and all it starts.
pub(super) fn put_up() -> Result<String, String> {
    // Of two refusals the later filter's counts.
    for program in [allowances(), refusals()] {
        let program = program.map_err(|error| error.to_string())?;
        seccompiler::apply_filter(&program).map_err(|error| error.to_string())?;
    }
    Ok(format!(
        "{} system calls allowed, namespaces, odd sockets and setuid files refused",
        ALLOWED.len() + ALLOWED_HERE.len()
    ))
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let machine = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, otherwise, action, machine)?.try_into()
}

fn errno(number: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn allowances() -> Result<BpfProgram, seccompiler::BackendError> {
    let rules: Rules = ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
    compile(rules, errno(libc::ENOSYS), SeccompAction::Allow)
}

fn refusals() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: Rules =
        REFUSED.iter().chain(REFUSED_HERE).map(|call| (*call, Vec::new())).collect();
    let mut spaces = Vec::new();
    for flag in NAMESPACES {
        let flag = u64::from(flag.unsigned_abs());
        spaces.push(SeccompRule::new(vec![condition(0, SeccompCmpOp::MaskedEq(flag), flag)?])?);
    }
    rules.insert(libc::SYS_clone, spaces);
    let mut odd = Vec::new();
    for family in FAMILIES {
        odd.push(condition(0, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()))?);
    }
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(odd.clone())?]);
    rules.insert(libc::SYS_socketpair, vec![SeccompRule::new(odd)?]);
    let mut typing = Vec::new();
    for request in TYPING {
        typing.push(SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, request)?])?);
    }
    rules.insert(libc::SYS_ioctl, typing);
    for (call, mode, flags) in MODES.iter().chain(MODES_HERE) {
        rules.insert(*call, borrowing(*mode, *flags)?);
    }
    compile(rules, SeccompAction::Allow, errno(libc::EPERM))
}

/// Rules for a call that gives a file a mode which lends its owner's rights to whoever runs it:
/// where the caller is root, that file would be root's, and lie in a folder of the host.
fn borrowing(mode: u8, flags: Option<u8>) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mut rules = Vec::new();
    for bit in [libc::S_ISUID, libc::S_ISGID] {
        let bit = u64::from(bit);
        let lends = || condition(mode, SeccompCmpOp::MaskedEq(bit), bit);
        match flags {
            None => rules.push(SeccompRule::new(vec![lends()?])?),
            // Without one of these the mode means nothing, and may be anything.
            Some(flags) => {
                for making in MAKING {
                    let makes = condition(flags, SeccompCmpOp::MaskedEq(making), making)?;
                    rules.push(SeccompRule::new(vec![lends()?, makes])?);
                }
            }
        }
    }
    Ok(rules)
}

fn condition(
    argument: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_allowed_and_refused() {
        for call in REFUSED.iter().chain(REFUSED_HERE) {
            assert!(!ALLOWED.contains(call) && !ALLOWED_HERE.contains(call), "{call}");
        }
    }

    #[test]
    fn both_filters_compile() {
        assert!(refusals().is_ok());
        assert!(allowances().is_ok_and(|program| program.len() < 4096));
    }
}
