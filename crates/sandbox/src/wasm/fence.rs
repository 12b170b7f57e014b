//! Landlock around the WebAssembly runtime: should the runtime let something through, this is
//! what it would find.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, path_beneath_rules,
};

use super::Order;

/// The newest rules that are asked for; an older kernel enforces what it knows of them.
const NEWEST: ABI = ABI::V5;

/// What resolving names takes.
const NAMES: [&str; 5] =
    ["/etc/gai.conf", "/etc/host.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"];

/// Where the C library finds what it loads for that.
const LIBRARIES: [&str; 4] = ["/etc/ld.so.cache", "/lib", "/lib64", "/usr/lib"];

/// What the kernel's Landlock can keep from a process, if there is any.
pub(super) fn parts() -> Option<&'static str> {
    let made = |net: bool| -> Result<(), RulesetError> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))?;
        if net {
            ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V4))?;
        }
        ruleset.create().map(drop)
    };
    if made(true).is_ok() {
        Some("files, and TCP where there is no network")
    } else {
        made(false).is_ok().then_some("files")
    }
}

/// Restricts this process to the folders of the order. A kernel without Landlock restricts
/// nothing, and [`parts`] tells so.
pub(super) fn put_up(order: &Order) -> Result<(), RulesetError> {
    let all = AccessFs::from_all(NEWEST);
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?;
    if !order.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V4))?;
    }
    let folders = |write: bool| {
        order
            .folders
            .iter()
            .filter(move |folder| folder.write == write)
            .map(|folder| &folder.source)
    };
    let system = NAMES.iter().chain(&LIBRARIES).filter(|_| order.network);
    let read = AccessFs::from_read(NEWEST) & !AccessFs::Execute;
    ruleset
        .create()?
        .add_rules(path_beneath_rules(folders(false), read))?
        .add_rules(path_beneath_rules(folders(true), all & !AccessFs::Execute))?
        .add_rules(path_beneath_rules(system, AccessFs::from_read(NEWEST)))?
        .no_new_privs(true)
        .restrict_self()?;
    Ok(())
}
